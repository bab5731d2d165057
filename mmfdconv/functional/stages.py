"""Parts of a layer that have a backward pass of their own.

Written down as the equations stand, a dynamic convolution makes some twenty
arrays of the size of all its kernels, and autograd keeps most of them. A stage
says the same twice: ``plain``, the equation, for tracers, compilers and
gradients of gradients; and a pair of passes, tested against it, that work in
place and of which nothing need be kept.
"""

from typing import Any, List, Optional, Protocol, Sequence, Tuple

import torch
from torch import Tensor

from .modes import is_traced, no_autocast, plain_backward

__all__ = ['Grads', 'Stage', 'Tensors', 'apply_stage']

Tensors = Sequence[Optional[Tensor]]
Grads = List[Optional[Tensor]]


class Stage(Protocol):
    """A function of tensors, of which the first have a batch dimension."""

    #: How many tensors come with a first dimension ``B``; others are shared.
    num_per_sample: int

    #: How many elements of the value a CPU had better have in hand at once.
    #: Some buffers of that size stay in its caches, and the allocator gives
    #: them out again; larger ones come as new pages from the system, which
    #: costs more than to fill them.
    chunk: int

    def plain(self, *tensors: Optional[Tensor]) -> Tensor:
        """The equation, in operations that autograd knows."""

    def forward(
        self, tensors: Tensors, memo: Tensors = (), keep: bool = False
    ) -> Tuple[Tensor, Tensors, Any]:
        """The same without a graph.

        Args:
            tensors: As for :meth:`plain`.
            memo: From an earlier call with the same tensors, if there was
                one.
            keep: Whether :meth:`backward` follows.

        Returns:
            The value; small tensors with a batch dimension, which spare a
            later call some work; and what :meth:`backward` needs.
        """

    def backward(
        self,
        tensors: Tensors,
        kept: Any,
        grad: Tensor,
        needed: Sequence[bool],
        sums: Tensors,
        scratch: Optional[Tensor] = None,
    ) -> Grads:
        """Gradients of the tensors.

        Args:
            tensors: As for :meth:`forward`.
            kept: From :meth:`forward`.
            grad: Of the value; it may be overwritten.
            needed: Of which tensors the gradient is wanted; others may be
                left None.
            sums: For each tensor None, or a gradient to which this one is
                added in place, as of the samples before.
            scratch: The value, if nobody else needs it: it may be
                overwritten.
        """


def add_to(total: Optional[Tensor], term: Tensor) -> Tensor:
    """Sum, in place where there is one already."""
    return term if total is None else total.add_(term)


class _ApplyStage(torch.autograd.Function):
    """A stage by itself."""

    @staticmethod
    def forward(
        ctx, stage: Stage, keep: bool, *tensors: Optional[Tensor]
    ) -> Tensor:
        ctx.stage, ctx.keep = stage, keep
        with no_autocast(tensors[0]):
            value, _, kept = stage.forward(tensors, keep=keep)
        ctx.save_for_backward(*tensors, *(kept if keep else ()))
        return value

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tuple[Optional[Tensor], ...]:
        stage, needed = ctx.stage, ctx.needs_input_grad[2:]
        saved = ctx.saved_tensors
        tensors, kept = saved[: len(needed)], saved[len(needed) :]
        with no_autocast(grad):
            if torch.is_grad_enabled():  # gradients of gradients are wanted
                grads = plain_backward(stage.plain, tensors, needed, grad)
            else:
                if not ctx.keep:
                    *_, kept = stage.forward(tensors, keep=True)
                sums = [None] * len(tensors)
                grads = stage.backward(
                    tensors, kept, grad.clone(), needed, sums
                )
        return (None, None, *grads)


def apply_stage(
    stage: Stage, *tensors: Optional[Tensor], keep: bool = False
) -> Tensor:
    """Call a stage by itself.

    Args:
        stage: Any.
        tensors: The stage's, the first not None.
        keep: Whether to keep what the backward pass needs, which must then be
            tensors or None; otherwise it runs the forward pass again.
    """
    if is_traced() or len(tensors[0]) == 0:
        return stage.plain(*tensors)
    return _ApplyStage.apply(stage, keep, *tensors)
