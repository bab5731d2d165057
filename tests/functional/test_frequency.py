"""Kernels and their spectra, against sums."""

import pytest
import torch

from mmfdconv.functional import (
    frequency,
    image_to_weight,
    kernel_to_spectrum,
    spectrum_to_kernel,
    weight_to_image,
)

from ..reference import fdw as slow_fdw
from ..reference.fourier import image_of, spectrum_of
from .helpers import refuse_contradictions

IMAGES = [(1, 1), (1, 6), (7, 1), (6, 4), (9, 5), (12, 11), (48, 48)]


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
    refuse_contradictions(monkeypatch)
    torch.testing.assert_close(frequency.inverse_rfft2(half, size), expected)
    half.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda half: frequency.inverse_rfft2(half, size), half, fast_mode=True
    )
