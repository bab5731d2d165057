"""Frequency Band Modulation (FBM) of FDConv, arXiv:2503.18783, Sec. 3.4.

The bands are differences of nested low-passes, and an ideal low-pass is a
projection onto the lowest cosines and sines of either axis. So all bands come
from one set of coefficients, a quarter of the input in size, by matrix
products; the backward pass makes them anew instead of keeping them.
"""

import math
from functools import lru_cache
from typing import Any, Iterator, List, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .frequency import frequency_bands, low_pass_mask
from .modes import is_traced, no_autocast, plain_backward

__all__ = ['convolve_to_few', 'low_pass_bases', 'modulate_bands']

#: Above this side FFTs are used, whose cost grows with the logarithm only. On
#: a CPU they are as fast from about 200 on, but keep all bands.
_MAX_SIDE = 256

#: Features that a CPU modulates at once, if a sample has fewer; there are
#: some ten passes over them, which had better stay in its caches.
_CHUNK = 2**18


def convolve_to_few(
    x: Tensor, weight: Tensor, bias: Tensor, groups: int = 1
) -> Tensor:
    """A convolution that keeps the size and has few output channels.

    Such as the one that predicts the maps, whose three channels are a small
    part of what CPUs compute at once. So there each input channel is
    multiplied with all taps of all outputs in one matrix product, and what
    belongs to the same output pixel is added up.

    Args:
        x: ``(B, C, H, W)``.
        weight: ``(O, C/G, k, k)``, ``k`` odd.
        bias: ``(O,)``.
        groups: ``G``.

    Returns:
        ``(B, O, H, W)``.
    """
    B, C, H, W = x.shape
    O, I, k, _ = weight.shape  # noqa: E741
    num_products = O * k * k
    padding = int(k) // 2  # under a tracer sizes are tensors
    plain = is_traced() or x.device.type != 'cpu' or B == 0
    if plain or num_products > C:
        return F.conv2d(x, weight, bias, padding=padding, groups=groups)
    # (O, I, k, k) -> (G, O/G * k * k, I). Sums run over where a pixel goes
    # to, not where it comes from: the taps are turned round.
    taps = weight.flip(2, 3).permute(0, 2, 3, 1).reshape(groups, -1, I)
    products = taps @ x.reshape(B, groups, I, H * W)
    products = products.view(B, num_products, H * W)
    y = F.fold(products, (H, W), k, padding=padding)
    return y + bias.view(-1, 1, 1)


@lru_cache(maxsize=64)
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
        sine of each harmonic. They are cached and shared: do not write to
        them.
    """
    # The cache may be filled by a model that is built for inference and read
    # by one that trains.
    with torch.inference_mode(False):
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


class _ModulateBands(torch.autograd.Function):
    r"""``sum_b A_b * X_b`` as ``A_0 x + sum_i (A_{i+1} - A_i) P_i x``.

    ``P_i`` are the nested low-passes; a projection is its own adjoint.
    """

    @staticmethod
    def forward(ctx, x: Tensor, maps: Tensor, rows, cols) -> Tensor:
        # (B, S, C/S, H, W) and (B, S, bands, H, W)
        ctx.rows, ctx.cols = rows, cols
        y = torch.empty_like(x)
        low_size = (rows[0].shape[1], cols[0].shape[1])
        coefficients = x.new_empty(*x.shape[:3], *low_size)
        for part in _parts(x):
            maps_, kept, out = maps[part], coefficients[part], y[part]
            torch.matmul(rows[0].T, x[part] @ cols[0], out=kept)
            torch.mul(x[part], maps_[:, :, :1], out=out)
            for i, low in enumerate(_low_passes(kept, rows, cols)):
                out.addcmul_(low, _step(maps_, i))
        ctx.save_for_backward(x, maps, coefficients)
        return y

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tuple[Any, ...]:
        inputs, rows, cols = ctx.saved_tensors, ctx.rows, ctx.cols
        x, maps, _ = inputs
        with no_autocast(grad):
            if torch.is_grad_enabled():  # gradients of gradients are wanted
                grads = plain_backward(
                    lambda x, maps: _modulate(x, maps, rows, cols),
                    (x, maps),
                    ctx.needs_input_grad,
                    grad,
                )
                return (*grads, None, None)
            grad_x, grad_maps = torch.empty_like(x), torch.empty_like(maps)
            for part in _parts(x):
                _modulate_backward(
                    grad[part],
                    *(t[part] for t in inputs),
                    rows,
                    cols,
                    grad_x[part],
                    grad_maps[part],
                )
        return grad_x, grad_maps, None, None


def _parts(x: Tensor) -> Iterator[slice]:
    """Samples that are modulated together; on a CPU they fit its caches."""
    step = B = len(x)
    if x.device.type == 'cpu':
        step = max(_CHUNK // max(x[0].numel(), 1), 1)
    return (slice(b, b + step) for b in range(0, B, step))


def _modulate_backward(
    grad: Tensor,
    x: Tensor,
    maps: Tensor,
    coefficients: Tensor,
    rows: Sequence[Tensor],
    cols: Sequence[Tensor],
    grad_x: Tensor,
    grad_maps: Tensor,
) -> None:
    """Write the gradients of some samples' ``x`` and ``maps``."""
    product = grad * x
    inner = product.sum(2)  # <grad, P_i x> over the channels
    torch.mul(grad, maps[:, :, :1], out=grad_x)
    total = torch.zeros_like(coefficients)
    for i, low in enumerate(_low_passes(coefficients, rows, cols)):
        lower = torch.mul(grad, low, out=product).sum(2)
        if i < maps.shape[2]:
            torch.sub(inner, lower, out=grad_maps[:, :, i])
        inner = lower
        torch.mul(grad, _step(maps, i), out=low)
        part = rows[i].T @ (low @ cols[i])
        total[..., : part.shape[-2], : part.shape[-1]] += part
    if maps.shape[2] > len(rows):
        grad_maps[:, :, -1] = inner  # of the lowest band
    grad_x += rows[0] @ (total @ cols[0].T)


def _modulate(x: Tensor, maps: Tensor, rows, cols) -> Tensor:
    """The same by plain operations, which autograd records."""
    y = x * maps[:, :, :1]
    lows = _low_passes(rows[0].T @ (x @ cols[0]), rows, cols)
    for i, low in enumerate(lows):
        y = y + low * _step(maps, i)
    return y


def _low_passes(coefficients: Tensor, rows, cols):
    for Qy, Qx in zip(rows, cols):
        kept = coefficients[..., : Qy.shape[1], : Qx.shape[1]]
        yield Qy @ (kept @ Qx.T)


def _step(maps: Tensor, i: int) -> Tensor:
    """Map of band ``i + 1`` minus that of band ``i``; 1 where there is none.

    ``(B, S, 1, H, W)``.
    """
    lower = maps[:, :, i + 1 : i + 2] if i + 1 < maps.shape[2] else 1.0
    return lower - maps[:, :, i : i + 1]


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
    B, C, H, W = x.shape
    S, bands = maps.shape[1:3]
    by_products = (
        rule == 'exact' and B > 0 and max(H, W) <= _MAX_SIDE
    ) and not is_traced()
    if by_products:
        with no_autocast(x):
            key = (tuple(k_list), x.device, x.dtype)
            y = _ModulateBands.apply(
                x.reshape(B, S, C // S, H, W),
                maps,
                low_pass_bases(H, *key),
                low_pass_bases(W, *key),
            )
        return y.view(B, C, H, W)
    y = None
    for i, band in enumerate(frequency_bands(x, k_list, rule)):
        band = band.reshape(B, S, C // S, H, W)
        if i < bands:
            band = maps[:, :, i, None] * band
        y = band if y is None else y + band
    return y.reshape(B, C, H, W)
