"""The DCT of pooled maps, against scipy's."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mmfdconv.functional import dct_basis, dct_descriptor

from ..reference.descriptors import coefficients


@pytest.fixture
def fft():
    return pytest.importorskip('scipy.fft', reason='scipy is not installed')


def scipy_dct(fft, pooled):
    """The 2-D DCT-II of ``(..., P, P)``, scaled to means."""
    size = pooled.shape[-1]
    # scipy's sums carry a factor 2 per axis and are not divided by P.
    values = fft.dctn(pooled.numpy(), type=2, axes=(-2, -1))
    return torch.from_numpy(values / (2 * size) ** 2)


@pytest.mark.core
@pytest.mark.parametrize('size', [1, 2, 7, 16, 32])
def test_basis_is_scipys(fft, size):
    expected = fft.dct(np.eye(size), type=2, axis=1) / (2 * size)
    basis = dct_basis(size, dtype=torch.float64)
    torch.testing.assert_close(basis, torch.from_numpy(expected))


@pytest.mark.core
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_basis_is_rounded_once(dtype):
    exact = dct_basis(512, dtype=torch.float64)
    basis = dct_basis(512, dtype=dtype)
    assert basis.dtype == dtype
    assert torch.equal(basis, exact.to(dtype))


def test_basis_has_the_default_dtype():
    assert dct_basis(4).dtype == torch.get_default_dtype()
    assert dct_basis(4, torch.device('meta')).is_meta


@pytest.mark.core
@pytest.mark.parametrize(
    ('size', 'low', 'high'),
    [(16, 4, 0), (16, 4, 2), (32, 16, 0), (5, 5, 5), (3, 1, 1), (1, 1, 0)],
)
@pytest.mark.parametrize('shape', [(24, 17), (2, 40), (16, 16), (400, 700)])
def test_descriptor_is_scipys(fft, size, low, high, shape):
    x = torch.randn(2, 3, *shape, dtype=torch.float64)
    y = dct_descriptor(x, dct_basis(size, dtype=x.dtype), low, high)
    spectrum = scipy_dct(fft, F.adaptive_avg_pool2d(x, size))
    corners = [spectrum[..., :low, :low].flatten(2)]
    corners.append(spectrum[..., size - high :, size - high :].flatten(2))
    torch.testing.assert_close(y, torch.cat(corners, 2))


@pytest.mark.core
@pytest.mark.parametrize(('size', 'low', 'high'), [(6, 3, 2), (4, 4, 0)])
def test_descriptor_against_sums(size, low, high):
    x = torch.randn(2, 3, 7, 5, dtype=torch.float64)
    y = dct_descriptor(x, dct_basis(size, dtype=x.dtype), low, high)
    torch.testing.assert_close(y, coefficients(x, size, low, high))


@pytest.mark.core
@pytest.mark.parametrize('layout', ['contiguous_format', 'channels_last'])
def test_one_product_is_pooling_and_transform(layout, monkeypatch):
    x = torch.randn(2, 3, 9, 20, dtype=torch.float64)
    x = x.contiguous(memory_format=getattr(torch, layout)).requires_grad_()
    basis = dct_basis(8, dtype=x.dtype)
    results = []
    for limit in (9 * 20 * 20, 9 * 20 * 20 - 1):
        monkeypatch.setattr('mmfdconv.functional.dct._MAX_ELEMENTS', limit)
        y = dct_descriptor(x, basis, 4, 2)
        results.append((y, *torch.autograd.grad(y.square().sum(), x)))
    names = {type(y.grad_fn).__name__ for y, _ in results}
    assert len(names) == 2
    torch.testing.assert_close(*results)


def test_first_coefficient_is_the_mean():
    x = torch.randn(2, 3, 16, 16)
    y = dct_descriptor(x, dct_basis(8), 2)
    torch.testing.assert_close(y[..., 0], x.mean((2, 3)))
    constant = dct_descriptor(torch.ones(1, 1, 9, 9), dct_basis(8), 8)
    expected = torch.zeros(1, 1, 64)
    expected[..., 0] = 1
    torch.testing.assert_close(constant, expected)


@pytest.mark.parametrize('layout', ['channels_last', 'transposed', 'cut'])
def test_memory_formats(layout):
    x = torch.randn(2, 3, 9, 8, dtype=torch.float64)
    strided = {
        'channels_last': x.contiguous(memory_format=torch.channels_last),
        'transposed': x.mT.contiguous().mT,
        'cut': F.pad(x, (1, 1, 2, 2))[..., 2:-2, 1:-1],
    }[layout]
    basis = dct_basis(5, dtype=torch.float64)
    torch.testing.assert_close(
        dct_descriptor(strided, basis, 3, 1), dct_descriptor(x, basis, 3, 1)
    )


@pytest.mark.parametrize('batch', [0, 1])
def test_small_batches(batch):
    y = dct_descriptor(torch.randn(batch, 3, 9, 8), dct_basis(5), 2, 1)
    assert y.shape == (batch, 3, 5)


@pytest.mark.core
@pytest.mark.parametrize('high', [0, 2])
def test_gradcheck(high):
    x = torch.randn(2, 2, 5, 7, dtype=torch.float64, requires_grad=True)
    basis = dct_basis(4, dtype=torch.float64)

    def run(x):
        return dct_descriptor(x, basis, 2, high)

    assert torch.autograd.gradcheck(run, (x,))
    assert torch.autograd.gradgradcheck(run, (x,))


def test_properties(fft):
    pytest.importorskip('hypothesis', reason='hypothesis is not installed')
    from hypothesis import given
    from hypothesis import strategies as st

    @given(st.data(), st.integers(1, 20))
    def check(data, size):
        low = data.draw(st.integers(1, size))
        high = data.draw(st.integers(0, size))
        shape = data.draw(st.tuples(st.integers(1, 25), st.integers(1, 25)))
        x = torch.randn(1, 2, *shape, dtype=torch.float64)
        basis = dct_basis(size, dtype=x.dtype)
        y = dct_descriptor(x, basis, low, high)
        spectrum = scipy_dct(fft, F.adaptive_avg_pool2d(x, size))
        corners = [spectrum[..., :low, :low].flatten(2)]
        corners.append(spectrum[..., size - high :, size - high :].flatten(2))
        torch.testing.assert_close(y, torch.cat(corners, 2))
        # Linear in the map, and blind to which axis is which.
        torch.testing.assert_close(
            dct_descriptor(3 * x, basis, low, high), 3 * y
        )
        turned = dct_descriptor(x.mT, basis, low)
        turned = turned.view(1, 2, low, low).mT.flatten(2)
        torch.testing.assert_close(turned, y[..., : low * low])

    check()
