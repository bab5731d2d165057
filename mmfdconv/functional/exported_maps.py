"""What acts on feature maps and ONNX has no operator for.

While a model is exported, the functions here stand in: matrices in place of
FFTs and of uneven pooling, and a convolution that has a kernel for each
sample. Sizes of the maps that the graph is for are constants of it, or values
that it computes, see :func:`~mmfdconv.functional.modes.varies`.
"""

import math
from contextlib import nullcontext
from typing import Any, List, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .modes import untraced, varies

__all__ = ['convolve_exported', 'mask_products', 'pool_exported', 'projection']


def projection(length: Any, divisor: float) -> Tensor:
    """Matrix of the exact low-pass along one axis, ``(n, n)``.

    Args:
        length: ``n``, which may vary.
        divisor: ``k``, the factor below the Nyquist frequency.
    """
    pixels = torch.arange(length).float()
    harmonics = torch.arange(length // 2 + 1).float()
    # Of the mask's own frequencies, rounded as they are.
    keep = harmonics * (1 / length) < 0.5 / divisor + 1e-8
    # Nyquist's stands for itself, like the constant.
    twice = (harmonics > 0) & (harmonics * 2 < length)
    weight = keep * (1 + twice.float()) / length
    angle = torch.remainder(pixels[:, None] * harmonics, length)
    angle = angle * (2 * math.pi / length)
    cos, sin = angle.cos(), angle.sin()
    return (cos * weight) @ cos.T + (sin * weight) @ sin.T


def mask_products(
    mask: Tensor, width: int, device: torch.device, dtype: torch.dtype
) -> List[Tuple[Tensor, Tensor]]:
    """A filter of frequencies as a sum of ``rows @ x @ cols``.

    Masks that are not the paper's need not be symmetric along the rows; what
    such a filter makes imaginary comes back as the real part of what it
    multiplies along the columns.

    Args:
        mask: A box, ``(H, W//2 + 1)``, with the constant inside.
        width: ``W``.
        device: Where to put the matrices.
        dtype: Of them.

    Returns:
        One or two pairs ``(H, H)`` and ``(W, W)``.
    """
    rows = torch.eye(len(mask), dtype=torch.double, device='cpu')
    rows = torch.fft.ifft(torch.fft.fft(rows).T * mask[:, :1], dim=0)
    cols = torch.eye(width, dtype=torch.double, device='cpu')
    cols = torch.fft.rfft(cols) * mask[:1]
    products = [(rows.real, torch.fft.irfft(cols, n=width))]
    if rows.imag.abs().max() > 1e-9:
        products.append((rows.imag, torch.fft.irfft(1j * cols, n=width)))
    return [
        (rows.to(device, dtype), cols.to(device, dtype))
        for rows, cols in products
    ]


def pool_exported(x: Tensor, side: int) -> Tensor:
    """``F.adaptive_avg_pool2d(x, side)`` as two products.

    Exporters have it only where the cells of the grid are equal.
    """
    rows, cols = (_cells(length, side, x) for length in x.shape[2:])
    return rows.transpose(0, 1) @ (x @ cols)


def _cells(length: Any, side: int, x: Tensor) -> Tensor:
    """Means over the cells along one axis, ``(length, side)``."""
    constant = not varies(length)
    with untraced() if constant else nullcontext():
        length = int(length) if constant else length
        cell = torch.arange(side)
        start = torch.div(cell * length, side, rounding_mode='floor')
        stop = torch.div(
            (cell + 1) * length + side - 1, side, rounding_mode='floor'
        )
        pixel = torch.arange(length)[:, None]
        inside = (pixel >= start) & (pixel < stop)
        return inside.to(x.dtype) / (stop - start).to(x.dtype)


def convolve_exported(x: Tensor, weight: Tensor, options: Any) -> Tensor:
    """Convolve each sample with its own kernel.

    One sample is a plain convolution with a computed kernel; a graph that was
    traced so refuses more. A graph for any number of samples is traced with
    two or more: it gathers what each output pixel sees, and multiplies.

    Args:
        x: ``(B, C, H, W)``.
        weight: ``(B, O, C/G, kh, kw)``.
        options: How to convolve, as ``F.conv2d``'s last arguments.

    Returns:
        ``(B, O, H', W')``.
    """
    O, I, *kernel_size = (int(n) for n in weight.shape[1:])  # noqa: E741
    if x.shape[0] == 1:
        kernel = weight.reshape(O, I, *kernel_size)
        return F.conv2d(x, kernel, None, *options)
    stride, (ph, pw), dilation, groups = options
    x = F.pad(x, (pw, pw, ph, ph))
    rows, cols = (
        [slice(i * d, i * d - d * (k - 1) or None, s) for i in range(k)]
        for k, s, d in zip(kernel_size, stride, dilation)
    )
    seen = torch.stack([x[:, :, r, c] for r in rows for c in cols], dim=2)
    height, width = seen.shape[3:]
    taps = I * len(rows) * len(cols)
    columns = seen.reshape(-1, groups, taps, height * width)
    kernels = weight.reshape(-1, groups, O // groups, taps)
    return (kernels @ columns).reshape(-1, O, height, width)
