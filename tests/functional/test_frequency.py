"""Frequencies of kernels and feature maps, against sums and numpy."""

import numpy as np
import pytest
import torch

from mmfdconv.functional import (
    fourier_disjoint_weight,
    frequency,
    frequency_bands,
    image_to_weight,
    kernel_to_spectrum,
    low_pass_mask,
    radius_order,
    spectrum_to_kernel,
    weight_to_image,
)

from ..reference import fdconv as slow
from ..reference import fdw as slow_fdw
from ..reference.fourier import image_of, spectrum_of
from .helpers import believe_one_half

IMAGES = [(1, 1), (1, 6), (7, 1), (6, 4), (9, 5), (12, 11), (48, 48)]


# ------------------------------------------------------------------- kernels


@pytest.mark.core
@pytest.mark.parametrize('shape', [(2, 3, 3, 3), (4, 1, 5, 2), (3, 2, 1, 1)])
def test_kernel_as_image(shape):
    weight = torch.randn(shape)
    image = weight_to_image(weight)
    assert torch.equal(image, slow_fdw.weight_image(weight))
    both = torch.stack([image, 2 * image])
    back = image_to_weight(both, shape[2:])
    assert torch.equal(back[0], weight)
    assert torch.equal(back[1], 2 * weight)
    assert torch.equal(back[0], slow_fdw.image_weight(image, shape[2:]))


@pytest.mark.core
@pytest.mark.parametrize('shape', [(2, 3, 3, 3), (4, 1, 5, 2), (3, 2, 1, 1)])
def test_kernel_and_spectrum(shape):
    weight = torch.randn(shape, dtype=torch.float64)
    spectrum = kernel_to_spectrum(weight)
    expected = spectrum_of(slow_fdw.weight_image(weight))
    torch.testing.assert_close(torch.view_as_complex(spectrum), expected)
    size = (shape[0] * shape[2], shape[1] * shape[3])
    back = spectrum_to_kernel(spectrum, size, shape[2:])
    torch.testing.assert_close(back, weight)


@pytest.mark.core
@pytest.mark.parametrize('size', IMAGES, ids=str)
def test_a_half_plane_that_contradicts_itself(size, monkeypatch):
    rows, cols = size
    half = torch.randn(rows, cols // 2 + 1, dtype=torch.complex128)
    expected = image_of(half, cols)
    torch.testing.assert_close(frequency.inverse_rfft2(half, size), expected)
    even = frequency.symmetric_columns(half, cols)
    torch.testing.assert_close(image_of(even, cols), expected)
    torch.testing.assert_close(frequency.symmetric_columns(even, cols), even)
    # The whole plane that an image with this half has is that of an image.
    mirrored = even[:, 1 : (cols + 1) // 2].flip(0, 1).roll(1, 0).conj()
    whole = torch.cat([even, mirrored], dim=1)
    torch.testing.assert_close(torch.fft.ifft2(whole), expected + 0j)
    # And whatever a library believes.
    believe_one_half(monkeypatch)
    torch.testing.assert_close(frequency.inverse_rfft2(half, size), expected)
    if rows > 2:
        assert not torch.allclose(torch.fft.irfft2(half, s=size), expected)


@pytest.mark.core
@pytest.mark.parametrize('size', [(48, 40), (33, 50)], ids=str)
def test_resized_masks_are_not_symmetric(size, monkeypatch):
    x = torch.randn(1, 2, *size, dtype=torch.float64)
    expected = frequency_bands(x, [2, 4, 8], 'nearest64')
    believe_one_half(monkeypatch)
    for band, other in zip(
        frequency_bands(x, [2, 4, 8], 'nearest64'), expected
    ):
        torch.testing.assert_close(band, other)


@pytest.mark.core
@pytest.mark.parametrize('size', IMAGES[2:], ids=str)
@pytest.mark.parametrize('num_spectra', [1, 2])
@pytest.mark.parametrize('num_groups', [1, 3, 4])
def test_disjoint_weight(size, num_spectra, num_groups):
    rows, cols = size
    half = cols // 2 + 1
    # Not the spectrum of a real image: a learned one need not be.
    spectra = torch.randn(num_spectra, rows, half, 2, dtype=torch.float64)
    gates = torch.randn(2, num_spectra, num_groups, dtype=torch.float64)
    image = fourier_disjoint_weight(spectra, gates, *radius_order(*size), size)
    groups = slow_fdw.frequency_groups(
        slow_fdw.sorted_frequencies(*size), num_groups
    )
    for b in range(2):
        gated = torch.zeros(rows * half, dtype=torch.complex128)
        for r in range(num_spectra):
            flat = torch.view_as_complex(spectra[r]).flatten()
            for g, members in enumerate(groups):
                for f in members:
                    gated[f] += gates[b, r, g] * flat[f]
        expected = image_of(gated.reshape(rows, half), cols)
        torch.testing.assert_close(image[b], expected)


@pytest.mark.parametrize('kept', [4, 7, 12])
def test_disjoint_weight_of_the_lowest_frequencies(kept):
    size, half = (6, 5), 3
    order, rank = radius_order(*size)
    low = torch.randn(2, kept, 2, dtype=torch.float64)
    gates = torch.randn(3, 2, 4, dtype=torch.float64)
    image = fourier_disjoint_weight(low, gates, order, rank, size)
    groups = slow_fdw.frequency_groups(order[:kept].tolist(), 4)
    expected = 0
    for r in range(2):
        values = dict(zip(order[:kept].tolist(), low[r]))
        for g, members in enumerate(groups):
            here = torch.zeros(6 * half, 2, dtype=torch.float64)
            for f in members:
                here[f] = values[f]
            part = torch.view_as_complex(here).reshape(6, half)
            part = image_of(part, 5)
            expected = expected + gates[:, r, g, None, None] * part
    torch.testing.assert_close(image, expected)


def test_neutral_gates_give_the_kernel_back():
    weight = torch.randn(4, 3, 3, 3, dtype=torch.float64)
    size = (12, 9)
    image = fourier_disjoint_weight(
        kernel_to_spectrum(weight)[None],
        torch.ones(2, 1, 5, dtype=torch.float64),
        *radius_order(*size),
        size,
    )
    for one in image_to_weight(image, (3, 3)):
        torch.testing.assert_close(one, weight)


@pytest.mark.parametrize('kept', [None, 7])
@pytest.mark.parametrize('batch', [0, 2])
def test_gradients_of_the_disjoint_weight(batch, kept):
    size = (4, 5)
    order, rank = radius_order(*size)
    shape = (2, 4, 3, 2) if kept is None else (2, kept, 2)
    spectra = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    gates = torch.randn(batch, 2, 3, dtype=torch.float64, requires_grad=True)

    def run(spectra, gates):
        return fourier_disjoint_weight(spectra, gates, order, rank, size)

    if batch == 0:
        image = run(spectra, gates)
        assert image.shape == (0, *size)
        image.sum().backward()
        assert not spectra.grad.any()
        return
    assert torch.autograd.gradcheck(run, (spectra, gates))
    assert torch.autograd.gradgradcheck(run, (spectra, gates))


# -------------------------------------------------------------- feature maps

MAPS = [(1, 1), (1, 8), (5, 1), (8, 8), (9, 7), (30, 44), (64, 64), (20, 28)]


@pytest.mark.core
@pytest.mark.parametrize('rule', ['exact', 'nearest64'])
@pytest.mark.parametrize('divisor', [1, 2, 3, 4, 8])
@pytest.mark.parametrize('size', MAPS, ids=str)
def test_low_pass_mask(size, divisor, rule):
    mask = low_pass_mask(size, divisor, rule)
    assert mask.dtype == torch.bool
    expected = slow.low_pass(*size, divisor, rule)
    assert torch.equal(mask, expected.bool())


@pytest.mark.parametrize('rule', ['exact', 'nearest64'])
@pytest.mark.parametrize('size', [(64, 64), (64, 65)])
def test_mask_rules_agree_at_64(size, rule):
    # 65 columns have the half plane of 64: 33.
    masks = [low_pass_mask((64, 64), 2, r) for r in ('exact', 'nearest64')]
    assert torch.equal(*masks)
    assert low_pass_mask(size, 2, rule).shape == (64, 33)


def test_low_pass_of_the_paper_by_numpy():
    # Away from the bound itself, where rounding decides.
    size = (18, 22)
    fy, fx = np.fft.fftfreq(18), np.fft.rfftfreq(22)
    largest = np.maximum(np.abs(fy)[:, None], fx)
    for k in (2, 4, 8):
        assert not np.isclose(largest, 0.5 / k).any()
        mask = low_pass_mask(size, k)
        assert np.array_equal(mask.numpy(), largest < 0.5 / k)


@pytest.mark.core
@pytest.mark.parametrize('rule', ['exact', 'nearest64'])
@pytest.mark.parametrize('size', MAPS, ids=str)
def test_bands(size, rule):
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    bands = frequency_bands(x, [2, 4, 8], rule)
    assert len(bands) == 4
    assert all(band.shape == x.shape for band in bands)
    torch.testing.assert_close(sum(bands), x)
    previous, spectrum = x, spectrum_of(x)
    for band, k in zip(bands, (2, 4, 8)):
        low = image_of(spectrum * slow.low_pass(*size, k, rule), size[1])
        torch.testing.assert_close(band, previous - low)
        previous = low
    torch.testing.assert_close(bands[-1], previous)


def test_bands_of_a_wave():
    # One frequency falls into one band, the one that its octave says.
    n = torch.arange(32, dtype=torch.float64)
    for cycles, where in ((0, 3), (1, 3), (3, 2), (6, 1), (11, 0), (16, 0)):
        wave = torch.cos(2 * torch.pi * cycles * n / 32).expand(1, 1, 32, 32)
        for x in (wave, wave.mT):
            bands = frequency_bands(x, [2, 4, 8])
            for i, band in enumerate(bands):
                expected = x if i == where else torch.zeros_like(x)
                torch.testing.assert_close(band, expected)


def test_constant_is_the_lowest_band():
    x = torch.full((1, 2, 7, 10), 3.0, dtype=torch.float64)
    *high, low = frequency_bands(x, [2, 4, 8])
    torch.testing.assert_close(low, x)
    for band in high:
        torch.testing.assert_close(band, torch.zeros_like(x))


def test_bands_of_an_empty_batch():
    bands = frequency_bands(torch.zeros(0, 3, 8, 8), [2, 4])
    assert [b.shape for b in bands] == [(0, 3, 8, 8)] * 3


@pytest.mark.parametrize('rule', ['exact', 'nearest64'])
@pytest.mark.parametrize('size', [(3, 4), (4, 5)])
def test_gradients_of_the_bands(size, rule):
    x = torch.randn(1, 2, *size, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda x: tuple(frequency_bands(x, [2, 4], rule)), (x,)
    )


def test_bands_of_strided_maps():
    x = torch.randn(2, 3, 6, 7, dtype=torch.float64)
    last = x.contiguous(memory_format=torch.channels_last)
    for a, b in zip(frequency_bands(x, [2]), frequency_bands(last, [2])):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('batch', [1, 3])
def test_pairs_need_not_lie_as_complex_numbers(batch, offset):
    """A parameter may be a view into a buffer of many, at any offset."""
    rows, cols, groups = 6, 8, 5
    order, rank = radius_order(rows, cols)
    flat = torch.randn(offset + rows * (cols // 2 + 1) * 2).double()
    gate = torch.rand(batch, 1, groups).double().requires_grad_()

    def weight(flat, gate):
        spectrum = flat[offset:].view(1, rows, cols // 2 + 1, 2)
        return fourier_disjoint_weight(
            spectrum, gate, order, rank, (rows, cols)
        )

    flat.requires_grad_()
    apart = flat[offset:].detach().clone()
    torch.testing.assert_close(
        weight(flat, gate),
        fourier_disjoint_weight(
            apart.view(1, rows, -1, 2), gate, order, rank, (rows, cols)
        ),
    )
    assert torch.autograd.gradcheck(weight, (flat, gate))
    assert torch.autograd.gradgradcheck(weight, (flat, gate))
