"""FBM by matrix products: the FFT's bands, their gradients, little kept."""

import functools

import pytest
import torch

from mmfdconv.analysis.speed import saved_bytes
from mmfdconv.functional import (
    frequency_bands,
    low_pass_bases,
    low_pass_mask,
    modulate_bands,
)

pytestmark = pytest.mark.core

SIZES = [(8, 8), (7, 12), (13, 5), (16, 1), (1, 1), (2, 3), (56, 34), (33, 64)]
OCTAVES = [2, 4, 8]


def by_definition(x, maps, k_list, rule='exact'):
    """The sum of the bands, each times its map, band by band."""
    y = torch.zeros_like(x)
    S = maps.shape[1]
    for i, band in enumerate(frequency_bands(x, k_list, rule)):
        if i < maps.shape[2]:
            weight = maps[:, :, i].repeat_interleave(x.shape[1] // S, dim=1)
            band = band * weight
        y = y + band
    return y


def inputs(size, bands=3, groups=1, batch=2, dtype=torch.double):
    torch.manual_seed(0)
    x = torch.randn(batch, 4, *size, dtype=dtype)
    maps = torch.rand(batch, groups, bands, *size, dtype=dtype)
    return x.requires_grad_(), maps.requires_grad_()


@pytest.mark.parametrize('length', range(1, 70))
def test_bases_span_what_the_masks_keep(length):
    bases = low_pass_bases(
        length, (1, 2, 3, 4, 8), torch.device('cpu'), torch.double
    )
    x = torch.randn(3, length, dtype=torch.double)
    for k, basis in zip((1, 2, 3, 4, 8), bases):
        torch.testing.assert_close(
            basis.T @ basis, torch.eye(basis.shape[1], dtype=torch.double)
        )
        mask = low_pass_mask((1, length), k)
        low = torch.fft.irfft(torch.fft.rfft(x) * mask, n=length)
        torch.testing.assert_close(x @ basis @ basis.T, low)


@pytest.mark.parametrize('size', SIZES, ids=str)
@pytest.mark.parametrize('bands, groups', [(3, 1), (4, 2), (1, 4)])
def test_it_is_the_sum_of_weighted_bands(size, bands, groups):
    k_list = [2] if bands == 1 else OCTAVES
    x, maps = inputs(size, bands, groups)
    results = []
    for function in (modulate_bands, by_definition):
        y = function(x, maps, k_list)
        grads = torch.autograd.grad(y.sin().sum(), (x, maps))
        results.append((y, *grads))
    for ours, theirs in zip(*results):
        torch.testing.assert_close(ours, theirs)


def test_gradients():
    x, maps = inputs((6, 9), bands=4, groups=2)
    assert torch.autograd.gradcheck(
        lambda x, maps: modulate_bands(x, maps, OCTAVES), (x, maps)
    )
    for wanted in ('x', 'maps'):
        fixed = dict(x=x.detach(), maps=maps.detach(), k_list=OCTAVES)
        tensor = fixed.pop(wanted).requires_grad_()
        run = functools.partial(
            lambda t, w, f: modulate_bands(**{w: t}, **f), w=wanted, f=fixed
        )
        assert torch.autograd.gradcheck(run, (tensor,))
        assert torch.autograd.gradgradcheck(run, (tensor,))


@pytest.mark.parametrize('size', [(300, 8), (12, 9)], ids=str)
@pytest.mark.parametrize('rule', ['exact', 'nearest64'])
def test_large_maps_and_published_masks(size, rule):
    x, maps = inputs(size, groups=2)
    y = modulate_bands(x, maps, OCTAVES, rule)
    torch.testing.assert_close(y, by_definition(x, maps, OCTAVES, rule))


def test_single_precision_is_kept_under_autocast():
    x, maps = inputs((20, 24), dtype=torch.float32)
    expected = torch.autograd.grad(
        modulate_bands(x, maps, OCTAVES).sum(), (x, maps)
    )
    with torch.autocast('cpu', torch.bfloat16):
        y = modulate_bands(x, maps, OCTAVES)
        grads = torch.autograd.grad(y.sum(), (x, maps))
    assert y.dtype == torch.float32
    torch.testing.assert_close(y, modulate_bands(x, maps, OCTAVES))
    torch.testing.assert_close(grads, expected)


def test_bands_are_not_kept_for_backward():
    x, maps = inputs((32, 32), dtype=torch.float32)
    kept = saved_bytes(lambda: modulate_bands(x, maps, OCTAVES))
    assert kept == 4 * (x.numel() + maps.numel())


def test_empty_and_strided_maps():
    x, maps = inputs((6, 8), batch=0)
    assert modulate_bands(x, maps, OCTAVES).shape == x.shape
    x, maps = inputs((6, 8))
    strided = x.detach().contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(
        modulate_bands(strided, maps, OCTAVES),
        modulate_bands(x, maps, OCTAVES),
    )
