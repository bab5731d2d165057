"""Dynamic layers on tokens: nn.Linear from outside, the convolution inside."""

import pytest
import torch
from torch import nn

from mmfdconv.layers import FADConv, FADLinear, FDConv, FDLinear, linear_class

from .methods import METHODS

pytestmark = pytest.mark.core

CLASSES = list(dict.fromkeys(linear_class(cls) for cls, _ in METHODS.values()))
SHAPES = [
    (2, 5, 32),
    (2, 4, 6, 32),
    (2, 2, 3, 4, 32),
    (3, 32),
    (32,),
    (0, 5, 32),
    (2, 0, 32),
    (0, 32),
]
# float32, a product of 32 terms after an FFT and its inverse
CLOSE = dict(rtol=1e-5, atol=1e-5)


def wake(layer):
    """Gates away from their neutral start."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_(std=0.3)
    return layer


@pytest.mark.parametrize('shape', SHAPES, ids=str)
@pytest.mark.parametrize('cls', CLASSES)
def test_it_starts_as_the_stock_layer(cls, shape):
    torch.manual_seed(0)
    stock = nn.Linear(32, 48)
    layer = cls.from_conv(stock).eval()
    x = torch.randn(shape)
    y = layer(x)
    torch.testing.assert_close(y, stock(x), **CLOSE)
    assert y.is_contiguous()


@pytest.mark.parametrize('cls', CLASSES)
def test_a_stock_checkpoint_loads(cls):
    torch.manual_seed(0)
    stock, layer = nn.Linear(32, 48), cls(32, 48).eval()
    assert layer.load_state_dict(stock.state_dict()) == ([], [])
    x = torch.randn(2, 5, 32)
    torch.testing.assert_close(layer(x), stock(x), **CLOSE)
    with pytest.raises(RuntimeError, match='does not fit'):
        layer.load_state_dict(nn.Linear(16, 48).state_dict())


@pytest.mark.parametrize('bias', [True, False])
@pytest.mark.parametrize('cls', CLASSES)
def test_it_is_the_convolution_on_a_map(cls, bias):
    layer = wake(cls(32, 48, bias)).double().eval()
    conv = cls.__mro__[2](32, 48, 1, bias=bias).double().eval()
    conv.load_state_dict(layer.state_dict())
    x = torch.randn(2, 4, 6, 32, dtype=torch.double)
    expected = conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    torch.testing.assert_close(layer(x), expected)
    if cls is not FADLinear:  # which looks at positions
        torch.testing.assert_close(
            layer(x.flatten(1, 2)), expected.flatten(1, 2)
        )


def test_samples_have_their_own_kernel():
    layer = wake(FDLinear(32, 48, kernel_num=8)).eval()
    x = torch.randn(2, 5, 32)
    torch.testing.assert_close(layer(x)[:1], layer(x[:1]))
    shifted = torch.cat([x[:1], x[1:] + 1])
    torch.testing.assert_close(layer(shifted)[0], layer(x)[0])
    # the same token among others is weighed otherwise
    alone = layer(x[:, :1])
    assert (alone - layer(x)[:, :1]).abs().max() > 1e-3


def test_fat_sees_the_grid_where_the_shape_has_one():
    layer = wake(FADLinear(32, 48)).eval()
    x = torch.randn(1, 8, 4, 32)
    on_grid = layer(x).flatten(1, 2)
    in_line = layer(x.flatten(1, 2))
    assert (on_grid - in_line).abs().max() > 1e-4
    torch.testing.assert_close(
        layer(x.flatten(1, 2).unsqueeze(2))[:, :, 0], in_line
    )


@pytest.mark.parametrize('cls', CLASSES)
def test_every_parameter_gets_a_gradient(cls):
    layer = wake(cls(32, 48)).train()
    x = torch.randn(4, 5, 32, requires_grad=True)
    layer(x).square().sum().backward()
    for name, parameter in [*layer.named_parameters(), ('x', x)]:
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_the_published_gate_leaves_a_plain_linear_layer():
    torch.manual_seed(0)
    stock = nn.Linear(16, 48)
    layer = FDLinear.from_conv(stock, use_fdconv_if_c_gt=16)
    assert layer.static and 'static' in repr(layer)
    x = torch.randn(2, 5, 16)
    torch.testing.assert_close(layer(x), stock(x))


@pytest.mark.parametrize('cls', CLASSES)
def test_tokens_without_a_batch_have_one_kernel(cls):
    layer = wake(cls(32, 48)).eval()
    x = torch.randn(5, 32)
    torch.testing.assert_close(layer(x), layer(x[None])[0])
    torch.testing.assert_close(layer(x[0]), layer(x[:1])[0])


@pytest.mark.parametrize('shape', [(2, 0, 32), (0, 32)], ids=str)
@pytest.mark.parametrize('cls', CLASSES)
def test_no_tokens_move_nothing(cls, shape):
    layer = wake(cls(32, 48)).train()
    layer(torch.randn(shape)).sum().backward()
    for name, parameter in layer.named_parameters():
        assert not parameter.grad.any(), name  # and none is NaN


@pytest.mark.parametrize('shape', [(2, 5, 31), (31,), ()], ids=str)
@pytest.mark.parametrize('cls', CLASSES)
def test_wrong_tokens_are_told(cls, shape):
    layer = cls(32, 48)
    with pytest.raises(ValueError, match=r'tokens \(B, N, 32\)') as info:
        layer(torch.randn(shape))
    assert str(shape) in str(info.value)
    with pytest.raises(ValueError, match='floating point .* torch.int64'):
        layer(torch.ones(2, 5, 32, dtype=torch.long))


def test_wrong_arguments_are_told():
    with pytest.raises(ValueError, match='in_channels'):
        FDLinear(0, 48)
    assert linear_class(FDConv) is FDLinear
    assert linear_class(FADConv) is FADLinear
    with pytest.raises(ValueError, match='FDLinear'):
        linear_class(FDLinear)
