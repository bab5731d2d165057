"""The short file is the word, written down."""

from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import MODELS, TRANSFORMS, init_default_scope

import mmfdconv
from mmfdconv.commands import main
from mmfdconv.convert import (
    METHODS,
    config_path,
    short_config,
    with_dynamic_convolutions,
)
from mmfdconv.convert.words import configs_folder
from mmfdconv.layers import FADConv

OWN = 'mmfdconv::mmseg/cropland/gid/unet_r18-quarter_1xb24-50e_gid-512x512.py'
STOCK = {
    'mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py': METHODS[1:],
    'mmdet::convnext/mask-rcnn_convnext-t-p4-w7_fpn_amp-ms-crop-3x_coco.py': (
        'fdconv',
        'kw1x',
    ),
    'mmdet::swin/mask-rcnn_swin-t-p4-w7_fpn_1x_coco.py': ('fdconv',),
    'mmseg::unet/unet-s5-d16_fcn_4xb4-160k_cityscapes-512x1024.py': ('fkw1x',),
    'mmseg::mask2former/mask2former_r50_8xb2-90k_cityscapes-512x1024.py': (
        'fdconv',
    ),
    'mmpretrain::resnet/resnet18_8xb32_in1k.py': ('dcd', 'kw4x'),
    OWN: ('fdconv',),
}
CASES = [(config, m) for config, methods in STOCK.items() for m in methods]


def needs(config):
    """Skip where a config's toolbox, or what a base of ours needs, is not."""
    pytest.importorskip('mmseg' if config == OWN else config.split('::')[0])
    installed = Path(mmfdconv.__file__).parent / '.mim'
    if config == OWN and not installed.is_dir():
        pytest.skip('mmfdconv is not installed: no bases named mmfdconv::...')


def plain(node):
    if isinstance(node, dict):
        return {k: plain(v) for k, v in node.items() if k != '_scope_'}
    if isinstance(node, (list, tuple)):
        return [plain(item) for item in node]
    return node


@pytest.mark.core
@pytest.mark.parametrize(('config', 'method'), CASES)
def test_the_file_is_the_word(config, method, tmp_path):
    needs(config)
    rule = dict(patterns={r'.*\.conv2': True}, otherwise=False)
    rule = rule if method == 'odconv' else None
    text = short_config(config, method, rule=rule)
    assert len(text.splitlines()) <= 32
    path = tmp_path / 'my_config.py'
    path.write_text(text)
    found = Config.fromfile(path)
    word = with_dynamic_convolutions(
        Config.fromfile(config_path(config)), method, rule=rule
    )
    # What the file leaves out is what the layer does by itself.
    given = found.model.backbone.conv_cfg
    whole = word.model.backbone.conv_cfg
    assert {k: whole[k] for k in given if k != 'fbm_cfg'} == given
    word.model.backbone.conv_cfg = given
    assert plain(found.to_dict()) == plain(word.to_dict())


@pytest.mark.core
def test_toolboxes_build_what_inherits_from_our_own_config(tmp_path):
    """Its types have no toolbox's scope; the first base finds the second."""
    needs(OWN)
    from mmseg.datasets.transforms import PackSegInputs
    from mmseg.models.segmentors import EncoderDecoder

    path = tmp_path / 'my_config.py'
    path.write_text(short_config(OWN, 'fadconv'))
    assert 'import_mmfdconv.py' in path.read_text()
    cfg = Config.fromfile(path)
    init_default_scope(cfg.default_scope)
    model = MODELS.build(cfg.model)
    assert isinstance(model, EncoderDecoder)
    assert any(isinstance(m, FADConv) for m in model.backbone.modules())
    packing = TRANSFORMS.build(cfg.pipeline[-1])
    assert isinstance(packing, PackSegInputs)


def test_a_path_is_found_from_the_files_folder(tmp_path):
    (tmp_path / 'a').mkdir()
    (tmp_path / 'b').mkdir()
    stock = tmp_path / 'a' / 'stock.py'
    stock.write_text("model = dict(backbone=dict(type='ResNet', depth=50))")
    text = short_config(str(stock), 'fadconv', folder=tmp_path / 'b')
    assert text.startswith("_base_ = ['../a/stock.py']")
    path = tmp_path / 'b' / 'my_config.py'
    path.write_text(text)
    backbone = Config.fromfile(path).model.backbone
    assert backbone.backbone.depth == 50
    assert backbone.conv_cfg == dict(type='FADConv')


@pytest.mark.parametrize(
    ('text', 'method', 'words'),
    [
        ("model = dict(backbone=dict(type='A'))", 'stock', ['stock']),
        ("model = dict(backbone=dict(type='A'))", 'odcon', ['odconv']),
        ('model = dict()', 'odconv', ['no backbone']),
        (
            "model = dict(backbone=dict(type='A', conv_cfg=dict("
            "type='FDConv')))",
            'odconv',
            ['dynamic already'],
        ),
        (
            'from torch.optim import SGD\nmodel = dict()',
            'odconv',
            ['pure Python', 'DynamicBackbone'],
        ),
        (
            "model = dict(parts=[dict(backbone=dict(type='A'))])",
            'odconv',
            ['model.parts', 'list'],
        ),
    ],
)
def test_what_cannot_be_written_down(text, method, words, tmp_path):
    path = tmp_path / 'stock.py'
    path.write_text(text)
    with pytest.raises(ValueError) as error:
        short_config(str(path), method)
    for word in words:
        assert word in str(error.value)


def test_the_command_replaces_no_input_and_no_file_unasked(tmp_path, capsys):
    stock, out = tmp_path / 'stock.py', tmp_path / 'out.py'
    text = "default_scope = 'mmdet'\nmodel = dict(backbone=dict(type='A'))\n"
    stock.write_text(text)
    run = ['--conv', 'odconv', '--force', '--out']
    with pytest.raises(SystemExit, match='would replace what is read'):
        main('config', [str(stock), *run, str(stock)])
    assert stock.read_text() == text
    main('config', [str(stock), *run, str(out)])
    with pytest.raises(SystemExit, match='exists already; --force'):
        main('config', [str(stock), '--conv', 'odconv', '--out', str(out)])
    with pytest.raises(SystemExit, match=r"'out\.yml' must end with \.py"):
        main('config', [str(stock), *run, 'out.yml'])


def test_the_tutorial_shows_what_the_tool_writes():
    pytest.importorskip('mmdet')
    root = Path(__file__).resolve().parents[2]
    page = root / 'docs' / 'tutorials' / 'detector.md'
    text = short_config(
        'mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py', 'fdconv'
    )
    assert text in page.read_text(encoding='utf-8')


def test_configs_are_found():
    assert (configs_folder('mmfdconv') / '_base_' / 'dynamic').is_dir()
