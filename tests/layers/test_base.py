"""The contract of DynamicConv2d, on a minimal method."""

import pytest
import torch
from torch import nn

from mmfdconv.layers import DynamicConv2d

from .helpers import assert_same_function


class ScaledConv2d(DynamicConv2d):
    """A kernel times one gate that is 1 at the start."""

    router_names = ('router',)

    def __init__(self, *args, device=None, dtype=None, **kwargs):
        super().__init__(*args, device=device, dtype=dtype, **kwargs)
        factory = dict(device=device, dtype=dtype)
        self.kernel = nn.Parameter(torch.empty(self.weight_shape, **factory))
        self.router = nn.Linear(self.in_channels, 1, **factory)
        self.reset_parameters()

    def reset_parameters(self):
        nn.init.normal_(self.kernel)
        if self.bias is not None:
            nn.init.zeros_(self.bias)
        self.reset_router()

    def reset_router(self):
        nn.init.zeros_(self.router.weight)
        nn.init.ones_(self.router.bias)

    @torch.no_grad()
    def load_stock_(self, weight):
        self.kernel.copy_(weight)

    def forward(self, x):
        gate = self.router(x.mean((2, 3))).view(-1, 1, 1, 1, 1)
        return self.convolve(x, gate * self.kernel, self.bias)


@pytest.mark.parametrize(
    'args',
    [
        dict(),
        dict(stride=(2, 1), padding=(1, 2), dilation=2),
        dict(padding='same', dilation=3),
        dict(padding='valid', padding_mode='reflect'),
        dict(padding=2, padding_mode='circular', groups=2, bias=False),
    ],
    ids=str,
)
def test_attributes_of_conv2d(args):
    conv = nn.Conv2d(4, 6, (3, 2), **args)
    layer = ScaledConv2d(4, 6, (3, 2), **args)
    for name in (
        'in_channels',
        'out_channels',
        'kernel_size',
        'stride',
        'padding',
        'dilation',
        'groups',
        'padding_mode',
        'transposed',
        'output_padding',
    ):
        assert getattr(layer, name) == getattr(conv, name), name
    assert (layer.bias is None) == (conv.bias is None)
    assert layer.weight_shape == tuple(conv.weight.shape)


@pytest.mark.core
@pytest.mark.parametrize(
    'args',
    [
        dict(),
        dict(stride=(2, 1), padding=(1, 2), dilation=2),
        dict(padding='same', dilation=3, padding_mode='replicate'),
        dict(padding=2, padding_mode='circular', groups=2, bias=False),
    ],
    ids=str,
)
def test_starts_as_the_stock_conv(args):
    conv = nn.Conv2d(4, 6, (3, 2), **args)
    x = torch.randn(2, 4, 9, 8)
    layer = ScaledConv2d.from_conv(conv)
    assert_same_function(layer, conv, x)
    layer.init_weights()
    assert_same_function(layer, conv, x)

    layer = ScaledConv2d(4, 6, (3, 2), **args)
    with torch.no_grad():
        layer.router.weight.normal_()
    layer.load_state_dict(conv.state_dict())
    assert_same_function(layer, conv, x)


def test_static_convolution_of_the_base():
    conv = nn.Conv2d(4, 6, 3, padding='same', padding_mode='reflect', groups=2)
    layer = ScaledConv2d.from_conv(conv)
    x = torch.randn(2, 4, 7, 6)
    torch.testing.assert_close(
        layer.convolve_static(x, conv.weight, conv.bias), conv(x)
    )


def test_parameters_are_told_apart():
    layer = ScaledConv2d(4, 6, 3)
    assert list(layer.routers()) == [layer.router]
    assert list(map(id, layer.router_parameters())) == [
        id(layer.router.weight),
        id(layer.router.bias),
    ]
    assert {id(p) for p in layer.weight_parameters()} == {
        id(layer.kernel),
        id(layer.bias),
    }


@pytest.mark.parametrize('trainable', [True, False])
def test_from_conv_keeps_the_freeze(trainable):
    conv = nn.Conv2d(4, 6, 3).requires_grad_(trainable).eval()
    layer = ScaledConv2d.from_conv(conv)
    assert layer.bias is conv.bias
    assert layer.bias.requires_grad == trainable
    assert layer.kernel.requires_grad == trainable
    assert layer.router.weight.requires_grad
    assert not layer.training


def test_from_conv_on_the_meta_device():
    conv = nn.Conv2d(4, 6, 3, device='meta', dtype=torch.float64)
    layer = ScaledConv2d.from_conv(conv)
    assert layer.kernel.is_meta
    assert layer.kernel.dtype == torch.float64


def test_half_stock_half_own_checkpoint_is_refused():
    # Neither is known to be right, so neither is guessed.
    layer = ScaledConv2d(4, 6, 3)
    state = layer.state_dict()
    del state['kernel']
    state['weight'] = torch.randn(6, 4, 3, 3)
    with pytest.raises(RuntimeError) as info:
        layer.load_state_dict(state)
    assert '"weight"' in str(info.value)
    assert '"kernel"' in str(info.value)


def test_nested_stock_checkpoint():
    stock = nn.Sequential(
        nn.Sequential(nn.Conv2d(4, 6, 3)), nn.Conv2d(6, 2, 1)
    )
    model = nn.Sequential(
        nn.Sequential(ScaledConv2d(4, 6, 3)), ScaledConv2d(6, 2, 1)
    )
    result = model.load_state_dict(stock.state_dict())
    assert not result.missing_keys and not result.unexpected_keys
    assert_same_function(model, stock, torch.randn(2, 4, 6, 6))


@pytest.mark.parametrize(
    'dtype', [torch.float16, torch.bfloat16, torch.float64]
)
def test_stock_checkpoint_of_another_dtype(dtype):
    conv = nn.Conv2d(4, 6, 3)
    layer = ScaledConv2d(4, 6, 3)
    layer.load_state_dict(
        {k: v.to(dtype) for k, v in conv.state_dict().items()}
    )
    assert layer.kernel.dtype == torch.float32
    x = torch.randn(1, 4, 6, 6)
    assert_same_function(layer, conv, x, rtol=1e-2)


def test_subclass_must_say_how():
    layer = DynamicConv2d(4, 6, 3)
    for call in (
        layer.reset_parameters,
        lambda: layer.load_stock_(torch.zeros(6, 4, 3, 3)),
    ):
        with pytest.raises(NotImplementedError):
            call()


def test_repr_names_what_is_not_default():
    text = repr(ScaledConv2d(4, 6, 3, padding=1, bias=False))
    assert '4, 6, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1)' in text
    assert 'bias=False' in text
    assert 'dilation' not in text
