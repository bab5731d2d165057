"""FADConv against a slow reference, and its own options."""

import pytest
import torch
from torch import nn

from mmfdconv.layers import FADConv

from .helpers import (
    assert_matches_reference,
    make_layer,
    relative_error,
    since_torch_2,
)
from .methods import GEOMETRIES

PLAIN = dict(in_channels=4, out_channels=6, kernel_size=3, padding=1)
OPTIONS = {
    'small': dict(pool_size=5, low_freq=2),
    'all frequencies': dict(pool_size=3, low_freq=3, num_experts=2),
    'corners': dict(pool_size=6, low_freq=2, high_freq=1, num_experts=1),
    'wide': dict(pool_size=4, low_freq=2, reduction=16.0),
    'fca': dict(pool_size=5, low_freq=2, fusion='fca'),
    'add': dict(pool_size=5, low_freq=2, fusion='add'),
    'add_abs': dict(pool_size=5, low_freq=3, high_freq=1, fusion='add_abs'),
}


@pytest.mark.core
@pytest.mark.filterwarnings('ignore:Using padding')
@pytest.mark.parametrize('geometry', GEOMETRIES)
@pytest.mark.parametrize('option', OPTIONS)
def test_matches_the_reference(option, geometry):
    args = {**GEOMETRIES[geometry], **OPTIONS[option]}
    layer = make_layer(args, cls=FADConv)
    x = torch.randn(2, args['in_channels'], 7, 8, dtype=torch.float64)
    assert_matches_reference(layer, args, x)


@pytest.mark.core
@pytest.mark.parametrize('size', [(5, 7), (24, 17)])
def test_published_size_of_the_dct(size):
    # 16 x 16, from maps that are smaller and larger than that.
    layer = make_layer(PLAIN, cls=FADConv)
    x = torch.randn(1, 4, *size, dtype=torch.float64)
    assert_matches_reference(layer, PLAIN, x)


@since_torch_2
@pytest.mark.parametrize('option', ['small', 'corners', 'fca', 'add_abs'])
def test_gradcheck(option):
    args = {**PLAIN, **OPTIONS[option]}
    layer = make_layer(args, cls=FADConv)
    names, parameters = zip(*layer.named_parameters())

    def run(x, *values):
        return torch.func.functional_call(layer, dict(zip(names, values)), x)

    x = torch.randn(2, 4, 5, 4, dtype=torch.float64, requires_grad=True)
    torch.manual_seed(0)
    assert torch.autograd.gradcheck(run, (x, *parameters), fast_mode=True)


@pytest.mark.core
def test_bias_is_mixed_like_the_kernels():
    # Eq. (3): at a map of zeros, the bias is all there is.
    layer = make_layer(PLAIN, cls=FADConv)
    x = torch.zeros(2, 4, 7, 7, dtype=torch.float64)
    x[1, :, :3] = 5  # another attention
    y = layer(x)
    alpha = layer.routing(layer.descriptor(x)).softmax(1)
    mixed = alpha @ layer.bias
    torch.testing.assert_close(y[0], mixed[0].view(6, 1, 1).expand(6, 7, 7))
    torch.testing.assert_close(y[1, :, -1, -1], mixed[1])
    assert relative_error(mixed[1], mixed[0]) > 1e-3


def test_attention_looks_at_frequencies():
    # Two maps of the same mean: GAP cannot tell them apart.
    layer = make_layer(PLAIN, cls=FADConv)
    flat = torch.ones(1, 4, 16, 16, dtype=torch.float64)
    wave = flat.clone()
    wave[..., :8] += 0.9
    wave[..., 8:] -= 0.9
    seen = layer.descriptor(torch.cat([flat, wave]))
    assert relative_error(seen[1], seen[0]) > 1e-2


@pytest.mark.parametrize('fusion', ['net', 'fca', 'add', 'add_abs'])
def test_fusions_have_the_parameters_they_need(fusion):
    layer = FADConv(4, 6, 3, fusion=fusion)
    fused = [n for n, _ in layer.named_parameters() if 'fusion' in n]
    assert len(fused) == (4 if fusion == 'net' else 0)
    assert f'fusion={fusion!r}' in repr(layer)


def test_published_basis_of_another_size_is_named():
    layer = FADConv(4, 6, 3, pool_size=8)
    state = FADConv(4, 6, 3).state_dict()
    state['dct.dct_matrix'] = torch.zeros(16, 16)
    with pytest.raises(RuntimeError) as info:
        layer.load_state_dict(state)
    for word in ('dct.dct_matrix', 'pool_size=16', 'pool_size=8'):
        assert word in str(info.value)
    state['dct.dct_matrix'] = torch.zeros(8, 8)
    layer.load_state_dict(state)


def test_basis_is_in_no_checkpoint():
    assert not any('basis' in key for key in FADConv(4, 6, 3).state_dict())


def test_hidden_width():
    assert FADConv(64, 6, 3).routing[0].weight.shape == (32, 64)
    assert FADConv(1024, 6, 1).routing[0].weight.shape == (64, 1024)
    layer = FADConv(64, 6, 3, reduction=1.0)
    assert layer.routing[0].weight.shape == (64, 64)


def test_stock_bias_is_spread_over_the_experts():
    conv = nn.Conv2d(4, 6, 3)
    layer = FADConv(4, 6, 3, num_experts=3)
    layer.load_state_dict(conv.state_dict())
    assert torch.equal(layer.bias, conv.bias.expand(3, -1))
