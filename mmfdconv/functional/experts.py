"""Mixing of expert kernels."""

from typing import Optional, Tuple

import torch
from torch import Tensor

from .modes import is_traced, no_autocast, plain_backward

__all__ = ['mix_experts']


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
    if is_traced():
        return _mix_with_positions(routing, experts, spatial)
    return _MixWithPositions.apply(routing, experts, spatial)


def _mix(routing: Tensor, experts: Tensor) -> Tensor:
    mixed = routing @ experts.flatten(1)  # (B, K) @ (K, n) -> (B, n)
    return mixed.view(routing.shape[0], *experts.shape[1:])


def _mix_with_positions(
    routing: Tensor, experts: Tensor, spatial: Tensor
) -> Tensor:
    """As the equation stands."""
    return _mix(routing, experts) * _on_kernel(spatial, experts)


def _on_kernel(spatial: Tensor, experts: Tensor) -> Tensor:
    """``(B, kh * kw) -> (B, 1, 1, kh, kw)``."""
    return spatial.view(-1, 1, 1, *experts.shape[3:])


class _MixWithPositions(torch.autograd.Function):
    """The sum of experts is computed anew in the backward pass."""

    @staticmethod
    def forward(
        ctx, routing: Tensor, experts: Tensor, spatial: Tensor
    ) -> Tensor:
        ctx.save_for_backward(routing, experts, spatial)
        with no_autocast(routing):
            return _mix(routing, experts).mul_(_on_kernel(spatial, experts))

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tuple[Optional[Tensor], ...]:
        saved = ctx.saved_tensors
        with no_autocast(grad):
            if torch.is_grad_enabled():  # gradients of gradients are wanted
                return plain_backward(
                    _mix_with_positions, saved, ctx.needs_input_grad, grad
                )
            routing, experts, spatial = saved
            product = _mix(routing, experts).mul_(grad)
            of_spatial = product.sum(dim=(1, 2)).flatten(1)
            torch.mul(grad, _on_kernel(spatial, experts), out=product)
            of_mixed = product.flatten(1)
            of_routing = of_mixed @ experts.flatten(1).mT
            of_experts = (routing.mT @ of_mixed).view(experts.shape)
            return of_routing, of_experts, of_spatial
