r"""FDConv's input: Frequency Band Modulation, arXiv:2503.18783, Sec. 3.4.

.. math:: Y = \sum_b A_b(X) \odot X_b

The bands are differences of nested low-passes ``P_i``, from the highest to the
lowest, so the sum is :math:`A_0 X + \sum_i (A_{i+1} - A_i) P_i X`.
"""

from typing import Optional, Sequence

import torch.nn.functional as F
from torch import Tensor

from .low_pass import low_passes
from .modes import is_traced, prefers_cpu_path

__all__ = ['convolve_to_few', 'modulate_bands']


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
    weights = [*maps.split(1, dim=2), 1]  # the lowest band passes
    y = x * weights[0]
    lows = low_passes(x, k_list, rule, coefficients)
    for low, high_weight, weight in zip(lows, weights, weights[1:]):
        y = y + low * (weight - high_weight)
    return y.view(B, C, H, W)


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
