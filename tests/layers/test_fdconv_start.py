"""FDConv starts as the stock convolution, and stays so through inits."""

import pytest
import torch
from torch import nn

from mmfdconv.layers import FDConv

from .helpers import activate_, assert_same_function, stock_conv

OPTIONS = {
    'default': dict(),
    'paper': dict(kernel_num=64),
    'kernel_num None': dict(kernel_num=None),
    'one group': dict(kernel_num=1),
    'uneven groups': dict(kernel_num=7),
    'att_multi 3': dict(att_multi=3.0),
    'att_multi 0.5': dict(att_multi=0.5),
    'att_multi 3, tanh': dict(
        att_multi=3.0, ksm_local_act='tanh', ksm_global_act='tanh'
    ),
    'att_multi 3, mixed': dict(att_multi=3.0, ksm_local_act='tanh'),
    'att_multi 3, no local': dict(att_multi=3.0, use_ksm_local=False),
    'att_multi 3, only kernel': dict(att_multi=3.0, ksm_only_kernel_att=True),
    'softmax': dict(ksm_only_kernel_att=True, ksm_global_act='softmax'),
    'softmax, ratio': dict(
        ksm_only_kernel_att=True, ksm_global_act='softmax', param_ratio=2
    ),
    'param_ratio 2': dict(param_ratio=2),
    'kernel kept': dict(convert_param=False),
    'kernel kept, ratio, att_multi': dict(
        convert_param=False, param_ratio=2, att_multi=1.5
    ),
    'cold': dict(kernel_temp=0.1, temp=0.1),
    'low band, softmax': dict(
        fbm_cfg=dict(lowfreq_att=True, act='softmax', spatial_group=4)
    ),
    'nearest64': dict(fbm_cfg=dict(mask='nearest64')),
    'static': dict(use_fdconv_if_c_gt=64),
}
SHAPES = {
    'k3': dict(in_channels=8, out_channels=12, kernel_size=3, padding=1),
    'k1 stride 2': dict(
        in_channels=12, out_channels=16, kernel_size=1, stride=2, bias=False
    ),
    'groups': dict(
        in_channels=8,
        out_channels=16,
        kernel_size=3,
        groups=2,
        padding='same',
        padding_mode='reflect',
    ),
    'depthwise k7': dict(
        in_channels=24, out_channels=24, kernel_size=7, groups=24
    ),
}


def example(shape):
    return torch.randn(2, SHAPES[shape]['in_channels'], 14, 11)


@pytest.mark.core
@pytest.mark.parametrize('option', OPTIONS)
@pytest.mark.parametrize('shape', SHAPES)
def test_from_conv(shape, option):
    conv = stock_conv(SHAPES[shape])
    layer = FDConv.from_conv(conv, **OPTIONS[option])
    assert_same_function(layer, conv, example(shape))
    layer.init_weights()
    assert_same_function(layer, conv, example(shape))


@pytest.mark.core
@pytest.mark.parametrize('option', OPTIONS)
@pytest.mark.parametrize('shape', SHAPES)
def test_stock_state_dict(shape, option):
    conv = stock_conv(SHAPES[shape])
    layer = FDConv(**SHAPES[shape], **OPTIONS[option])
    if not layer.static:
        activate_(layer)  # what was there before does not survive
    layer.load_state_dict(conv.state_dict())
    # The statistics of training batches belong to the layer, not to the
    # checkpoint: compare before they move.
    assert_same_function(layer.eval(), conv, example(shape))
    layer.init_weights()
    assert_same_function(layer, conv, example(shape))


@pytest.mark.parametrize('option', ['default', 'att_multi 3', 'kernel kept'])
def test_starts_with_the_gain_of_a_stock_conv(option):
    # Built from nothing, too: a fresh layer is drawn as nn.Conv2d is.
    torch.manual_seed(1)
    layer = FDConv(32, 64, 3, **OPTIONS[option])
    torch.manual_seed(1)
    conv = nn.Conv2d(32, 64, 3)
    x = torch.randn(2, 32, 9, 9)
    expected, y = conv(x), layer(x)
    assert abs(y.std() / expected.std() - 1) < 0.1
    assert layer.bias.abs().max() <= 1 / (32 * 9) ** 0.5


def test_param_reduction_keeps_the_low_frequencies():
    conv = nn.Conv2d(8, 8, 3, padding=1)
    x = torch.randn(2, 8, 9, 9)
    expected = conv(x)
    errors = []
    for part in (0.2, 0.5, 0.9):
        layer = FDConv.from_conv(conv, param_reduction=part)
        errors.append((layer(x) - expected).norm() / expected.norm())
    # A kernel of noise loses energy in proportion to the frequencies.
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.5
    with torch.no_grad():
        conv.weight.fill_(0.1)  # an image with one frequency: 0
    layer = FDConv.from_conv(conv, param_reduction=0.2)
    assert_same_function(layer, conv, x)


# ---------------------------------------------------------------- OpenMMLab


def test_base_module_init_weights():
    engine = pytest.importorskip(
        'mmengine.model', reason='MMEngine is not installed'
    )

    class Net(engine.BaseModule):
        def __init__(self):
            super().__init__(init_cfg=dict(type='Kaiming', layer='Conv2d'))
            self.stem = nn.Conv2d(3, 4, 3)
            self.conv = FDConv(4, 6, 3)

    net = Net()
    conv = nn.Conv2d(4, 6, 3)
    net.conv.load_state_dict(conv.state_dict())
    net.init_weights()
    assert_same_function(net.conv, conv, torch.randn(2, 4, 7, 6))
