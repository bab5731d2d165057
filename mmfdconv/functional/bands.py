r"""FDConv's input: Frequency Band Modulation, arXiv:2503.18783, Sec. 3.4.

.. math:: Y = \sum_b A_b(X) \odot X_b

The bands are differences of nested low-passes ``P_i``, from the highest to the
lowest, so the sum is :math:`A_0 X + \sum_i (A_{i+1} - A_i) P_i X`.
"""

from functools import partial
from typing import Iterable, List, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .by_hand import by_hand
from .low_pass import (
    low_pass_coefficients,
    low_passes,
    low_passes_by_products,
    passes_by_products,
)
from .modes import compiled_for_cpu, is_traced, prefers_cpu_path


def modulate_bands(
    x: Tensor,
    maps: Tensor,
    k_list: Sequence[float],
    rule: str = 'exact',
    coefficients: Optional[Tensor] = None,
) -> Tensor:
    r"""Weigh the frequency bands of a feature map, each by a spatial map.

    Args:
        x: ``(B, C, H, W)``, float32 or float64.
        maps: ``A``, ``(B, S, bands, H, W)``, the same dtype; ``S`` groups of
            channels have maps of their own. Of ``len(k_list)`` bands, highest
            frequencies first, or one more with the lowest band's, which
            otherwise passes as it is.
        k_list: Divisors of the Nyquist frequency, growing.
        rule: One of ``MASK_RULES``.
        coefficients: From ``low_pass_coefficients(x, k_list)``, if they are
            known; they spare work, not memory.

    Returns:
        ``Y``, like ``x``.
    """
    B, C, H, W = x.shape
    S = maps.shape[1]
    x = x.reshape(B, S, C // S, H, W)
    if coefficients is not None:
        coefficients = coefficients.unflatten(1, (S, C // S))
    if compiled_for_cpu(x) and rule == 'exact' and B > 0:
        y = torch.ops.mmfdconv.modulate_bands(
            x, maps, list(map(float, k_list))
        )
    elif passes_by_products(x, rule):
        if coefficients is None:
            coefficients = low_pass_coefficients(x, k_list)
        y = by_hand(
            partial(_modulate, k_list=k_list),
            partial(bands_forward, k_list=k_list),
            partial(bands_backward, k_list=k_list),
            x,
            maps,
            coefficients,
        )
    else:
        y = _modulate(x, maps, coefficients, k_list, rule)
    return y.reshape(B, C, H, W)


def _modulate(
    x: Tensor,
    maps: Tensor,
    coefficients: Optional[Tensor],
    k_list: Sequence[float],
    rule: str = 'exact',
) -> Tensor:
    """:func:`modulate_bands` as the equation stands, ``(B, S, C/S, H, W)``."""
    y = x * maps[:, :, :1]
    lows = low_passes(x, k_list, rule, coefficients)
    for low, step in zip(lows, bands_steps(maps, len(k_list))):
        y = torch.addcmul(y, low, step)
    return y


def bands_steps(maps: Tensor, number: int) -> List[Tensor]:
    """From the map of each band to the next lower one's, ``(B, S, 1, H, W)``.

    The lowest band passes where it has no map.
    """
    between = maps[:, :, 1:] - maps[:, :, :-1]
    steps = list(between.split(1, dim=2)) if maps.shape[2] > 1 else []
    return steps if len(steps) == number else [*steps, 1 - maps[:, :, -1:]]


def bands_forward(
    x: Tensor,
    maps: Tensor,
    coefficients: Tensor,
    k_list: Sequence[float],
    keep: bool = False,
) -> Tuple[Tensor, Sequence[Tensor]]:
    """:func:`_modulate`; and, if kept, what the low-passes left, and steps."""
    lows = low_passes_by_products(coefficients, x.shape[-2:], k_list)
    if keep:
        lows = list(lows)
    steps = bands_steps(maps, len(k_list))
    y = x * maps[:, :, :1]
    for low, step in zip(lows, steps):
        y.addcmul_(low, step)
    return y, (*lows, *steps) if keep else ()


def bands_backward(
    grad: Tensor,
    needed: Sequence[bool],
    x: Tensor,
    maps: Tensor,
    coefficients: Tensor,
    *kept: Tensor,
    k_list: Sequence[float],
) -> Tuple[Tensor, Tensor, Tensor]:
    """Gradients of ``x``, but through coefficients, of ``maps``, of these."""
    lows: Iterable[Tensor] = kept[: len(k_list)]
    steps: Sequence[Tensor] = kept[len(k_list) :]
    if not kept:
        lows = low_passes_by_products(coefficients, x.shape[-2:], k_list)
        steps = bands_steps(maps, len(k_list))
    product = grad * x
    inner = [product.sum(2)]  # <grad, P_i x> over the channels
    of_coefficients = None
    for i, (low, step) in enumerate(zip(lows, steps)):
        inner.append(torch.mul(grad, low, out=product).sum(2))
        part = low_pass_coefficients(
            torch.mul(grad, step, out=product), k_list, i
        )
        if of_coefficients is None:  # the first has all of them
            of_coefficients = part
        else:
            h, w = part.shape[-2:]
            of_coefficients[..., :h, :w].add_(part)
    # A map weighs the difference of two low-passes, the last its all.
    if maps.shape[2] == len(inner):
        inner.append(torch.zeros_like(inner[0]))
    sums = torch.stack(inner, dim=2)
    of_maps = sums[:, :, :-1] - sums[:, :, 1:]
    of_x = torch.mul(grad, maps[:, :, :1], out=product)
    return of_x, of_maps, of_coefficients


def convolve_to_few(
    x: Tensor, weight: Tensor, bias: Tensor, groups: int = 1
) -> Tensor:
    """Convolve to a few channels, keeping the size.

    Such as FBM's maps: three channels are a small part of what CPUs compute
    at once. So there each input channel is multiplied with all taps of all
    outputs in one matrix product, and what belongs to the same output pixel
    is added up.

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
    padding = int(k) // 2  # under a tracer sizes are tensors
    by_product = not is_traced() and prefers_cpu_path(x) and B > 0
    if not by_product or O * k * k > C:
        return F.conv2d(x, weight, bias, padding=padding, groups=groups)
    # Sums run over where a pixel goes to, not where it comes from: the taps
    # are turned round. (O, I, k, k) -> (G, O/G * k * k, I)
    taps = weight.flip(2, 3).permute(0, 2, 3, 1).reshape(groups, -1, I)
    products = taps @ x.reshape(B, groups, I, H * W)
    y = F.fold(products.flatten(1, 2), (H, W), k, padding=padding)
    return y + bias.view(-1, 1, 1)
