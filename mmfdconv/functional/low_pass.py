"""Frequency bands of feature maps, by ideal low-passes.

Frequency Band Modulation (FBM) of FDConv, arXiv:2503.18783, Sec. 3.4. An ideal
low-pass is a projection onto the lowest cosines and sines of either axis, so
one set of coefficients and a few matrix products give all of them.
"""

import math
from contextlib import nullcontext
from typing import Iterator, List, NamedTuple, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .constant_tables import constant_table
from .exported import mask_products, projection
from .frequency import inverse_rfft2
from .modes import (
    is_compiling,
    is_exported,
    is_traced,
    prefers_cpu_path,
    untraced,
    varies,
)

#: ``'exact'``: the paper's definition, at the size of the feature map.
#: ``'nearest64'``: the published code's masks, made at 64x64 and resized.
MASK_RULES = ('exact', 'nearest64')

#: Above this side FFTs are used, whose cost grows with the logarithm only. On
#: a CPU they are as fast from about 200 on, but keep all bands; a GPU has
#: more products to spare for each byte that it moves.
_MAX_SIDE = 256
_MAX_SIDE_OF_GPUS = 512

#: A product with 27 columns takes longer than one with 32.
_LANES = 8


def low_pass_mask(
    size: Tuple[int, int],
    divisor: int,
    rule: str = 'exact',
    device: torch.device = None,
) -> Tensor:
    r"""Ideal low-pass :math:`\max(|f_y|, |f_x|) < 1 / (2 k)`.

    Args:
        size: ``(H, W)`` of the feature map.
        divisor: ``k``, the factor below the Nyquist frequency.
        rule: One of :data:`MASK_RULES`.
        device: Where to put the mask.

    Returns:
        Boolean half-plane mask ``(H, W//2 + 1)``.
    """
    H, W = size
    rows, cols = (H, W) if rule == 'exact' else (64, 64)
    # float32 for every input: the bound of the published code, 0.5/k + 1e-8,
    # is a float32 number there, and which frequencies lie on it depends on
    # its rounding.
    bound = 0.5 / divisor + 1e-8
    keep_y = _frequencies(rows, rows, device) < bound
    keep_x = _frequencies(cols, cols // 2 + 1, device) < bound
    if rule == 'nearest64':
        # max() < bound is a box, so each axis is resized on its own.
        keep_y = _resize_nearest(keep_y, H)
        keep_x = _resize_nearest(keep_x, W // 2 + 1)
    return keep_y[:, None] & keep_x


def _frequencies(
    length: int, number: int, device: Optional[torch.device]
) -> Tensor:
    """Magnitudes of the first of ``torch.fft.fftfreq(length)``.

    The same numbers; but that function makes a compiler take the length for
    a constant, and compile anew for every other.
    """
    steps = torch.arange(number, device=device, dtype=torch.float32)
    return torch.minimum(steps, length - steps) * (1 / length)


def _resize_nearest(mask: Tensor, length: int) -> Tensor:
    resized = F.interpolate(mask.float()[None, None], length, mode='nearest')
    return resized[0, 0].bool()


def low_passes(
    x: Tensor,
    k_list: Sequence[float],
    rule: str = 'exact',
    coefficients: Optional[Tensor] = None,
) -> Iterator[Tensor]:
    """What each low-pass leaves of a feature map.

    Args:
        x: ``(..., H, W)``, float32 or float64.
        k_list: Divisors of the Nyquist frequency, growing, e.g. ``(2, 4, 8)``
            for octaves.
        rule: One of :data:`MASK_RULES`.
        coefficients: From :func:`low_pass_coefficients`, if there are any.

    Yields:
        For every divisor a map like ``x``.
    """
    size = x.shape[-2:]
    if is_exported() and (rule != 'exact' or varies(*size)):
        for k in k_list:
            products = _exported_products(x, k, rule)
            yield sum(rows @ (x @ cols) for rows, cols in products)
    elif is_exported() or passes_by_products(x, rule):
        if coefficients is None:
            coefficients = low_pass_coefficients(x, k_list)
        yield from low_passes_by_products(coefficients, size, k_list)
    elif x.numel() == 0:  # FFT libraries refuse an empty batch
        yield from [x] * len(k_list)
    else:
        # In pairs, which compilers fuse; of complex numbers they know nothing.
        pairs = torch.view_as_real(torch.fft.rfft2(x))
        masks = torch.stack(
            [low_pass_mask(size, k, rule, x.device) for k in k_list]
        )
        masks = masks.unflatten(0, (-1, *[1] * (x.dim() - 2)))
        # A compiler has all of them in hand anyway: one FFT for all.
        for some in [masks] if is_compiling() else masks.split(1):
            passed = torch.view_as_complex(pairs * some[..., None])
            yield from inverse_rfft2(passed, size)


def _exported_products(
    x: Tensor, divisor: float, rule: str
) -> List[Tuple[Tensor, Tensor]]:
    """What a graph without FFTs sums up, ``rows @ x @ cols`` of each pair."""
    H, W = x.shape[-2:]
    if varies(H, W):
        return [tuple(projection(n, divisor).to(x.dtype) for n in (H, W))]
    with untraced():
        mask = low_pass_mask((int(H), int(W)), divisor, rule)
        return mask_products(mask, int(W), x.device, x.dtype)


def frequency_bands(
    x: Tensor, k_list: Sequence[float], rule: str = 'exact'
) -> List[Tensor]:
    """Split a feature map into bands that add up to it again.

    Args:
        x: ``(B, C, H, W)``, float32 or float64.
        k_list: As for :func:`low_passes`.
        rule: One of :data:`MASK_RULES`.

    Returns:
        ``len(k_list) + 1`` maps like ``x``, highest frequencies first.
    """
    lows = [x, *low_passes(x, k_list, rule)]
    return [*(high - low for high, low in zip(lows, lows[1:])), lows[-1]]


# --------------------------------------------------------------- by products


def passes_by_products(x: Tensor, rule: str) -> bool:
    """Whether :func:`low_passes` of a map ``(..., H, W)`` takes no FFT."""
    # First of all: a compiler guards what it is asked about sizes.
    if is_traced() or rule != 'exact':
        return False
    most = _MAX_SIDE if prefers_cpu_path(x) else _MAX_SIDE_OF_GPUS
    return x.numel() > 0 and max(x.shape[-2:]) <= most


def low_pass_coefficients(
    x: Tensor, k_list: Sequence[float], which: int = 0
) -> Tensor:
    """Of the lowest cosines and sines of either axis.

    Args:
        x: ``(..., H, W)``, float32 or float64.
        k_list: Divisors of the Nyquist frequency, growing.
        which: Of them says how many; all others' are the first of the
            first's.

    Returns:
        ``(..., h, w)``, about ``H / k`` by ``W / k``.
    """
    rows, cols = _axes(x, x.shape[-2:], k_list)
    return rows.transposed[which] @ (x @ cols.padded[which])


def low_passes_by_products(
    coefficients: Tensor, size: Tuple[int, int], k_list: Sequence[float]
) -> Iterator[Tensor]:
    """What each low-pass leaves of a map, from its coefficients.

    The first is the adjoint of :func:`low_pass_coefficients`.

    Args:
        coefficients: ``(..., h, w)``.
        size: ``(H, W)`` of the map.
        k_list: Divisors of the Nyquist frequency, growing.

    Yields:
        For every divisor a map ``(..., H, W)``.
    """
    rows, cols = _axes(coefficients, size, k_list)
    for Qy, Qx in zip(rows.plain, cols.padded):
        own = coefficients[..., : Qy.shape[1], : Qx.shape[1]]
        yield Qy @ (own @ Qx.T)


class Bases(NamedTuple):
    """Orthonormal bases of what low-passes keep along an axis of ``n`` pixels.

    ``(n, r_k)`` for every ``k``: the constant, then the cosine and the sine of
    each harmonic. Each is the first columns of the one before.
    """

    plain: List[Tensor]
    transposed: List[Tensor]  # (r_k, n), contiguous
    #: With zeros to a multiple of what a CPU takes at once.
    padded: List[Tensor]


@constant_table
def low_pass_bases(
    length: int,
    divisors: Tuple[float, ...],
    device: torch.device,
    dtype: torch.dtype,
) -> Bases:
    """Bases of the low-passes along one axis.

    Args:
        length: ``n``, side of the feature map.
        divisors: ``k`` of every low-pass, growing.
        device: Where to put them.
        dtype: Of the bases.
    """
    # The masks know which harmonics lie below the bounds.
    kept = [
        int(low_pass_mask((1, length), k, device='cpu').sum())
        for k in divisors
    ]
    pixels = torch.arange(length, device=device)
    harmonics = torch.arange(1, kept[0], device=device)
    # Whole turns are left out in integers: no device needs float64 for this.
    steps = pixels[:, None] * harmonics % length
    angle = steps.to(dtype) * (2 * math.pi / length)
    waves = torch.stack([angle.cos(), angle.sin()], dim=2).flatten(1)
    if length == 2 * (kept[0] - 1):
        # Nyquist's sine is 0, and its cosine twice as long.
        waves = waves[:, :-1]
        waves[:, -1] *= 0.5**0.5
    constant = torch.full((length, 1), 0.5**0.5, device=device, dtype=dtype)
    basis = torch.cat([constant, waves], dim=1) * (2 / length) ** 0.5
    plain = [basis[:, : 2 * n - 1].contiguous() for n in kept]
    padded = [
        F.pad(Q, (0, -Q.shape[1] % _LANES)) if Q.shape[1] > _LANES else Q
        for Q in plain
    ]
    return Bases(plain, [Q.T.contiguous() for Q in plain], padded)


def _axes(
    like: Tensor, size: Tuple[int, int], k_list: Sequence[float]
) -> Tuple[Bases, Bases]:
    """The rows' and the columns', for a tensor's device and dtype."""
    key = (tuple(k_list), like.device, like.dtype)
    with untraced() if is_exported() else nullcontext():
        rows, cols = (low_pass_bases(int(n), *key) for n in size)
    return rows, cols
