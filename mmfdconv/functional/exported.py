"""What ONNX has no operator for, by operators that it has.

While a model is exported, the functions here stand in: products with matrices
in place of FFTs, which onnxruntime has on CPUs alone and TensorRT not at all,
and of uneven pooling; and a convolution that has a kernel for each sample.
Sizes of maps are constants of the graph, or values that it computes, see
:func:`~mmfdconv.functional.modes.varies`.
"""

import math
from typing import Any, List, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .modes import untraced, varies

_Pair = Tuple[int, int]

#: Shorter transforms are one product, longer ones two.
_ONE_PRODUCT = 48


# ----------------------------------------------------------------------- maps


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
    cells = []
    for length in x.shape[2:]:
        if varies(length):
            cells.append(pooling_matrix(length, side, x.dtype))
            continue
        with untraced():
            cells.append(pooling_matrix(int(length), side, x.dtype))
    rows, cols = cells
    return rows.transpose(0, 1) @ (x @ cols)


def pooling_matrix(length: Any, side: int, dtype: torch.dtype) -> Tensor:
    """Means over the cells of adaptive pooling along one axis.

    Args:
        length: Of the axis, which may vary.
        side: How many cells.
        dtype: Of the matrix.

    Returns:
        ``(length, side)``.
    """
    cell = torch.arange(side, device='cpu')
    start = torch.div(cell * length, side, rounding_mode='floor')
    stop = torch.div(
        (cell + 1) * length + side - 1, side, rounding_mode='floor'
    )
    pixel = torch.arange(length, device='cpu')[:, None]
    inside = (pixel >= start) & (pixel < stop)
    return inside.to(dtype) / (stop - start).to(dtype)


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


# -------------------------------------------------------------------- kernels
#
# A transform of length N = P Q is two products (Cooley and Tukey 1965), of
# P + Q multiplications for each element where one product has N. With
# k = Q k1 + k2 and n = n1 + P n2,
#
#     exp(2 pi i n k / N) = exp(2 pi i n1 k1 / P)
#                           exp(2 pi i (n1 + P n2) k2 / N).


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
