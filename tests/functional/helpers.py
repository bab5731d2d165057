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


def believe_one_half(monkeypatch):
    """Let inverse FFTs do as cuFFT's, which takes symmetry for granted.

    Of a column that holds a frequency and its negative it reads one of them.
    """
    irfft2 = torch.fft.irfft2

    def believe(spectrum, s):
        rows, cols = s
        inner = (cols + 1) // 2
        parts = []
        for z in (spectrum[..., :1], spectrum[..., inner:]):
            negative = z.flip(-2).roll(1, -2).conj()
            k = torch.arange(rows)[:, None]
            parts.append(torch.where(2 * k > rows, negative, z))
        whole = [parts[0], spectrum[..., 1:inner], parts[1]]
        return irfft2(torch.cat(whole, dim=-1), s=s)

    monkeypatch.setattr(torch.fft, 'irfft2', believe)
    monkeypatch.setattr(modes, 'CPU_LIKE', set())
