"""Descriptors against sums, and as a part of FDConv."""

import copy
import math

import pytest
import torch

from mmfdconv.layers import FDConv
from mmfdconv.layers.descriptors import (
    FrequencyAttention,
    GlobalAveragePool,
    build_descriptor,
)

from ..reference.descriptors import average, frequency_attention
from .helpers import (
    assert_matches_reference,
    make_layer,
    relative_error,
)
from .methods import GEOMETRIES, SMALL_FAT

OPTIONS = {
    'default': dict(),
    'small': dict(pool_size=5, low_freq=2),
    'one': dict(pool_size=1, low_freq=1),
    'whole': dict(pool_size=4, low_freq=4),
    'corners': dict(pool_size=6, low_freq=3, high_freq=2),
    'overlapping corners': dict(pool_size=3, low_freq=3, high_freq=3),
    'fca': dict(pool_size=5, low_freq=2, fusion='fca'),
    'fca, more parts than channels': dict(
        pool_size=5, low_freq=3, fusion='fca'
    ),
    'add': dict(pool_size=5, low_freq=2, high_freq=1, fusion='add'),
    'add_abs': dict(pool_size=5, low_freq=2, fusion='add_abs'),
}


@pytest.mark.core
@pytest.mark.parametrize('option', OPTIONS)
@pytest.mark.parametrize('size', [(7, 9), (3, 2), (1, 1)])
def test_frequency_attention(option, size):
    part = FrequencyAttention(5, **OPTIONS[option], dtype=torch.float64)
    part.reset_parameters()
    x = torch.randn(2, 5, *size, dtype=torch.float64)
    state = {f'descriptor.{k}': v for k, v in part.state_dict().items()}
    expected = frequency_attention(x, state, OPTIONS[option])
    torch.testing.assert_close(part(x), expected)
    # In single precision, too, by the stored basis.
    value = part.float()(x.float())
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, expected.float(), rtol=1e-4, atol=1e-5)


@pytest.mark.core
def test_global_average_pool():
    x = torch.randn(2, 5, 7, 9, dtype=torch.float64)
    torch.testing.assert_close(GlobalAveragePool()(x), average(x))
    half = GlobalAveragePool()(x.half())
    assert half.dtype == torch.float32  # many halves overflow


def test_fca_without_high_frequencies_is_gap_for_one_coefficient():
    x = torch.randn(2, 5, 8, 8)
    part = FrequencyAttention(5, pool_size=8, low_freq=1, fusion='fca')
    torch.testing.assert_close(part(x), GlobalAveragePool()(x))


def test_half_precision_input():
    part = FrequencyAttention(5)
    part.reset_parameters()
    x = torch.randn(2, 5, 16, 16)
    expected = part(x)
    value = part(x.bfloat16())
    assert value.dtype == torch.float32
    assert relative_error(value, expected) < 1e-2
    # The basis survives a model in half precision unrounded.
    assert part.bfloat16().basis.dtype == torch.float32
    assert torch.equal(part.basis, FrequencyAttention(5).basis)


def test_basis_after_to_empty():
    part = FrequencyAttention(5, fusion='add', device='meta')
    assert part.basis.is_meta
    part.to_empty(device='cpu')
    assert torch.equal(part.basis, FrequencyAttention(5).basis)


@pytest.mark.core
@pytest.mark.parametrize('cfg', ['gap', dict(type='gap')], ids=str)
def test_build_gap(cfg):
    assert type(build_descriptor(cfg, 4)) is GlobalAveragePool


@pytest.mark.core
@pytest.mark.parametrize(
    'cfg', ['fat', dict(type='fat', pool_size=8, fusion='add')], ids=str
)
def test_build_fat(cfg):
    before = copy.deepcopy(cfg)
    part = build_descriptor(cfg, 4, dtype=torch.float64)
    assert type(part) is FrequencyAttention
    assert cfg == before
    assert all(p.dtype == torch.float64 for p in part.parameters())


# ------------------------------------------------------------------- FDConv


def test_fdconv_with_gap_is_fdconv():
    torch.manual_seed(0)
    plain = FDConv(4, 6, 3)
    torch.manual_seed(0)
    gap = FDConv(4, 6, 3, descriptor='gap')
    assert list(gap.state_dict()) == list(plain.state_dict())
    x = torch.randn(2, 4, 7, 7)
    assert torch.equal(gap(x), plain(x))


@pytest.mark.core
@pytest.mark.filterwarnings('ignore:Using padding')
@pytest.mark.parametrize('options', [dict(), dict(use_ksm_local=False)])
@pytest.mark.parametrize('geometry', GEOMETRIES)
def test_fdconv_with_fat(geometry, options):
    # The global branch sees frequencies, the local one the mean.
    args = dict(
        GEOMETRIES[geometry], kernel_num=2, descriptor=SMALL_FAT, **options
    )
    layer = make_layer(args)
    x = torch.randn(2, args['in_channels'], 9, 9, dtype=torch.float64)
    assert_matches_reference(layer, args, x)


def test_descriptor_is_part_of_fdconvs_router():
    layer = FDConv(4, 6, 3, descriptor='fat')
    routers = {id(p) for p in layer.router_parameters()}
    assert {id(p) for p in layer.descriptor.parameters()} <= routers
    with torch.no_grad():
        for parameter in layer.descriptor.parameters():
            parameter.fill_(math.nan)
    layer.init_weights()
    assert layer(torch.randn(2, 4, 7, 7)).isfinite().all()


def test_static_fdconv_has_no_descriptor():
    layer = FDConv(4, 6, 3, descriptor='fat', use_fdconv_if_c_gt=16)
    assert set(layer.state_dict()) == {'weight', 'bias'}
    with pytest.raises(ValueError, match='descriptor'):
        FDConv(4, 6, 3, descriptor='max', use_fdconv_if_c_gt=16)
