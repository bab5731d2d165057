"""The options that command lines on configs share."""

import argparse

import pytest

pytest.importorskip('mmengine')

from mmengine.config import Config

from mmfdconv.engine import launch, options

pytestmark = pytest.mark.core

CONFIG = """
default_scope = 'mmdet'
model = dict(backbone=dict(type='ResNet', depth=50))
"""


@pytest.fixture
def parse(tmp_path):
    """Read a command line on a config."""
    path = tmp_path / 'some_r50.py'
    path.write_text(CONFIG)

    def parse(*words):
        parser = argparse.ArgumentParser()
        options.add_config_options(parser, 'a=b')
        return parser.parse_args([str(path), *words])

    return parse


@pytest.mark.parametrize(
    ('words', 'expected'),
    [
        ([], None),
        (['ResNet'], 'ResNet'),
        (
            ['kernel_sizes=[3]', 'stages=[3,4]', 'linears=True'],
            dict(kernel_sizes=[3], stages=[3, 4], linears=True),
        ),
        (
            [r"patterns={r'.*\.conv2': True}", 'otherwise=False'],
            dict(patterns={r'.*\.conv2': True}, otherwise=False),
        ),
    ],
    ids=str,
)
def test_rules(words, expected):
    assert options.parse_rule(words) == expected


@pytest.mark.parametrize('words', [['stages=[3'], ['a', 'b'], ['a=b']])
def test_what_is_no_rule(words):
    with pytest.raises(ValueError, match='--conv-rule: .* name of a preset'):
        options.parse_rule(words)


def test_a_method_with_options_and_a_rule(parse):
    pytest.importorskip('mmdet')
    args = parse(
        *('--conv', 'fdconv', '--conv-rule', 'stages=[4]'),
        *('--conv-options', 'kernel_num=8', 'fbm_cfg.mask=nearest64'),
        *('--cfg-options', 'model.backbone.depth=18'),
    )
    backbone = options.load_config(args).model.backbone
    assert backbone.type == 'DynamicBackbone'
    # Values are replaced in the config that was named, before the word.
    assert backbone.backbone == dict(type='ResNet', depth=18)
    assert backbone.rule == dict(stages=[4])
    assert backbone.conv_cfg.kernel_num == 8
    assert backbone.conv_cfg.fbm_cfg.mask == 'nearest64'


def test_no_method_changes_nothing(parse):
    pytest.importorskip('mmdet')
    args = parse()
    cfg = options.load_config(args)
    assert cfg.to_dict() == Config.fromfile(args.config).to_dict()


@pytest.mark.parametrize(
    ('words', 'said'),
    [
        (['--conv', 'odcnv'], "--conv odcnv: method .*'odcnv'; .*odconv"),
        (['--conv-options', 'a=1'], "--conv-options: {'a': 1} needs a method"),
        (['--conv-rule', 'ResNet'], "--conv-rule: 'ResNet' needs a method"),
        (
            ['--conv', 'odconv', '--conv-options', 'experts=2'],
            "--conv odconv: options: ODConv has no option 'experts'; .*num_ex",
        ),
    ],
    ids=str,
)
def test_wrong_options_are_named(parse, words, said):
    pytest.importorskip('mmdet')
    with pytest.raises(ValueError, match=said):
        options.load_config(parse(*words))


@pytest.mark.parametrize(
    ('words', 'name'),
    [
        ([], 'some_r50'),
        (['--conv', 'odconv'], 'some_r50-odconv'),
        (
            ['--conv', 'fadconv', '--conv-options', 'pool_size=32'],
            'some_r50-fadconv-pool_size=32',
        ),
        (
            ['--conv', 'dcd', '--conv-rule', "patterns={'a/b': True}"],
            'some_r50-dcd-patterns=_a_b_True_',
        ),
    ],
    ids=str,
)
def test_the_work_dir_carries_the_method(parse, words, name):
    args = parse(*words)
    suffix = options.method_suffix(args)
    for own, expected in (
        (None, f'work_dirs/{name}'),
        ('mine/', name.replace('some_r50', 'mine')),
    ):
        cfg = Config(dict(work_dir=own))
        launch.set_work_dir(cfg, args.config, None, suffix)
        assert cfg.work_dir == expected
    launch.set_work_dir(cfg, args.config, 'given', suffix)
    assert cfg.work_dir == 'given'
