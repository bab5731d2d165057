"""With descriptors given, no layer's kernel depends on its input."""

import pytest
import torch
from torch import nn

from mmfdconv.layers import (
    DYConv,
    FDLinear,
    fixed_gates,
    record_descriptors,
)
from mmfdconv.layers.fixed_gates import mixes_groups

from .methods import METHODS
from .test_kernel_warehouse import TwoLayers, convert
from .test_recording import spread_router_

pytestmark = pytest.mark.core


def build(name):
    """A layer off its neutral start, whose only nonlinearity is in gates."""
    if name == 'KWConv':
        layer = convert(TwoLayers()).double().eval().c1
        layer.attention.temperature.fill_(0)  # learned cells
        return spread_router_(layer)
    cls, options = METHODS[name]
    if cls.__name__ == 'FDConv':
        options = dict(options, use_fbm_if_k_in=())
    layer = cls(4, 6, 3, padding=1, **options).eval()
    return spread_router_(layer).double()


@pytest.fixture(params=[*METHODS, 'KWConv'])
def layer(request):
    return build(request.param)


def images(layer, count, seed=0):
    torch.manual_seed(seed)
    like = next(layer.parameters())
    return torch.randn(count, layer.in_channels, 9, 8).to(like)


def test_nothing_else_sees_the_input(layer):
    """A convolution that is the same for all images is affine."""
    one, two = images(layer, 1), images(layer, 1, seed=1)
    with record_descriptors(layer) as means:
        layer(images(layer, 3, seed=2))

    def bent(forward):
        both = forward(one) + forward(two)
        whole = forward(one + two) + forward(torch.zeros_like(one))
        return (both - whole).abs().max() / both.abs().max()

    assert bent(layer) > 1e-6
    with fixed_gates(layer, means):
        assert bent(layer) < 1e-12
    assert bent(layer) > 1e-6


def test_an_images_own_descriptor_changes_nothing(layer):
    x = images(layer, 1)
    with record_descriptors(layer) as means:
        expected = layer(x)
    with fixed_gates(layer, means):
        torch.testing.assert_close(layer(x), expected)
        torch.testing.assert_close(
            layer(torch.cat([x, images(layer, 1, seed=1)]))[:1], expected
        )


def test_the_mean_is_that_of_all_images(layer):
    x = images(layer, 5)
    alone = []
    for image in x:
        with record_descriptors(layer) as means:
            layer(image[None])
        alone.append(means)
    with record_descriptors(layer) as means:
        for batch in (x[:3], x[:0], x[3:]):
            layer(batch)
    assert means
    for name, mean in means.items():
        expected = torch.cat([one[name] for one in alone]).mean(0, True)
        torch.testing.assert_close(mean, expected)
        assert not mean.requires_grad


def same_without_gradients(layer, x, means):
    """Fixed gates with gradients, and twice without: as a stock layer."""
    calls = []
    part = layer.get_submodule(next(iter(means)))
    with fixed_gates(layer, means):
        expected = layer(x)
        part.register_forward_hook(lambda *_: calls.append(1))
        with torch.no_grad():
            for images in (x, x[:1]):
                y = layer(images)
                torch.testing.assert_close(y, expected[: len(images)])
        # DCD's low-rank path mixes the channels of groups: run as it is.
        assert len(calls) == (2 if mixes_groups(layer) else 1)
        layer.train()(x)
    layer.eval()
    with torch.no_grad():
        assert (layer(x) - expected).abs().max() > 1e-6


def test_without_gradients_it_is_a_stock_layer(layer):
    with record_descriptors(layer) as means:
        layer(images(layer, 3))
    same_without_gradients(layer, images(layer, 2, seed=1), means)


@pytest.mark.parametrize(
    'name, options',
    [
        ('FDConv', dict(stride=2, padding='same', bias=False)),
        ('ODConv', dict(groups=2, padding_mode='reflect')),
        ('DCDConv', dict(groups=2)),
    ],
)
def test_so_it_is_with_other_options(name, options):
    cls, own = METHODS[name]
    options = dict(dict(padding=1), **options)
    layer = spread_router_(cls(4, 6, 3, **options, **own).eval()).double()
    with record_descriptors(layer) as means:
        layer(images(layer, 3))
    same_without_gradients(layer, images(layer, 2, seed=1), means)


def test_so_it_is_on_tokens():
    layer = spread_router_(FDLinear(8, 6).eval()).double()
    with record_descriptors(layer) as means:
        layer(torch.randn(3, 5, 8).double())
    same_without_gradients(layer, torch.randn(2, 5, 8).double(), means)


@torch.no_grad()
def test_autocast_rounds_no_kernel_beside_a_large_bias():
    layer = spread_router_(DYConv(4, 6, 3).eval())
    layer.bias.add_(100)
    x = images(layer, 2)
    with record_descriptors(layer) as means:
        layer(x)
    with fixed_gates(layer, means):
        with torch.autocast('cpu', torch.bfloat16):
            layer(x)
        kept = layer(x)
    with fixed_gates(layer, means):
        torch.testing.assert_close(kept, layer(x))


def test_fbm_still_sees_the_input():
    cls, options = METHODS['FDConv']
    layer = spread_router_(cls(4, 6, 3, padding=1, **options)).eval()
    x = images(layer, 2)
    with record_descriptors(layer) as means:
        layer(x[:1])
    with fixed_gates(layer, means):
        doubled = layer(2 * x) - layer(0 * x)
        assert (doubled - 2 * (layer(x) - layer(0 * x))).abs().max() > 1e-3


def test_descriptors_of_another_model():
    cls, options = METHODS['DYConv']
    model = nn.Sequential(cls(4, 6, 3, **options), cls(6, 4, 3, **options))
    with record_descriptors(model) as means:
        model(images(model[0], 1))
    assert set(means) == {'0.descriptor', '1.descriptor'}
    with pytest.raises(ValueError, match=r"lacks \['1.descriptor'\]"):
        with fixed_gates(model, {'0.descriptor': means['0.descriptor']}):
            pass
    swapped = dict(zip(means, reversed([*means.values()])))
    with pytest.raises(ValueError, match=r'must have shape \(1, 4\), got'):
        with fixed_gates(model, swapped):
            model(images(model[0], 1))
    assert not model[0].descriptor._forward_hooks
