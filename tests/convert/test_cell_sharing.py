"""Which layers of a backbone share which warehouse."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from torch import nn

from mmfdconv.convert import (
    PRESETS,
    convert_dynamic_,
    with_dynamic_convolutions,
)
from mmfdconv.layers import KWConv
from mmfdconv.layers.cell_sharing import full_name, shared_name
from mmfdconv.layers.warehouse_names import WAREHOUSE_NAMES

from .backbones import registered

pytestmark = pytest.mark.core


@pytest.mark.parametrize(
    'name, full',
    [
        ('layer1.0.conv1', None),  # sees the stem
        ('layer1.0.downsample.0', None),
        ('layer1.0.conv2', 'stage0_layer0_conv1'),
        ('layer1.2.conv1', 'stage0_layer2_conv0'),
        ('layer2.0.conv1', 'stage0_layernext_conv0'),
        ('layer2.0.downsample.0', 'stage0_layershortcut_conv0'),
        ('layer2.0.conv2', 'stage1_layer0_conv1'),
        ('layer2.1.convs.3', 'stage1_layer1_scales'),  # Res2Net's
        ('layer2.1.conv2.conv', 'stage1_layer1_conv1'),  # ResNeSt's
        ('conv1', None),
        ('layer2.0.expand_conv.conv', 'stage1_layernext_pwconv0'),
        ('layer2.1.depthwise_conv.conv', 'stage2_layer1_dwconv0'),
        ('layer7.0.linear_conv.conv', 'stage6_layer0_pwconv1'),
        ('layer1.0.conv.0.conv', 'stage1_layer0_dwconv0'),
        ('layer1.0.conv.1.conv', 'stage1_layer0_pwconv1'),
        ('layer2.0.conv.0.conv', 'stage1_layernext_pwconv0'),
        ('layer2.1.conv.1.conv', 'stage2_layer1_dwconv0'),
        ('layer7.0.conv.2.conv', 'stage6_layer0_pwconv1'),
        ('conv2.conv', 'stage6_layerlast_pwconv1'),
        ('conv1.conv', 'stage0_conv0'),
        ('stages.2.8.depthwise_conv', 'stage2_layer8_dwconv0'),
        ('stages.0.1.pointwise_conv2', 'stage0_layer1_pwconv2'),
        ('downsample_layers.0.0', 'stagestem_conv0'),
        ('downsample_layers.3.1', 'stage2_layerds_conv0'),
    ],
)
def test_full_names(name, full):
    assert full_name(name) == full


def test_sharing_range():
    name = 'stage1_layer0_conv2'
    assert shared_name(name, ('layer', 'conv')) == 'stage1_layer_conv'
    assert shared_name(name, ('layer',)) == 'stage1_layer_conv2'
    assert shared_name(name, ()) == name


@pytest.fixture(scope='module')
def resnet():
    pytest.importorskip('mmdet')
    import mmdet.models  # noqa: F401

    def build(**options):
        cfg = dict(type='mmdet.ResNet', depth=50, base_channels=16)
        return MODELS.build(
            dict(
                type='DynamicBackbone',
                backbone=dict(cfg, norm_eval=False, frozen_stages=1),
                conv_cfg=dict(type='KWConv', **options),
            )
        )

    return build


def test_one_warehouse_per_stage(resnet):
    model = resnet()
    assert len(model.warehouse_manager.weights) == 4
    layers = [m for m in model.modules() if isinstance(m, KWConv)]
    assert len(layers) == 50
    assert model.layer2[0].conv1.cells is model.layer1[1].conv1.cells
    assert model.layer2[0].downsample[0].cells is model.layer1[1].conv1.cells
    by_position = resnet(sharing_range=('layer',))
    assert len(by_position.warehouse_manager.weights) == 12


def test_published_names(resnet):
    """Keys of a backbone of OSVAI/KernelWarehouse, its classifier apart."""
    keys = set(resnet().state_dict())
    own = {k for k in keys if k.endswith('temperature')}
    expected = {f'warehouse_manager.weights.{i}' for i in range(4)}
    for block in ('layer1.1', 'layer4.2'):
        for conv in ('conv1', 'conv2', 'conv3'):
            expected |= {
                f'{block}.{conv}.attention.{key}'
                for key in (
                    'fc1.weight',
                    'norm1.weight',
                    'norm1.running_mean',
                    'norm1.num_batches_tracked',
                    'fc2.weight',
                    'fc2.bias',
                )
            }
    assert expected <= keys
    assert 'layer1.0.conv1.weight' in keys  # static, as published
    published = {k: torch.rand(1) for k in keys - own}
    model = resnet()
    state = {
        k: torch.rand_like(v) if v.is_floating_point() else v
        for k, v in model.state_dict().items()
        if k in published
    }
    model.load_state_dict(state)
    for key, value in model.state_dict().items():
        if key in state:
            assert value.equal(state[key]), key


def test_stock_checkpoint_and_live_routers(resnet):
    model = resnet(cell_num_ratio=4)
    cfg = dict(type='mmdet.ResNet', depth=50, base_channels=16)
    stock = MODELS.build(cfg)
    model.load_state_dict(stock.state_dict())
    x = torch.randn(1, 3, 64, 64)
    stock.eval(), model.eval()
    for a, b in zip(model(x), stock(x)):
        assert ((a - b).norm() / b.norm()) < 1e-4
    model.train()
    layer = model.layer1[1].conv1
    assert all(p.requires_grad for p in layer.attention.parameters())
    # The next stage works with the same cells, so they stay alive too.
    assert layer.cells.requires_grad


def test_options_of_the_warehouse_hold_for_all():
    net = nn.Module()
    net.add_module('layer1', nn.Sequential(nn.Sequential()))
    net.layer1[0].add_module('conv2', nn.Conv2d(8, 8, 3))
    net.layer1[0].add_module('conv3', nn.Conv2d(8, 8, 1))
    rule = dict(patterns={r'.*conv3': dict(cell_num_ratio=4)})
    with pytest.raises(ValueError, match='whole backbone'):
        convert_dynamic_(net, dict(type='KWConv'), rule)
    convert_dynamic_(net, dict(type='KWConv'), {})
    report = convert_dynamic_(net, dict(type='KWConv'), {})
    assert not report.converted


def test_convnext_has_the_published_parameters():
    """KernelWarehouse's README: 28.59 M, with KW (1x) 39.37 M."""
    pytest.importorskip('mmpretrain')
    import mmpretrain.models  # noqa: F401

    model = MODELS.build(dict(type='mmpretrain.ConvNeXt', arch='tiny'))
    report = convert_dynamic_(model, dict(type='KWConv', cell_num_ratio=1))
    # stem and downsampling too; a warehouse each, one per stage for the
    # depthwise and one for the pointwise layers
    assert len(model.warehouse_manager.weights) == 4 + 4 + 4
    assert report.added_params / 1e6 == pytest.approx(39.37 - 28.59, abs=0.01)


@pytest.mark.parametrize('ratio, published', [(1, 11.93), (4, 45.86)])
def test_resnet18_has_the_published_parameters(ratio, published):
    """KernelWarehouse's README: ResNet-18 has 11.69 M."""
    torchvision = pytest.importorskip('torchvision')

    model = torchvision.models.resnet18(weights=None)
    cfg = dict(type='KWConv', cell_num_ratio=ratio)
    report = convert_dynamic_(model, cfg)
    assert 'layer1.0.conv1' in [row.name for row in report.converted]
    assert report.added_params / 1e6 == pytest.approx(
        published - 11.69, abs=0.01
    )


def test_mobilenetv2_has_the_published_parameters():
    """KernelWarehouse's README: 3.50 M, with KW (1x) 5.17 M."""
    pytest.importorskip('mmpretrain')
    import mmpretrain.models  # noqa: F401

    with torch.device('meta'):
        model = MODELS.build(dict(type='mmpretrain.MobileNetV2'))
        report = convert_dynamic_(model, dict(type='KWConv'))
    # As published, although its widths have small common divisors.
    assert len(model.warehouse_manager.weights) == 13
    assert report.added_params / 1e6 == pytest.approx(5.17 - 3.50, abs=0.01)


LIGHT = {
    'tf_efficientnet_lite0': (3.95, 16),
    'mobilenetv3_large_100': (1.92, 19),
    'EfficientNet': (3.95, 16),
    'MobileNetV3': (3.70, 16),
}


@pytest.mark.parametrize('name', LIGHT)
def test_light_backbones_stay_light(name):
    """With a warehouse per stage they had 200 to 20,000 M."""
    pytest.importorskip('mmpretrain')
    import mmpretrain.models  # noqa: F401

    if name.islower():
        pytest.importorskip('timm')
        settings = dict(type='mmpretrain.TIMMBackbone', model_name=name)
        settings.update(features_only=True)
    else:
        arch = 'b0' if name == 'EfficientNet' else 'large'
        settings = dict(type=f'mmpretrain.{name}', arch=arch)
    cfg = Config(dict(model=dict(backbone=settings)))
    cfg = with_dynamic_convolutions(cfg, 'kw1x').model.backbone.conv_cfg
    model = MODELS.build(settings).to('meta')
    report = convert_dynamic_(model, cfg)
    added, number = LIGHT[name]
    assert report.added_params / 1e6 == pytest.approx(added, abs=0.01)
    assert len(model.warehouse_manager.weights) == number
    told = [note for note in report.notes if 'large common divisor' in note]
    assert told and not any('times the param' in n for n in report.notes)


class Stage(nn.Sequential):
    """Layers whose names give them one warehouse."""

    def convert(self):
        model = nn.Module()
        model.add_module('net', self)
        names = {r'net\.\d+': 'stage0'}
        cfg = dict(type='KWConv', warehouse_names=names)
        return convert_dynamic_(model, cfg, {})

    def kinds(self):
        """Number of the warehouse of each layer."""
        return [layer.warehouse_index for layer in self]


def test_widths_part_a_warehouse():
    """Together they would have cells of 4x4 channels."""
    net = Stage(
        nn.Conv2d(40, 240, 1),
        nn.Conv2d(28, 168, 1),
        nn.Conv2d(168, 28, 1),
        nn.Conv2d(240, 40, 1),
        nn.Conv2d(240, 240, 3, groups=240),
        nn.Conv2d(168, 168, 3, groups=168),
        nn.Conv2d(28, 168, 1),
    )
    report = net.convert()
    assert net.kinds() == [0, 1, 1, 0, 2, 3, 1]
    cells = [tuple(w.shape[1:3]) for w in net[0]._warehouse[0].weights]
    assert cells == [(40, 40), (28, 28), (240, 1), (168, 1)]
    assert any('the 7 layers of stage0 share 4' in n for n in report.notes)


def test_groups_share_nothing_with_full_kernels():
    net = Stage(
        nn.Conv2d(64, 128, 1),
        nn.Conv2d(128, 128, 3, groups=32),
        nn.Conv2d(128, 64, 1),
    )
    net.convert()
    assert net.kinds() == [0, 1, 0]


def test_the_papers_names_keep_a_stage_together(resnet):
    """At any width that has whole cells; not at Res2Net's."""
    model = MODELS.build(dict(type='mmdet.ResNet', depth=18, base_channels=4))
    convert_dynamic_(model, dict(type='KWConv'))
    assert len(model.warehouse_manager.weights) == 4
    cfg = dict(type='mmdet.Res2Net', depth=50, scales=4, base_width=26)
    report = convert_dynamic_(
        MODELS.build(cfg).to('meta'), dict(type='KWConv')
    )
    assert report.added_params / 1e6 == pytest.approx(3.68, abs=0.01)
    assert not [row for row in report.skipped if '.convs.' in row.name]


@pytest.mark.parametrize('toolbox', ['mmdet', 'mmseg', 'mmpretrain'])
def test_every_backbone_with_a_preset_has_names(toolbox):
    pytest.importorskip(toolbox)
    by_the_paper = {'ResNet', 'MobileNetV2', 'ConvNeXt'}
    for name, cls in registered(toolbox).items():
        families = {base.__name__ for base in cls.__mro__} & {*PRESETS}
        assert not families - by_the_paper or name in WAREHOUSE_NAMES, name


def test_a_backbone_inside_has_its_own_names(resnet):
    cfg = dict(type='mmdet.ResNet', depth=18, base_channels=4)
    model = nn.Module()
    model.path = nn.Module()
    model.path.backbone = MODELS.build(cfg)
    report = convert_dynamic_(model, dict(type='KWConv'))
    assert len(model.warehouse_manager.weights) == 4
    assert len(report.converted) == 19


def test_many_layers_of_one_warehouse_are_told():
    net = Stage(*(nn.Conv2d(8, 8, 7) for _ in range(2)))
    assert not any('times the param' in n for n in net.convert().notes)
    net = Stage(*(nn.Conv2d(8, 8, 7) for _ in range(5)))
    (note,) = [n for n in net.convert().notes if 'times the param' in n]
    # 245 mixtures of 246 logits from 16 numbers and a bias, 245 * 64 weights
    assert f'{246 * 17 / 64:.0f} times' in note
    assert '8x8 channels' in note and 'net.0 to net.4' in note


def test_only_a_basic_block_starts_in_the_first_warehouse():
    assert full_name('layer1.0.conv1', (3, 3)) == 'stage0_layer0_conv0'
    assert full_name('layer1.0.conv1', (1, 1)) is None
    assert full_name('layer1.0.downsample.0', (3, 3)) is None


def test_the_report_says_what_routers_need(resnet):
    cfg = dict(type='mmdet.ResNet', depth=18, base_channels=8)

    def notes(**options):
        model = MODELS.build(cfg)
        report = convert_dynamic_(model, dict(type='KWConv', **options))
        assert str(report).splitlines()[-1].endswith('parameters')
        return '\n'.join(report.notes)

    assert 'gradients of exactly 0' in notes()
    assert 'TemperatureHook' in notes(temperature=1.0)
    assert 'gradients of exactly 0' not in notes(temperature=0.9)
    assert 'DynamicOptimConstructor' in notes(temperature=0.9)


@pytest.mark.parametrize('temperature, learns', [(1.0, False), (0.9, True)])
def test_the_note_is_true(resnet, temperature, learns):
    model = resnet(temperature=temperature)
    outs = model.train()(torch.randn(2, 3, 64, 64))
    sum(out.square().mean() for out in outs).backward()
    for layer in model.modules():
        if isinstance(layer, KWConv):
            grads = [p.grad for p in layer.router_parameters()]
            assert any(g.any() for g in grads) is learns
