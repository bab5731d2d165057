"""The slow reference itself, checked against the published code's output."""

import pytest
import torch

from ..layers.helpers import relative_error
from ..layers.test_fdconv_vectors import VECTORS, load_vector
from .fdconv import fdconv
from .fourier import image_of, spectrum_of


@pytest.mark.core
@pytest.mark.parametrize('name', VECTORS)
def test_reproduces_published_code(shared_dir, name):
    vector = load_vector(shared_dir, name)
    grads = vector['grads']
    state = {
        key: value.double().requires_grad_(key in grads)
        for key, value in vector['state_dict'].items()
    }
    x = vector['x'].double().requires_grad_()
    y = fdconv(x, state, vector['args'], vector['mode'] == 'train')
    y.backward(vector['grad_out'].double())
    assert relative_error(y, vector['y']) < 1e-5
    for key, expected in grads.items():
        grad = x.grad if key == 'x' else state[key].grad
        assert relative_error(grad, expected) < 1e-5, key


@pytest.mark.parametrize('size', [(1, 1), (4, 5), (5, 4), (1, 6), (7, 1)])
def test_fourier_sums(size):
    image = torch.randn(2, *size, dtype=torch.float64)
    spectrum = spectrum_of(image)
    torch.testing.assert_close(spectrum, torch.fft.rfft2(image))
    torch.testing.assert_close(image_of(spectrum, size[1]), image)


def test_half_plane_that_is_no_real_images():
    # A learned or masked half plane need not be the spectrum of an image:
    # what the inverse then means is part of the method.
    half = torch.randn(4, 3, dtype=torch.complex128)
    for cols in (4, 5):
        torch.testing.assert_close(
            image_of(half, cols), torch.fft.irfft2(half, s=(4, cols))
        )
