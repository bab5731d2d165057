"""What depends on who is running the code: a device, autocast, a tracer."""

from contextlib import contextmanager, nullcontext
from functools import lru_cache
from typing import (
    Callable,
    ContextManager,
    Iterator,
    Optional,
    Sequence,
    Tuple,
)

import torch
from torch import Tensor
from torch.autograd import forward_ad

try:
    from torch.compiler import is_compiling
except ImportError:  # torch < 2.3
    from torch._dynamo.external_utils import is_compiling

__all__ = [
    'accelerator_path',
    'is_compiling',
    'is_traced',
    'no_autocast',
    'plain_backward',
    'prefers_cpu_path',
]

#: Types of devices that want few values in hand at once, and on which calls
#: are cheap beside memory.
_cpu_like = {'cpu'}


def prefers_cpu_path(x: Tensor) -> bool:
    """Whether to compute in the way that is faster on CPUs."""
    return x.device.type in _cpu_like


@contextmanager
def accelerator_path() -> Iterator[None]:
    """Let all devices compute as accelerators do, to test or count that."""
    before = set(_cpu_like)
    _cpu_like.clear()
    try:
        yield
    finally:
        _cpu_like.update(before)


def no_autocast(x: Tensor) -> ContextManager:
    """Context for what is cheap, and better at the precision it comes in."""
    if is_compiling() or _has_autocast(x.device.type):
        return torch.autocast(x.device.type, enabled=False)
    return nullcontext()


@lru_cache(maxsize=None)
def _has_autocast(device_type: str) -> bool:
    try:
        torch.autocast(device_type, enabled=False)
    except RuntimeError:  # such as of the meta device, or an older torch's MPS
        return False
    return True


def is_traced() -> bool:
    """Whether plain operations, of any size, are wanted.

    By a compiler, ``torch.jit.trace``, a transform of ``torch.func`` or
    forward-mode differentiation.
    """
    return (
        is_compiling()
        or torch.jit.is_tracing()
        or torch._C._are_functorch_transforms_active()
        or forward_ad._current_level >= 0
    )


def plain_backward(
    function: Callable[..., Tensor],
    inputs: Sequence[Optional[Tensor]],
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
