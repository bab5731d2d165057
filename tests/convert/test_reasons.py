"""What must stay static: tied, computed, read or merged weights."""

import copy
import re

import pytest
import torch
from mmengine.registry import MODELS, DefaultScope
from torch import nn

from mmfdconv.convert import LayerRule, convert_dynamic_
from mmfdconv.layers import FDConv
from mmfdconv.registry import LAYERS

from ..layers.helpers import relative_error

pytestmark = pytest.mark.core

CFG = dict(type='FDConv', kernel_num=4)
EVERYTHING = LayerRule(linears=True)


def reasons(report):
    return {row.name: row.reason for row in report.skipped}


@pytest.mark.parametrize('tied', ['weight', 'bias'])
def test_tied_parameters_stay_tied(tied):
    net = nn.Sequential(*(nn.Conv2d(8, 8, 3) for _ in range(3)))
    setattr(net[2], tied, getattr(net[0], tied))
    report = convert_dynamic_(net, CFG, EVERYTHING)
    assert getattr(net[2], tied) is getattr(net[0], tied)
    assert [type(m) for m in net] == [nn.Conv2d, FDConv, nn.Conv2d]
    assert reasons(report) == {
        '0': f'its {tied} is also 2.{tied}',
        '2': f'its {tied} is also 0.{tied}',
    }


def test_a_weight_that_another_kind_of_module_holds():
    net = nn.Sequential(nn.Embedding(16, 8), nn.Linear(8, 16))
    net[1].weight = net[0].weight
    with pytest.raises(ValueError, match=r'its weight is also 0\.weight'):
        convert_dynamic_(net, CFG, EVERYTHING)


class MaskedConv(nn.Conv2d):
    """A plain convolution to call, with a buffer that others read."""

    def __init__(self, *args):
        super().__init__(*args)
        self.register_buffer('mask', torch.ones(8))


def with_checkpoint_hook():
    conv = nn.Conv2d(8, 8, 3)
    conv._register_load_state_dict_pre_hook(lambda *args: None)
    return conv


def with_own_forward():
    conv = nn.Conv2d(8, 8, 3)
    conv.forward = lambda x: nn.Conv2d.forward(conv, x + 1)
    return conv


def pruned():
    from torch.nn.utils import prune

    return prune.l1_unstructured(nn.Conv2d(8, 8, 3), 'weight', 0.5)


@pytest.mark.filterwarnings('ignore:.*weight_norm')
@pytest.mark.parametrize(
    'make, words',
    [
        (lambda: MaskedConv(8, 8, 3), 'it holds mask, too'),
        (with_checkpoint_hook, 'a hook changes its checkpoint'),
        (with_own_forward, 'computes more than a convolution'),
        (pruned, 'computed by a hook or parametrization'),
        (
            lambda: nn.utils.weight_norm(nn.Conv2d(8, 8, 3)),
            'computed by a hook or parametrization',
        ),
        (
            lambda: nn.utils.spectral_norm(nn.Conv2d(8, 8, 3)),
            'computed by a hook or parametrization',
        ),
        (
            lambda: nn.utils.parametrizations.spectral_norm(
                nn.Conv2d(8, 8, 3)
            ),
            'computed by a hook or parametrization',
        ),
    ],
)
def test_odd_layers_stay_and_say_why(make, words):
    net = nn.Sequential(nn.Conv2d(8, 8, 3), make())
    keys = set(net[1].state_dict())
    report = convert_dynamic_(net, CFG, EVERYTHING)
    assert words in reasons(report)['1']
    assert set(net[1].state_dict()) == keys


def test_hooks_go_on_and_can_be_removed():
    net = nn.Sequential(nn.Conv2d(8, 8, 3))
    calls = []

    def note(kind):
        return lambda *args, **kwargs: calls.append(kind)

    handles = [
        net[0].register_forward_pre_hook(note('before')),
        net[0].register_forward_hook(note('after'), with_kwargs=True),
        net[0].register_full_backward_pre_hook(note('backward before')),
        net[0].register_full_backward_hook(note('backward')),
    ]
    convert_dynamic_(net, CFG, EVERYTHING)
    assert type(net[0]) is FDConv
    x = torch.randn(2, 8, 5, 5, requires_grad=True)
    net(x).sum().backward()
    assert calls == ['before', 'after', 'backward before', 'backward']
    for handle in handles:
        handle.remove()
    net(x).sum().backward()
    assert len(calls) == 4


@pytest.mark.parametrize(
    'make, name',
    [
        ('DeformConv2dPack(8, 8, 3)', 'conv_offset'),
        ('ModulatedDeformConv2dPack(8, 8, 3)', 'conv_offset'),
        ('SAConv2d(8, 8, 3, use_deform=True)', 'offset_s'),
        ('ModulatedDeformRoIPoolPack(7, 8)', 'offset_fc.0'),
        ('MultiScaleDeformableAttention(32, 4)', 'sampling_offsets'),
    ],
)
def test_what_steers_sampling_stays(make, name):
    ops = pytest.importorskip('mmcv.ops')
    layer = eval(make, vars(ops))
    net = nn.Sequential(nn.Conv2d(8, 8, 3), layer)
    stock = type(layer.get_submodule(name))
    report = convert_dynamic_(net, CFG, EVERYTHING)
    assert type(layer.get_submodule(name)) is stock
    words = 'a part of|where another layer samples'
    assert re.search(words, reasons(report)[f'1.{name}'])


def test_offsets_of_objects_are_no_sampling():
    """CenterNet's head predicts where in a pixel an object is."""
    net = nn.ModuleDict(dict(offset_head=nn.Conv2d(8, 8, 3)))
    assert convert_dynamic_(net, CFG, EVERYTHING).converted


def toolbox_model(name, **options):
    toolbox = name.partition('.')[0]
    pytest.importorskip(toolbox)
    __import__(f'{toolbox}.models')
    with DefaultScope.overwrite_default_scope(toolbox):
        return MODELS.build(dict(type=name, **options))


def repvgg():
    arch = dict(
        num_blocks=[1, 1, 1, 1],
        width_factor=[0.25, 0.25, 0.25, 0.25],
        group_layer_map=None,
        se_cfg=dict(ratio=4),
    )
    return toolbox_model('mmpretrain.RepVGG', arch=arch)


def mobileone():
    arch = dict(
        num_blocks=[1, 1, 1, 1],
        width_factor=[0.25, 0.25, 0.25, 0.25],
        num_conv_branches=[2, 2, 2, 2],
        num_se_blocks=[0, 0, 1, 1],
    )
    return toolbox_model('mmpretrain.MobileOne', arch=arch)


def replknet():
    arch = dict(
        large_kernel_sizes=[9, 7, 7, 5],
        layers=[1, 1, 1, 1],
        channels=[16, 16, 32, 32],
        small_kernel=3,
        dw_ratio=1,
    )
    return toolbox_model('mmpretrain.RepLKNet', arch=arch)


def repmlp():
    arch = dict(
        channels=[16, 32, 32, 64],
        depths=[1, 1, 1, 1],
        sharesets_nums=[1, 4, 4, 4],
    )
    return toolbox_model(
        'mmpretrain.RepMLPNet',
        arch=arch,
        img_size=64,
        reparam_conv_kernels=(1, 3),
    )


@torch.no_grad()
@pytest.mark.parametrize('make', [repvgg, mobileone, replknet, repmlp])
def test_deployment_after_conversion(make):
    model = make()
    model.eval()  # returns None where a toolbox overrides train()
    for name, buffer in model.named_buffers():
        if name.endswith('running_mean'):
            buffer.uniform_(-0.1, 0.1)
        elif name.endswith('running_var'):
            buffer.uniform_(0.5, 1.5)
    x = torch.randn(2, 3, 64, 64)
    stock = copy.deepcopy(model)
    report = convert_dynamic_(model, CFG, EVERYTHING)
    assert report.converted
    assert any('for deployment' in r for r in reasons(report).values())
    stock.switch_to_deploy()
    model.switch_to_deploy()
    assert any(isinstance(m, FDConv) for m in model.modules())
    # Not with the undeployed one: deployed, mmpretrain's RepVGG leaves its
    # squeeze-and-excitation out.
    assert relative_error(model(x)[-1], stock(x)[-1]) < 1e-4


def test_what_is_wholly_merged_says_so():
    model = toolbox_model('mmpretrain.MobileOne', arch='s0')
    with pytest.raises(ValueError, match='build the model deployed'):
        convert_dynamic_(model, CFG)


@pytest.mark.parametrize('name', ['repvgg_a0', 'mobileone_s0', 'repvit_m0_9'])
def test_timm_is_merged_too(name):
    timm = pytest.importorskip('timm')
    from timm.utils.model import reparameterize_model

    model = timm.create_model(name)
    rule = LayerRule(linears=True, min_channels=5)
    report = convert_dynamic_(model, CFG, rule)
    assert any('for deployment' in r for r in reasons(report).values())
    reparameterize_model(model)


@torch.no_grad()
@pytest.mark.parametrize('kernel_size, dilation', [(1, 1), (3, 1), (5, 2)])
@pytest.mark.parametrize(
    'where, name',
    [
        ('mmcv.cnn.bricks', 'Conv2dAdaptivePadding'),
        ('timm.layers', 'Conv2dSame'),
    ],
)
def test_padding_by_the_size_of_the_input(where, name, kernel_size, dilation):
    """Those that EfficientNets are made of."""
    cls = getattr(pytest.importorskip(where), name)

    def conv(k, stride):
        return cls(8, 8, k, stride, dilation=dilation)

    net = nn.Sequential(
        conv(kernel_size, 1), conv(kernel_size, 2), conv(2, 1), conv(4, (3, 2))
    )
    stock = copy.deepcopy(net)
    report = convert_dynamic_(net, CFG, EVERYTHING)
    assert [row.name for row in report.converted] == ['0', '1', '2', '3']
    for size in ((9, 12), (10, 7), (25, 26)):
        x = torch.randn(2, 8, *size)
        assert relative_error(net(x), stock(x)) < 1e-5
    assert list(stock.state_dict())[:2] == ['0.weight', '0.bias']
    net.load_state_dict(stock.state_dict())
    assert relative_error(net(x), stock(x)) < 1e-5


class Net(nn.Module):
    """Two layers, of which one warehouse can be made."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 1)
        )

    def forward(self, x):
        return self.layers(x)


@torch.no_grad()
@pytest.mark.parametrize('method', sorted(LAYERS))
def test_from_the_meta_device(method):
    """As ``load_state_dict(assign=True)`` of a large model is used."""
    cfg = dict(type=method)
    if method == 'FDConv':
        cfg['kernel_num'] = 4
    if method == 'KWConv':
        cfg['warehouse_names'] = {r'layers\.(\d)': r'stage0_conv\1'}
    rule = LayerRule()
    model = Net().eval()
    stock = model.state_dict()
    convert_dynamic_(model, cfg, rule)
    with torch.device('meta'):
        other = Net().eval()
    convert_dynamic_(other, cfg, rule)
    with pytest.raises(RuntimeError, match='was built on the meta device'):
        other.load_state_dict(copy.copy(stock), strict=False, assign=True)
    other.load_state_dict(model.state_dict(), assign=True)
    assert not any(p.is_meta for p in other.parameters())
    x = torch.randn(2, 8, 20, 20)
    assert other(x).equal(model(x))


class TridentConv(nn.Module):
    """As mmdet's, which holds a kernel and calls F.conv2d."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(8, 8, 3, 3))


def test_convolutions_of_other_kinds_are_listed():
    net = nn.Sequential(
        nn.Conv2d(8, 8, 3),
        nn.ConvTranspose2d(8, 8, 2),
        nn.ModuleList(nn.Conv1d(8, 8, 1) for _ in range(4)),
        nn.Conv3d(8, 8, 1),
        TridentConv(),
    )
    assert convert_dynamic_(net, CFG, EVERYTHING).notes == (
        'ConvTranspose2d stays (1): transposed convolutions have no dynamic '
        'form here',
        'Conv1d stays (2.0, 2.1, 2.2 and 1 more): the methods are for two '
        'dimensions',
        'Conv3d stays (3): the methods are for two dimensions',
        'TridentConv stays (4): it is no nn.Conv2d',
    )
