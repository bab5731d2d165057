"""Low-passes and bands of feature maps, against sums and numpy."""

import numpy as np
import pytest
import torch

from mmfdconv.functional import frequency_bands, low_pass_mask

from ..reference import fdconv as slow
from ..reference.fourier import image_of, spectrum_of
from .helpers import refuse_contradictions

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


@pytest.mark.core
@pytest.mark.parametrize('size', [(48, 40), (33, 50)], ids=str)
def test_resized_masks_are_not_symmetric(size, monkeypatch):
    x = torch.randn(1, 2, *size, dtype=torch.float64)
    expected = frequency_bands(x, [2, 4, 8], 'nearest64')
    refuse_contradictions(monkeypatch)
    for band, other in zip(
        frequency_bands(x, [2, 4, 8], 'nearest64'), expected
    ):
        torch.testing.assert_close(band, other)
