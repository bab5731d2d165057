"""What FADConv's frequency attention (FAT) sees of a feature map."""

from typing import NamedTuple, Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..functional import dct_basis
from ..layers.descriptors import FrequencyAttention

__all__ = [
    'Attention',
    'attention_misfit',
    'frequency_attention',
    'inverse_dct',
    'pooled_dct',
]


class Attention(NamedTuple):
    """The DCT of pooled features and what FAT does with it."""

    coefficients: Tensor  # (B, C, P, P)
    pooled: Tensor  # (B, C, P, P)
    kept: Tensor  # (B, C, P, P), the pooled map of the kept coefficients
    descriptor: Tensor  # (B, C)
    sensitivity: Tensor  # (B, C, P, P), of the descriptor to a coefficient


def attention_misfit(layer: nn.Module) -> Optional[str]:
    """Say why a layer has no frequency attention; None where it has."""
    if isinstance(getattr(layer, 'descriptor', None), FrequencyAttention):
        return None
    return (
        f'{type(layer).__name__} here describes its input without frequency '
        "attention (FAT); FADConv has it, and layers with descriptor='fat'"
    )


def pooled_dct(pooled: Tensor) -> Tensor:
    """All DCT coefficients of pooled maps, ``(..., P, P)``, as FAT's."""
    basis = dct_basis(pooled.shape[-1], pooled.device, pooled.dtype)
    return basis.t() @ pooled @ basis


def inverse_dct(coefficients: Tensor) -> Tensor:
    """Undo :func:`pooled_dct`.

    The published basis is orthogonal but not of length 1.

    Args:
        coefficients: ``(..., P, P)``.
    """
    size = coefficients.shape[-1]
    basis = dct_basis(size, coefficients.device, coefficients.dtype)
    inverse = basis / basis.square().sum(dim=0)  # (positions, frequencies)
    return inverse @ coefficients @ inverse.t()


def kept_coefficients(descriptor: FrequencyAttention) -> Tensor:
    """Which coefficients FAT reads, ``(P, P)`` of bool."""
    P, n, h = (
        descriptor.pool_size,
        descriptor.low_freq,
        descriptor.high_freq,
    )
    kept = torch.zeros(P, P, dtype=torch.bool)
    kept[:n, :n] = True
    if h:
        kept[-h:, -h:] = True
    return kept


def frequency_attention(
    descriptor: FrequencyAttention, x: Tensor
) -> Attention:
    """Look into FAT at work.

    The sensitivity to a coefficient is the derivative of the channel's
    descriptor by it.

    Args:
        descriptor: The layer's.
        x: The layer's input ``(B, C, H, W)``.
    """
    pooled = F.adaptive_avg_pool2d(x.detach().float(), descriptor.pool_size)
    pooled.requires_grad_()
    with torch.enable_grad():
        # Pooled maps pass FAT's own pooling as they are.
        described = descriptor(pooled)
        (gradient,) = torch.autograd.grad(described.sum(), pooled)
    pooled = pooled.detach()
    coefficients = pooled_dct(pooled)
    kept = kept_coefficients(descriptor).to(pooled.device)
    # With C = B^T X B the chain rule gives d/dX = B (d/dC) B^T.
    basis = dct_basis(pooled.shape[-1], pooled.device, pooled.dtype)
    dual = basis / basis.square().sum(dim=0)
    sensitivity = dual.t() @ gradient @ dual
    return Attention(
        coefficients,
        pooled,
        inverse_dct(coefficients * kept),
        described.detach(),
        sensitivity,
    )
