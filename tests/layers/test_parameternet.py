"""ParameterNet's dynamic convolution: its reference and what it costs.

The reference is the paper's equation in slow steps; no weights of the authors
were at hand.
"""

import pytest
import torch

from mmfdconv.layers import ParameterNetConv

from .helpers import assert_matches_reference, make_layer
from .methods import GEOMETRIES, SMALL_FAT

pytestmark = [
    pytest.mark.core,
    pytest.mark.filterwarnings('ignore:Using padding'),
]
OPTIONS = {
    'plain': dict(),
    'narrow, fat': dict(reduction=0.1, num_experts=3, descriptor=SMALL_FAT),
}


@pytest.mark.parametrize('option', OPTIONS)
@pytest.mark.parametrize('geometry', GEOMETRIES)
def test_matches_the_reference(option, geometry):
    args = {**GEOMETRIES[geometry], **OPTIONS[option]}
    layer = make_layer(args, cls=ParameterNetConv)
    x = torch.randn(3, args['in_channels'], 7, 8, dtype=torch.float64)
    assert_matches_reference(layer, args, x)


def test_parameters():
    """C^2 + C K of the MLP, with biases, and K kernels."""
    layer = ParameterNetConv(6, 10, 1, num_experts=3)
    router = 6 * 6 + 6 + 6 * 3 + 3
    assert sum(p.numel() for p in layer.router_parameters()) == router
    total = sum(p.numel() for p in layer.parameters())
    assert total == router + 3 * 10 * 6 + 10


@pytest.mark.parametrize('option', ['reduction', 'num_experts'])
def test_an_option_out_of_range(option):
    with pytest.raises(ValueError, match=f'{option} must be'):
        ParameterNetConv(6, 10, 1, **{option: 0})
