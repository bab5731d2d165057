"""What the tests of functions with a backward pass of their own share."""

from typing import Callable, Sequence

import torch
from torch import Tensor

from mmfdconv.functional import modes


def assert_same_with_gradients(
    function: Callable[..., Tensor],
    reference: Callable[..., Tensor],
    tensors: Sequence[Tensor],
) -> None:
    """Compare two functions of ``tensors``, outputs and all gradients."""
    y, expected = function(*tensors), reference(*tensors)
    torch.testing.assert_close(y, expected)
    grad = torch.randn_like(y)
    for found, other in zip(
        torch.autograd.grad(y, tensors, grad),
        torch.autograd.grad(expected, tensors, grad),
    ):
        torch.testing.assert_close(found, other)


def refuse_contradictions(monkeypatch):
    """Let inverse FFTs be as picky as cuFFT, which may read anything there.

    Of a column that stands for itself the imaginary part must be 0, and no
    library is asked to make it so.
    """
    irfft = torch.fft.irfft

    def pick(spectrum, n, dim=-1):
        assert dim == -1
        alone = spectrum[..., :: n // 2 if n % 2 == 0 else n].imag
        assert not alone.any()
        return irfft(spectrum, n=n)

    monkeypatch.setattr(torch.fft, 'irfft', pick)
    monkeypatch.setattr(torch.fft, 'irfft2', None)
    monkeypatch.setattr(modes, '_cpu_like', set())
