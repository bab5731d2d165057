"""The octave bands of FDConv's Frequency Band Modulation, weighed by maps.

arXiv:2503.18783, Sec. 3.4. The bands are differences of nested low-passes, and
an ideal low-pass is a projection onto the lowest cosines and sines of either
axis. So all bands come from one set of coefficients by matrix products.
"""

import math
from functools import lru_cache
from typing import List, NamedTuple, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .frequency import frequency_bands, low_pass_mask
from .modes import is_traced, no_autocast, plain_backward

__all__ = [
    'low_pass_bases',
    'low_pass_coefficients',
    'modulate_bands',
    'weigh_bands',
    'weigh_bands_backward',
    'weighs_by_products',
]

#: Above this side FFTs are used, whose cost grows with the logarithm only. On
#: a CPU they are as fast from about 200 on, but keep all bands; a GPU has
#: more products to spare for each byte that it moves.
_MAX_SIDE = 256
_MAX_SIDE_OF_GPUS = 512

#: A product with 27 columns takes longer than one with 32.
_LANES = 8

#: What each low-pass leaves, and its weight.
_Weighed = Sequence[Tuple[Tensor, Tensor]]


def weighs_by_products(x: Tensor, rule: str) -> bool:
    """Whether :func:`weigh_bands` is for a feature map ``(B, C, H, W)``."""
    # First of all: a compiler guards what it is asked about sizes.
    if is_traced() or rule != 'exact':
        return False
    most = _MAX_SIDE_OF_GPUS if x.is_cuda else _MAX_SIDE
    return len(x) > 0 and max(x.shape[2:]) <= most


def low_pass_bases(
    length: int,
    divisors: Tuple[float, ...],
    device: torch.device,
    dtype: torch.dtype,
) -> List[Tensor]:
    """Orthonormal bases of what the low-passes keep along one axis.

    Args:
        length: ``n``, side of the feature map.
        divisors: ``k`` of every low-pass, growing, so that each basis is the
            first columns of the one before.
        device: Where to put them.
        dtype: Of the bases; they are computed in float64.

    Returns:
        ``(n, r_k)`` for every ``k``: the constant, then the cosine and the
        sine of each harmonic.
    """
    # Whatever the default device is.
    pixels, harmonics = (
        torch.arange(first, stop, dtype=torch.double, device='cpu')
        for first, stop in ((0, length), (1, length // 2 + 1))
    )
    angle = 2 * math.pi / length * pixels[:, None] * harmonics
    waves = torch.stack([angle.cos(), angle.sin()], dim=2).flatten(1)
    if length % 2 == 0:  # Nyquist's sine is 0, its cosine twice as long
        waves = waves[:, :-1]
        waves[:, -1] *= 0.5**0.5
    constant = torch.full_like(pixels[:, None], 0.5**0.5)
    basis = torch.cat([constant, waves], dim=1) * (2 / length) ** 0.5
    basis = basis.to(device, dtype)
    bases = []
    for k in divisors:
        # The mask knows which harmonics lie below the bound.
        kept = int(low_pass_mask((1, length), k, device='cpu').sum())
        bases.append(basis[:, : 2 * kept - 1].contiguous())
    return bases


def modulate_bands(
    x: Tensor, maps: Tensor, k_list: Sequence[float], rule: str = 'exact'
) -> Tensor:
    r"""Weigh the frequency bands of a feature map, each by a spatial map.

    .. math:: Y = \sum_b A_b \odot X_b

    Args:
        x: ``(B, C, H, W)``, float32 or float64.
        maps: ``(B, S, bands, H, W)``, the same dtype; ``S`` groups of
            channels have maps of their own. Of ``len(k_list)`` bands, highest
            frequencies first, or one more with the lowest band's, which
            otherwise passes as it is.
        k_list: Divisors of the Nyquist frequency, growing.
        rule: One of ``MASK_RULES``.

    Returns:
        ``(B, C, H, W)``.
    """
    if not weighs_by_products(x, rule):
        return _modulate(x, maps, k_list, rule)
    B, C, H, W = x.shape
    S = maps.shape[1]
    grouped = x.reshape(B, S, C // S, H, W)
    return _ModulateBands.apply(grouped, maps, k_list).view(x.shape)


def _modulate(
    x: Tensor, maps: Tensor, k_list: Sequence[float], rule: str
) -> Tensor:
    """:func:`modulate_bands` as the equation stands."""
    B, C, H, W = x.shape
    S, bands = maps.shape[1:3]
    y = None
    for i, band in enumerate(frequency_bands(x, k_list, rule)):
        band = band.reshape(B, S, C // S, H, W)
        if i < bands:
            band = maps[:, :, i, None] * band
        y = band if y is None else y + band
    return y.reshape(B, C, H, W)


class _ModulateBands(torch.autograd.Function):
    """:func:`weigh_bands`; its low-passes are computed anew, not kept."""

    @staticmethod
    def forward(ctx, x: Tensor, maps: Tensor, k_list) -> Tensor:
        ctx.k_list = k_list
        ctx.save_for_backward(x, maps)
        with no_autocast(x):
            coefficients = low_pass_coefficients(x, k_list)
            return weigh_bands(x, maps, coefficients, k_list)[0]

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tuple[Optional[Tensor], ...]:
        (x, maps), k_list = ctx.saved_tensors, ctx.k_list
        with no_autocast(grad):
            if torch.is_grad_enabled():  # gradients of gradients are wanted
                grads = plain_backward(
                    lambda x, maps: _modulate(
                        x.flatten(1, 2), maps, k_list, 'exact'
                    ).view(x.shape),
                    (x, maps),
                    ctx.needs_input_grad,
                    grad,
                )
            else:
                coefficients = low_pass_coefficients(x, k_list)
                _, kept = weigh_bands(x, maps, coefficients, k_list, keep=True)
                grads = weigh_bands_backward(grad, x, maps, kept, k_list)
        return (*grads, None)


class _Axis(NamedTuple):
    """Bases of the low-passes along one axis, as products want them.

    That is, contiguous, and many columns a multiple of what a CPU takes at
    once: more of them are zeros.
    """

    bases: List[Tensor]
    transposed: List[Tensor]
    padded: List[Tensor]


@lru_cache(maxsize=64)
def _axis(
    length: int,
    divisors: Tuple[float, ...],
    device: torch.device,
    dtype: torch.dtype,
) -> _Axis:
    """From :func:`low_pass_bases`; shared: do not write to them."""
    # The cache may be filled by a model that is built for inference and read
    # by one that trains.
    with torch.inference_mode(False):
        bases = low_pass_bases(length, divisors, device, dtype)
        transposed = [basis.T.contiguous() for basis in bases]
        padded = [
            F.pad(basis, (0, -basis.shape[1] % _LANES))
            if basis.shape[1] > _LANES
            else basis
            for basis in bases
        ]
    return _Axis(bases, transposed, padded)


def low_pass_coefficients(x: Tensor, k_list: Sequence[float]) -> Tensor:
    """Of the lowest cosines and sines of either axis.

    Args:
        x: ``(B, S, C/S, H, W)``, float32 or float64.
        k_list: Divisors of the Nyquist frequency, growing; the first says how
            many.

    Returns:
        ``(B, S, C/S, h, w)``, about ``H / k`` by ``W / k``.
    """
    rows, cols = _axes(x, k_list)
    return rows.transposed[0] @ (x @ cols.padded[0])


def weigh_bands(
    x: Tensor,
    maps: Tensor,
    coefficients: Tensor,
    k_list: Sequence[float],
    keep: bool = False,
) -> Tuple[Tensor, _Weighed]:
    """:func:`modulate_bands` by matrix products, without a graph.

    With the nested low-passes ``P_i``, it is
    ``A_0 x + sum_i (A_{i+1} - A_i) P_i x``.

    Args:
        x: ``(B, S, C/S, H, W)``, float32 or float64.
        maps: ``(B, S, bands, H, W)``, the same dtype.
        coefficients: From :func:`low_pass_coefficients`.
        k_list: Divisors of the Nyquist frequency, growing.
        keep: Whether :func:`weigh_bands_backward` follows.

    Returns:
        The weighed sum, like ``x``; and, if they are to be kept, what each
        low-pass leaves of ``x``, and its weight.
    """
    rows, cols = _axes(x, k_list)
    y = x * maps[:, :, :1]
    kept = []
    steps = _steps(maps, len(k_list))
    for Qy, Qx, step in zip(rows.bases, cols.padded, steps):
        own = coefficients[..., : Qy.shape[1], : Qx.shape[1]]
        low = Qy @ (own @ Qx.T)
        y.addcmul_(low, step)
        if keep:
            kept.append((low, step))
    return y, kept


def weigh_bands_backward(
    grad: Tensor,
    x: Tensor,
    maps: Tensor,
    kept: _Weighed,
    k_list: Sequence[float],
) -> Tuple[Tensor, Tensor]:
    """Gradients of :func:`weigh_bands`; a projection is its own adjoint.

    Args:
        grad: Like ``x``.
        x: As in the forward pass.
        maps: As in the forward pass.
        kept: From the forward pass.
        k_list: As in the forward pass.

    Returns:
        The gradients of ``x`` and ``maps``.
    """
    rows, cols = _axes(x, k_list)
    product = grad * x
    inner = [product.sum(2)]  # <grad, P_i x> over the channels
    total = None  # of the coefficients
    for (low, step), Qy, Qx in zip(kept, rows.transposed, cols.padded):
        inner.append(torch.mul(grad, low, out=product).sum(2))
        part = Qy @ (torch.mul(grad, step, out=product) @ Qx)
        if total is None:  # the largest
            total = part
        else:
            total[..., : part.shape[-2], : part.shape[-1]] += part
    # A map weighs the difference of two low-passes, the last its all.
    inner.append(torch.zeros_like(inner[0]))
    sums = torch.stack(inner[: maps.shape[2] + 1], dim=2)
    grad_maps = sums[:, :, :-1] - sums[:, :, 1:]
    grad_x = torch.mul(grad, maps[:, :, :1], out=product)
    grad_x += rows.bases[0] @ (total @ cols.padded[0].T)
    return grad_x, grad_maps


def _axes(x: Tensor, k_list: Sequence[float]) -> Tuple[_Axis, _Axis]:
    """The rows' and the columns'."""
    key = (tuple(k_list), x.device, x.dtype)
    H, W = x.shape[-2:]
    return _axis(H, *key), _axis(W, *key)


def _steps(maps: Tensor, num_low_passes: int) -> Sequence[Tensor]:
    """From the map of each band to that of the next lower one.

    The lowest band's is 1 where there is none.

    Returns:
        ``num_low_passes`` of ``(B, S, 1, H, W)``.
    """
    maps = maps.split(1, dim=2)
    steps = [low - high for high, low in zip(maps, maps[1:])]
    if len(maps) == num_low_passes:
        steps.append(1 - maps[-1])
    return steps
