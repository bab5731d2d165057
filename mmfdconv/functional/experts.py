"""Mixing of expert kernels."""

from torch import Tensor

__all__ = ['mix_experts']


def mix_experts(routing: Tensor, experts: Tensor) -> Tensor:
    r"""Sum of experts, weighted per sample, :math:`\sum_k a_{b,k} W_k`.

    Args:
        routing: Weights ``(B, K)``.
        experts: ``(K, ...)``, kernels or biases.

    Returns:
        ``(B, ...)``.
    """
    mixed = routing @ experts.flatten(1)  # (B, K) @ (K, n) -> (B, n)
    return mixed.view(routing.shape[0], *experts.shape[1:])
