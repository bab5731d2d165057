"""What depends on who is running the code: autocast, a tracer, autograd."""

from contextlib import nullcontext
from typing import Callable, ContextManager, Optional, Sequence, Tuple

import torch
from torch import Tensor

try:
    from torch.compiler import is_compiling
except ImportError:  # torch < 2.3
    from torch._dynamo.external_utils import is_compiling

__all__ = ['is_traced', 'no_autocast', 'plain_backward']


def no_autocast(x: Tensor) -> ContextManager:
    """Context for what is cheap, and better at the precision it comes in."""
    if x.is_meta:  # autocast does not know the meta device
        return nullcontext()
    return torch.autocast(x.device.type, enabled=False)


def is_traced() -> bool:
    """Whether a tracer records: it wants plain operations, of any size."""
    return is_compiling() or torch.jit.is_tracing()


def plain_backward(
    function: Callable[..., Tensor],
    inputs: Sequence[Tensor],
    needed: Sequence[bool],
    grad: Tensor,
) -> Tuple[Optional[Tensor], ...]:
    """Gradients by plain operations, which autograd records in turn.

    For a backward pass of which gradients are wanted; a faster one is made of
    operations that autograd does not see.

    Args:
        function: Computes the same output from ``inputs``.
        inputs: What the forward pass was given and has saved.
        needed: Whether the gradient of each is wanted.
        grad: Of the output.

    Returns:
        The gradient of each input, or None.
    """
    wanted = [t for t, need in zip(inputs, needed) if need]
    output = function(*inputs)
    grads = iter(torch.autograd.grad(output, wanted, grad, create_graph=True))
    return tuple(next(grads) if n else None for _, n in zip(inputs, needed))
