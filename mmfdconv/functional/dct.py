"""Discrete cosine transform of pooled feature maps.

FADConv (Shu & Shen, JAG 2026, arXiv:2504.03510) describes a channel by the
lowest DCT-II coefficients of its ``P x P`` average-pooled map.
"""

import math
from typing import Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ['dct_basis', 'dct_descriptor']


def dct_basis(
    size: int, device: Optional[torch.device] = None, dtype=None
) -> Tensor:
    r"""DCT-II basis, :math:`\cos((2 i + 1) j \pi / 2 P) / P`.

    The factor ``1/P`` is the published one: coefficient 0 of a row is its
    mean. ``scipy.fft.dct`` without ``norm`` gives ``2 P`` times as much.

    Args:
        size: ``P``.
        device: Where to create it.
        dtype: Floating point type.

    Returns:
        ``(P, P)``, positions by frequencies.
    """
    # In float64, then cast: arange in half precision is exact to 2048 only.
    i = torch.arange(size, device=device, dtype=torch.float64)
    angle = (2 * i[:, None] + 1) * i * (math.pi / (2 * size))
    return (angle.cos() / size).to(dtype or torch.get_default_dtype())


def dct_descriptor(
    x: Tensor, basis: Tensor, low_freq: int, high_freq: int = 0
) -> Tensor:
    """Low- and high-frequency corners of the 2-D DCT of pooled maps.

    Args:
        x: Feature maps ``(B, C, H, W)``.
        basis: From :func:`dct_basis`, ``(P, P)``; fixes the pooled size.
        low_freq: ``n``, keep the coefficients below ``n`` on both axes.
        high_freq: ``h``, keep also those of the opposite corner, from ``P-h``
            on, on both axes.

    Returns:
        ``(B, C, n*n + h*h)``, each corner row by row.
    """
    size: Tuple[int, int] = (basis.shape[0], basis.shape[0])
    pooled = F.adaptive_avg_pool2d(x, size).to(basis.dtype)  # (B, C, P, P)

    def corner(part: Tensor) -> Tensor:
        return (part.t() @ pooled @ part).flatten(2)  # (B, C, P, P) -> n*n

    corners = [corner(basis[:, :low_freq])]
    if high_freq:
        corners.append(corner(basis[:, -high_freq:]))
    return torch.cat(corners, dim=2)
