"""Equations that have a backward pass by hand.

An equation stands as plain operations, which tracers, ``torch.func`` and
gradients of gradients see. Beside it may stand a pass that computes the same
and its gradients in fewer operations, overwriting what is its own.
"""

from typing import Any, Callable, Optional, Sequence, Tuple

import torch
from torch import Tensor

from .modes import is_compiling, is_exported, is_traced

_Tensors = Sequence[Optional[Tensor]]


def by_hand(
    plain: Callable[..., Tensor],
    forward: Callable[..., Tuple[Tensor, _Tensors]],
    backward: Callable[..., _Tensors],
    *tensors: Optional[Tensor],
) -> Tensor:
    """Compute an equation, by hand unless something traces it.

    Nor are passes by hand made for an empty batch.

    Args:
        plain: The equation, a function of ``tensors``.
        forward: The same by hand, of ``tensors`` and ``keep``, whether there
            will be gradients; returns the value and what else ``backward``
            needs.
        backward: Gradients of ``tensors``, from the value's, whether each is
            wanted, the tensors and what else was kept.
        tensors: Those that have gradients, or None.

    Returns:
        The value.
    """
    if is_traced() or any(t is not None and t.numel() == 0 for t in tensors):
        return plain(*tensors)
    if not torch.is_grad_enabled():
        return forward(*tensors, keep=False)[0]
    return _ByHand.apply(plain, forward, backward, *tensors)


class _ByHand(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        plain: Callable[..., Tensor],
        forward: Callable[..., Tuple[Tensor, _Tensors]],
        backward: Callable[..., _Tensors],
        *tensors: Optional[Tensor],
    ) -> Tensor:
        value, kept = forward(*tensors, keep=True)
        ctx.plain, ctx.by_hand, ctx.number = plain, backward, len(tensors)
        ctx.save_for_backward(*tensors, *kept)
        return value

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tuple[Optional[Tensor], ...]:
        needed, saved = ctx.needs_input_grad[3:], ctx.saved_tensors
        if torch.is_grad_enabled():
            tensors = saved[: ctx.number]
            grads = plain_backward(ctx.plain, tensors, needed, grad)
        else:
            grads = ctx.by_hand(grad, needed, *saved)
        return (None, None, None, *grads)


def plain_backward(
    function: Callable[..., Tensor],
    inputs: _Tensors,
    needed: Sequence[bool],
    grad: Tensor,
) -> Tuple[Optional[Tensor], ...]:
    """Gradients by autograd, which records them where theirs are wanted.

    Args:
        function: Computes the same output from ``inputs``.
        inputs: What the forward pass was given and has saved.
        needed: Whether the gradient of each is wanted.
        grad: Of the output.

    Returns:
        The gradient of each input, or None.
    """
    record = torch.is_grad_enabled()
    # In place of each another tensor: an input may be made of another, and the
    # other's gradient must not have that way in it a second time.
    inputs = [
        t
        if t is None
        else (t.view_as(t) if record else t.detach().requires_grad_(need))
        for t, need in zip(inputs, needed)
    ]
    wanted = [t for t, need in zip(inputs, needed) if need]
    with torch.enable_grad():
        output = function(*inputs)
    found = torch.autograd.grad(
        output, wanted, grad, create_graph=record, allow_unused=True
    )
    grads = iter(found)
    return tuple(next(grads) if need else None for need in needed)


def permute(x: Tensor, index: Tensor, inverse: Tensor) -> Tensor:
    """Reorder the second dimension.

    ``index_select`` alone would scatter in its backward, which is slow on a
    CPU and, on a GPU, slow and in no fixed order. Here both ways gather.

    Args:
        x: ``(B, N, ...)``.
        index: ``(N,)``, integers.
        inverse: The permutation that undoes ``index``.
    """
    if is_exported() or (is_traced() and not is_compiling()):
        return x.index_select(1, index.long())  # torch 2.1 maps no other
    if not torch.is_grad_enabled():
        return x.index_select(1, index)
    return _Permute.apply(x, index, inverse)


class _Permute(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, index: Tensor, inverse: Tensor) -> Tensor:
        ctx.save_for_backward(index, inverse)
        return x.index_select(1, index)

    @staticmethod
    def backward(ctx, grad: Tensor):
        index, inverse = ctx.saved_tensors
        return _Permute.apply(grad, inverse, index), None, None
