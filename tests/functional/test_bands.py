"""FBM, by either path, against the sum of the bands; and its maps."""

import functools

import pytest
import torch
import torch.nn.functional as F

from mmfdconv.functional import (
    convolve_to_few,
    low_pass_coefficients,
    low_pass_mask,
    modulate_bands,
)
from mmfdconv.functional.low_pass import low_pass_bases

from ..reference.fdconv import low_pass
from .helpers import assert_same_with_gradients

pytestmark = pytest.mark.core

SIZES = [(8, 8), (7, 12), (13, 5), (16, 1), (1, 1), (2, 3), (56, 34), (33, 64)]
OCTAVES = [2, 4, 8]


def by_definition(x, maps, k_list, rule='exact'):
    """The sum of the bands, each times its map, band by band."""
    size, spectrum = x.shape[2:], torch.fft.rfft2(x)
    lows = [
        torch.fft.irfft2(spectrum * low_pass(*size, k, rule), s=size)
        for k in k_list
    ]
    y = torch.zeros_like(x)
    S = maps.shape[1]
    for i, (high, low) in enumerate(zip([x, *lows], [*lows, 0])):
        band = high - low
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
    ).plain
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
def test_it_is_the_sum_of_weighted_bands(size, bands, groups, path):
    k_list = [2] if bands == 1 else OCTAVES
    x, maps = inputs(size, bands, groups)
    assert_same_with_gradients(
        functools.partial(modulate_bands, k_list=k_list),
        functools.partial(by_definition, k_list=k_list),
        (x, maps),
    )


def test_gradients(path):
    tensors = inputs((6, 9), bands=4, groups=2)
    run = functools.partial(modulate_bands, k_list=OCTAVES)
    assert torch.autograd.gradcheck(run, tensors)
    assert torch.autograd.gradgradcheck(run, tensors)


@pytest.mark.parametrize('size', [(300, 8), (12, 9)], ids=str)
@pytest.mark.parametrize('rule', ['exact', 'nearest64'])
def test_large_maps_and_published_masks(size, rule):
    x, maps = inputs(size, groups=2)
    y = modulate_bands(x, maps, OCTAVES, rule)
    torch.testing.assert_close(y, by_definition(x, maps, OCTAVES, rule))


def test_coefficients_spare_work_and_change_nothing(monkeypatch):
    x, maps = inputs((20, 24), groups=2)
    expected = modulate_bands(x, maps, OCTAVES)
    known = low_pass_coefficients(x, OCTAVES)
    assert known.numel() < 0.4 * x.numel()
    monkeypatch.setattr(
        'mmfdconv.functional.low_pass.low_pass_coefficients', None
    )
    with monkeypatch.context() as patch:
        patch.setattr('mmfdconv.functional.bands.low_pass_coefficients', None)
        y = modulate_bands(x, maps, OCTAVES, coefficients=known)
    torch.testing.assert_close(y, expected)


def test_transforms_of_functions(path):
    x, maps = inputs((6, 9))

    def run(x):
        return modulate_bands(x, maps, OCTAVES)

    def energy(x):
        return run(x).square().sum()

    (expected,) = torch.autograd.grad(energy(x), x)
    torch.testing.assert_close(torch.func.grad(energy)(x), expected)
    tangent = torch.randn_like(x)
    _, along = torch.func.jvp(run, (x,), (tangent,))
    torch.testing.assert_close(along, run(tangent))
    both = torch.stack([x, tangent])
    expected = torch.stack([run(x), run(tangent)])
    torch.testing.assert_close(torch.func.vmap(run)(both), expected)


def test_empty_and_strided_maps():
    x, maps = inputs((6, 8), batch=0)
    assert modulate_bands(x, maps, OCTAVES).shape == x.shape
    x, maps = inputs((6, 8))
    strided = x.detach().contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(
        modulate_bands(strided, maps, OCTAVES),
        modulate_bands(x, maps, OCTAVES),
    )


# ---------------------------------------------------- a few output channels


@pytest.mark.parametrize('size', [(7, 9), (1, 4), (2, 1)], ids=str)
@pytest.mark.parametrize('k, groups', [(1, 1), (3, 1), (3, 2), (5, 1)])
def test_few_outputs_are_the_same_convolution(size, k, groups):
    few, channels = 2 * groups, 2 * groups * k * k  # as many as products
    tensors = [
        torch.randn(shape, dtype=torch.double).requires_grad_()
        for shape in (
            (2, channels, *size),
            (few, channels // groups, k, k),
            (few,),
        )
    ]
    assert_same_with_gradients(
        functools.partial(convolve_to_few, groups=groups),
        functools.partial(F.conv2d, padding=k // 2, groups=groups),
        tensors,
    )


@pytest.mark.parametrize('batch, channels', [(2, 26), (0, 27)])
def test_many_outputs_or_no_sample(batch, channels):
    x = torch.randn(batch, channels, 5, 6)
    weight, bias = torch.randn(3, channels, 3, 3), torch.randn(3)
    torch.testing.assert_close(
        convolve_to_few(x, weight, bias),
        F.conv2d(x, weight, bias, padding=1),
    )
