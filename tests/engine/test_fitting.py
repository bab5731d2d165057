"""Checkpoints of other layers than the model's."""

import copy

import pytest
import torch

pytest.importorskip('mmengine')
pytest.importorskip('mmpretrain.models', reason='mmpretrain is not installed')

from mmengine.config import Config
from mmengine.registry import MODELS

from mmfdconv import commands
from mmfdconv.convert import with_dynamic_convolutions
from mmfdconv.engine import launch
from mmfdconv.engine.fitting import check_layers

pytestmark = pytest.mark.core

STOCK = Config(
    dict(
        default_scope='mmpretrain',
        model=dict(
            type='mmpretrain.ImageClassifier',
            backbone=dict(
                type='mmpretrain.ResNet',
                depth=18,
                stem_channels=24,
                base_channels=24,
                num_stages=2,
                strides=(1, 2),
                dilations=(1, 1),
                out_indices=(1,),
            ),
            neck=dict(type='mmpretrain.GlobalAveragePooling'),
            head=dict(
                type='mmpretrain.LinearClsHead', num_classes=3, in_channels=48
            ),
        ),
    )
)


def config(word, **options):
    return with_dynamic_convolutions(STOCK, word, options)


def model(word, **options):
    return MODELS.build(copy.deepcopy(config(word, **options).model))


@pytest.mark.parametrize('word', ['stock', 'fdconv', 'odconv', 'kw1x', 'dcd'])
def test_what_fits(word):
    target = model(word)
    check_layers(target, target.state_dict())
    check_layers(target, model('stock').state_dict())
    check_layers(
        target, {f'module.{k}': v for k, v in target.state_dict().items()}
    )
    # A head for other classes is no dynamic layer; MMEngine warns.
    check_layers(target, {'head.fc.weight': torch.zeros(9, 48)})


@pytest.mark.parametrize(
    ('trained', 'built', 'words'),
    [
        (('fdconv',), ('stock',), '8 of .*Conv2d in the model: has no KSM_'),
        (('dcd',), ('stock',), 'Conv2d in the model: has no '),
        (('kw1x',), ('stock',), 'has no attention'),
        (('fdconv',), ('fadconv',), '8 of .*FADConv .*Missing key'),
        (('odconv',), ('dyconv',), '8 of .*DYConv in the model: Error'),
        (('fdconv', 16), ('fdconv', 8), 'FDConv in .* size mismatch'),
    ],
)
def test_what_does_not(trained, built, words):
    def make(word, kernel_num=None):
        options = {} if kernel_num is None else dict(kernel_num=kernel_num)
        return model(word, **options)

    state = make(*trained).state_dict()
    with pytest.raises(ValueError, match=words) as error:
        check_layers(make(*built), state)
    assert 'layer1.0.conv1' in str(error.value)
    assert '--conv-options' in str(error.value)


def test_a_runner_refuses_it(tmp_path):
    path = tmp_path / 'epoch_1.pth'
    torch.save(dict(state_dict=model('fdconv').state_dict()), path)
    cfg = copy.deepcopy(STOCK)
    cfg.work_dir = str(tmp_path)
    cfg.experiment_name = 'refused'
    runner = launch.build_runner(cfg)
    before = copy.deepcopy(runner.model.state_dict())
    with pytest.raises(ValueError, match='has no KSM_'):
        runner.load_checkpoint(str(path))
    for name, value in runner.model.state_dict().items():
        assert value.equal(before[name]), name


@pytest.mark.parametrize('command', ['test', 'train'])
def test_a_command_says_so_in_one_sentence(command, tmp_path, monkeypatch):
    path = tmp_path / 'epoch_1.pth'
    torch.save(dict(state_dict=model('fdconv').state_dict()), path)
    data = dict(
        dataset=[0], sampler=dict(type='DefaultSampler'), num_workers=0
    )
    cfg = copy.deepcopy(STOCK)
    cfg.update(
        train_dataloader=data,
        train_cfg=dict(by_epoch=True, max_epochs=1),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        test_dataloader=data,
        test_cfg=dict(),
        test_evaluator=dict(type='Accuracy'),
        load_from=str(path),
        experiment_name=f'{command}_refuses',
    )
    file = tmp_path / 'config.py'
    cfg.dump(file)
    monkeypatch.setenv('LOCAL_RANK', '0')
    arguments = [str(file), '--work-dir', str(tmp_path / 'out')]
    arguments += [str(path)] if command == 'test' else []
    with pytest.raises(SystemExit, match='^me: error: checkpoint: 8 of '):
        commands.main(command, arguments, 'me')
