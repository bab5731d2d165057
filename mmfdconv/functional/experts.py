"""Mixing of expert kernels."""

from typing import Optional, Tuple

from torch import Tensor

from .recomputing import recompute


def mix_experts(
    routing: Tensor, experts: Tensor, spatial: Optional[Tensor] = None
) -> Tensor:
    r"""Sum of experts, weighted per sample, :math:`\sum_k a_{b,k} W_k`.

    Args:
        routing: Weights ``(B, K)``.
        experts: ``(K, ...)``, kernels or biases, of the same dtype.
        spatial: Gates of a kernel's positions, ``(B, kh * kw)``, which the
            sum of kernels ``(K, O, C/G, kh, kw)`` is multiplied with. Of both
            only the product is kept for the backward pass, by whoever needs
            it.

    Returns:
        ``(B, ...)``.
    """
    if spatial is None:
        return _mix(routing, experts)
    size = experts[0].numel()
    return recompute(_mix_with_positions, (routing, spatial), (experts,), size)


def _mix(routing: Tensor, experts: Tensor) -> Tensor:
    mixed = routing @ experts.flatten(1)  # (B, K) @ (K, n) -> (B, n)
    return mixed.view(routing.shape[0], *experts.shape[1:])


def _mix_with_positions(
    per_sample: Tuple[Tensor, Tensor], shared: Tuple[Tensor], _: bool = True
) -> Tensor:
    (routing, spatial), (experts,) = per_sample, shared
    # (B, kh * kw) -> (B, 1, 1, kh, kw)
    gates = spatial.view(-1, 1, 1, *experts.shape[3:])
    return _mix(routing, experts) * gates
