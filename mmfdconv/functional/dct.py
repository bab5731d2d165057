"""Discrete cosine transform of pooled feature maps.

FADConv (Shu & Shen, JAG 2026, arXiv:2504.03510) describes a channel by the
lowest DCT-II coefficients of its ``P x P`` average-pooled map.
"""

import math
from typing import Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .constant_tables import constant_table
from .exported import pool_exported, pooling_matrix
from .modes import is_exported, is_traced

#: Pooling and transform are one matrix product where the matrix has at most
#: so many elements, 128 x 128 pixels by 16 coefficients. On a CPU that takes
#: between a fortieth of the time of pooling and transform, and all of it.
_MAX_ELEMENTS = 2**18


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
    parts = [basis[:, :low_freq]]
    if high_freq:
        parts.append(basis[:, -high_freq:])
    if _is_one_product(x, low_freq**2 + high_freq**2):
        # Pooling and transform are linear, and take one axis after the other.
        rows, cols = (
            _pooling(side, len(basis), basis.device, basis.dtype)
            for side in x.shape[2:]
        )
        waves = [torch.kron(rows @ part, cols @ part) for part in parts]
        waves = torch.cat(waves, dim=1)  # (H * W, n*n + h*h)
        maps = x.to(basis.dtype).flatten(2)
        return torch.bmm(maps, waves.expand(len(x), -1, -1))
    size: Tuple[int, int] = (basis.shape[0], basis.shape[0])
    if is_exported():
        pooled = pool_exported(x, size[0]).to(basis.dtype)
    else:
        pooled = F.adaptive_avg_pool2d(x, size).to(basis.dtype)
    # (B, C, P, P) -> n*n
    corners = [(part.t() @ pooled @ part).flatten(2) for part in parts]
    return torch.cat(corners, dim=2)


def _is_one_product(x: Tensor, num_coefficients: int) -> bool:
    size = x.shape[2] * x.shape[3] * num_coefficients
    return not is_traced() and 0 < size <= _MAX_ELEMENTS


@constant_table
def _pooling(
    length: int, size: int, device: torch.device, dtype: torch.dtype
) -> Tensor:
    """Adaptive average pooling along one axis, ``(length, size)``."""
    return pooling_matrix(length, size, torch.double).to(device, dtype)
