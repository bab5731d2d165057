"""Transforms of kernels for a graph that knows no FFT, by real products.

Of the runtimes that ONNX is for, onnxruntime has FFTs on CPUs alone and
TensorRT has none. While a model is exported, the products here stand in.

A transform of length N = P Q is two products (Cooley and Tukey 1965), of
P + Q multiplications for each element where one product has N. With
k = Q k1 + k2 and n = n1 + P n2,

    exp(2 pi i n k / N) = exp(2 pi i n1 k1 / P)
                          exp(2 pi i (n1 + P n2) k2 / N).
"""

import math
from typing import Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .modes import untraced

__all__ = ['forward_rfft2', 'gated_image']

_Pair = Tuple[int, int]

#: Shorter transforms are one product, longer ones two.
_ONE_PRODUCT = 48


def gated_image(
    spectrum: Tensor, gate: Tensor, groups: Tensor, size: _Pair
) -> Tensor:
    """Weigh frequency groups and transform back: FDConv's kernels as images.

    Args:
        spectrum: Half planes, ``(R, rows, cols//2 + 1, 2)``.
        gate: ``(B, R, K)``.
        groups: The group of every frequency, ``(rows, cols//2 + 1)``.
        size: ``(rows, cols)``.

    Returns:
        ``(B, rows, cols)``.
    """
    rows, cols = size
    half = cols // 2 + 1
    with untraced():
        # Columns that stand for two frequencies count twice; columns of
        # zeros make the half plane whole rows of the second transform.
        missing = -half % _factors(cols)[1]
        weight = torch.full((half, 1), 2.0, device='cpu')
        weight[0] = 1
        if cols % 2 == 0:
            weight[-1] = 1
        weight = (weight / (rows * cols)).to(spectrum.device, spectrum.dtype)
        index = F.pad(groups, (0, missing)).flatten()
    spectrum = F.pad(spectrum * weight, (0, 0, 0, missing))
    spectrum = spectrum.permute(0, 3, 1, 2)  # (R, 2, rows, half)
    image = None
    for r in range(int(spectrum.shape[0])):
        weights = gate[:, r].index_select(1, index)
        weights = weights.reshape(-1, 1, rows, half + missing)
        term = weights * spectrum[r]
        image = term if image is None else image + term
    # (B, 2, rows, half) -> (B, 2, half, rows) -> (B, cols, rows)
    image = _transform(image, rows, 1).transpose(2, 3)
    return _transform(image, cols, 1, real=True).transpose(1, 2)


def forward_rfft2(image: Tensor) -> Tensor:
    """Half plane of a real image: ``(rows, cols) -> (rows, half, 2)``."""
    rows, cols = (int(side) for side in image.shape)
    pairs = torch.stack([image, torch.zeros_like(image)])[None]
    pairs = _transform(pairs, rows, -1).transpose(2, 3)
    pairs = _transform(pairs, cols, -1)[0, :, : cols // 2 + 1]
    return pairs.permute(2, 1, 0)


def _transform(
    z: Tensor, length: int, sign: int, real: bool = False
) -> Tensor:
    """Discrete Fourier transform along the third dimension, unscaled.

    Args:
        z: Real and imaginary parts, ``(B, 2, n, M)``; from ``n`` on, a
            multiple of the transform's second factor, there are zeros.
        length: Of the transform.
        sign: Of the exponent.
        real: Whether the real part alone is wanted.

    Returns:
        ``(B, 2, length, M)``, or ``(B, length, M)`` of the real part.
    """
    P, Q = _factors(length)
    present, width = int(z.shape[2]) // Q, int(z.shape[3])
    with untraced():
        first, second = (
            table.to(z.device, z.dtype)
            for table in _factor_tables(length, present, sign, real)
        )
    if P > 1:
        z = first @ z.reshape(-1, 2 * present, Q * width)
    z = second @ z.reshape(-1, P, 2 * Q, width)
    if real:
        z = z.reshape(-1, P, Q, width).transpose(1, 2)
        return z.reshape(-1, length, width)
    z = z.reshape(-1, P, 2, Q, width).permute(0, 2, 3, 1, 4)
    return z.reshape(-1, 2, length, width)


def _factors(length: int) -> _Pair:
    """``(P, Q)``, as near to each other as can be, ``P <= Q``."""
    if length <= _ONE_PRODUCT:
        return 1, length
    P = next(p for p in range(math.isqrt(length), 0, -1) if length % p == 0)
    return P, length // P


def _factor_tables(
    length: int, present: int, sign: int, real: bool
) -> Tuple[Tensor, Tensor]:
    """Both matrices of a transform.

    Returns:
        ``(2 P, 2 present)``, from parts and k1 to n1 and parts; and
        ``(P, 2 Q, 2 Q)``, for each n1 from parts and k2 to parts and n2.
    """
    P, Q = _factors(length)
    n1, n2, k1, k2 = (
        torch.arange(stop, dtype=torch.double, device='cpu')
        for stop in (P, Q, present, Q)
    )
    turn = sign * 2 * math.pi / length
    first = _complex_product(turn * Q * (n1[:, None] * k1 % P))
    first = first.transpose(0, 1).reshape(2 * P, 2 * present)
    step = n1[:, None, None] + P * n2[:, None]
    second = _complex_product(turn * (step * k2 % length))
    if real:
        second = second[:1]
    second = second.transpose(0, 1).reshape(P, -1, 2 * Q)
    return first, second


def _complex_product(angle: Tensor) -> Tensor:
    """Products with exp(i angle), ``(..., n, k) -> (2, ..., n, 2, k)``."""
    cos, sin = angle.cos(), angle.sin()
    of_real = torch.stack([cos, -sin], dim=-2)
    return torch.stack([of_real, torch.stack([sin, cos], dim=-2)])
