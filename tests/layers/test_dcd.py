"""DCD against a slow reference, and its start."""

import pytest
import torch
from torch import nn

from mmfdconv.layers import DCDConv

from .helpers import (
    assert_matches_reference,
    assert_same_function,
    make_layer,
    relative_error,
)
from .methods import GEOMETRIES

PLAIN = dict(in_channels=4, out_channels=6, kernel_size=3, padding=1)
MORE = {
    **GEOMETRIES,
    'wide padding': dict(PLAIN, padding=(3, 2), padding_mode='replicate'),
    'no padding': dict(PLAIN, padding='valid', dilation=2),
    'even kernel, same': dict(PLAIN, kernel_size=(4, 2), padding='same'),
    'even kernel': dict(PLAIN, kernel_size=(2, 4), stride=2),
}


@pytest.mark.core
@pytest.mark.filterwarnings('ignore:Using padding')
@pytest.mark.parametrize('squeeze_size', [1, 2])
@pytest.mark.parametrize('geometry', MORE)
@pytest.mark.parametrize('training', [True, False])
def test_matches_the_reference(geometry, squeeze_size, training):
    args = dict(MORE[geometry], squeeze_size=squeeze_size)
    layer = make_layer(args, cls=DCDConv).train(training)
    x = torch.randn(3, args['in_channels'], 9, 10, dtype=torch.float64)
    assert_matches_reference(layer, args, x)


def test_float32_matches_the_reference():
    layer = make_layer(PLAIN, torch.float32, cls=DCDConv).eval()
    assert_matches_reference(layer, PLAIN, torch.randn(2, 4, 9, 10))


@pytest.mark.parametrize('geometry', ['k3', 'k1 stride 2', 'depthwise'])
def test_gradcheck(geometry):
    layer = make_layer(GEOMETRIES[geometry], cls=DCDConv).eval()
    names, parameters = zip(*layer.named_parameters())

    def run(x, *values):
        return torch.func.functional_call(layer, dict(zip(names, values)), x)

    x = torch.randn(2, layer.in_channels, 4, 5, dtype=torch.float64)
    torch.manual_seed(0)
    assert torch.autograd.gradcheck(
        run, (x.requires_grad_(), *parameters), fast_mode=True
    )


@pytest.mark.core
def test_start():
    # No channel scale and no dynamic path; the stock kernel itself.
    conv = nn.Conv2d(16, 6, 3)
    layer = DCDConv.from_conv(conv)
    assert torch.equal(layer.weight, conv.weight)
    assert layer.p.weight.abs().max() < 1e-9
    assert_same_function(layer, conv, torch.randn(2, 16, 7, 7), rtol=1e-6)


@pytest.mark.core
def test_both_paths_act_after_a_step():
    layer = DCDConv.from_conv(nn.Conv2d(16, 6, 3, padding=1))
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    target = torch.randn(4, 6, 8, 8)
    for _ in range(3):
        optimizer.zero_grad()
        x = torch.randn(4, 16, 8, 8)
        (layer(x) - target).square().sum().backward()
        nn.utils.clip_grad_norm_(layer.parameters(), 1.0)
        optimizer.step()
    y = layer.eval()(x)
    for name in ('p', 'fc_scale'):
        head = getattr(layer, name)
        kept = head.weight.detach().clone()
        nn.init.zeros_(head.weight)
        assert relative_error(layer(x), y) > 1e-6, name
        with torch.no_grad():
            head.weight.copy_(kept)


@pytest.mark.parametrize(
    ('in_channels', 'squeeze_size', 'latent', 'squeeze'),
    [(64, 1, 8, 4), (64, 2, 16, 16), (1024, 1, 32, 64), (3, 1, 1, 4)],
)
def test_widths_are_the_published_ones(
    in_channels, squeeze_size, latent, squeeze
):
    layer = DCDConv(in_channels, 6, 1, squeeze_size=squeeze_size)
    assert layer.q.weight.shape == (latent, in_channels, 1, 1)
    assert layer.p.weight.shape == (6, latent, 1, 1)
    width = in_channels * squeeze_size**2
    assert layer.fc[0].weight.shape == (squeeze, width)
    assert layer.fc_phi.weight.shape == (latent**2, squeeze)
    assert layer.fc_scale.weight.shape == (6, squeeze)


def test_stock_and_published_name_of_the_kernel():
    layer = make_layer(PLAIN, torch.float32, cls=DCDConv).eval()
    state = layer.state_dict()
    state['conv.weight'] = state.pop('weight')
    other = DCDConv(**PLAIN).eval()
    other.load_state_dict(state)
    x = torch.randn(2, 4, 7, 8)
    assert torch.equal(other(x), layer(x))


@pytest.mark.core
def test_one_sample_of_one_position():
    # Nothing to take statistics of; a stock convolution does not mind.
    conv = nn.Conv2d(4, 6, 1)
    layer = DCDConv.from_conv(conv).train()
    x = torch.randn(1, 4, 1, 1)
    assert_same_function(layer, conv, x)
    args = dict(in_channels=4, out_channels=6, kernel_size=1)
    layer = make_layer(args, cls=DCDConv).train()
    assert_matches_reference(layer, args, x.double())
