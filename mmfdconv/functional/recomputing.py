"""What is kept for the backward pass, and what is made anew.

A kernel of its own for every sample is large: with the intermediate results
of its assembly, more than all features that a layer keeps. So what lies
between small tensors and a layer's output is computed twice, and nothing of it
outlives its use.
"""

from contextlib import nullcontext
from functools import partial
from typing import Callable, Iterator, Optional, Sequence, Tuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from .by_hand import plain_backward
from .modes import (
    is_compiling,
    is_exported,
    is_traced,
    no_autocast,
    prefers_cpu_path,
)

#: How many elements a CPU had better have in hand at once. Some buffers of
#: that size stay in its caches, and the allocator gives them out again; larger
#: ones come as new pages from the system, which costs more than to fill them.
_AT_ONCE = 2**20

_Tensors = Sequence[Optional[Tensor]]
_Function = Callable[[_Tensors, _Tensors, bool], Tensor]


def recompute(
    function: _Function,
    per_sample: _Tensors,
    shared: _Tensors,
    size: int,
    keep: bool = False,
) -> Tensor:
    """Call a function; the backward pass calls it again.

    Only the tensors that it is given are kept. A CPU computes a few samples at
    a time.

    Args:
        function: Of the two sequences, without effects, and the same for each
            sample whichever others there are. It may look at autocast. Its
            last argument says whether its value is wanted, or only a graph
            that ends in a tensor of that shape.
        per_sample: With a batch dimension, the first one not None.
        shared: Without one.
        size: How many elements the largest thing is that the function makes
            of one sample.
        keep: Whether autograd is to keep everything after all.

    Returns:
        Its value.
    """
    x, n = per_sample[0], len(per_sample)
    plain = is_exported() or (is_traced() and not is_compiling())
    if keep or plain or x.is_meta or len(x) == 0:
        return function(per_sample, shared, True)

    def whole(*tensors: Optional[Tensor]) -> Tensor:
        return function(tensors[:n], tensors[n:], True)

    with_gradients = torch.is_grad_enabled()
    if is_compiling() or not prefers_cpu_path(x):
        if not with_gradients:
            return whole(*per_sample, *shared)
        return checkpoint(
            whole,
            *per_sample,
            *shared,
            use_reentrant=False,
            preserve_rng_state=False,
        )
    run = partial(_Recomputed.apply, function, n) if with_gradients else whole
    parts = [run(*part, *shared) for part in batch_parts(per_sample, size)]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def batch_parts(per_sample: _Tensors, size: int) -> Iterator[_Tensors]:
    """Split a batch into parts that a CPU had better have in hand at once.

    Args:
        per_sample: With a batch dimension, the first one not None.
        size: How many elements the largest thing is that is made of one
            sample.

    Yields:
        The same tensors, some samples of each.
    """
    number, step = len(per_sample[0]), max(_AT_ONCE // max(size, 1), 1)
    if step >= number:
        yield per_sample
        return
    yield from zip(
        *([t] * number if t is None else t.split(step) for t in per_sample)
    )


class _Recomputed(torch.autograd.Function):
    """``torch.utils.checkpoint`` with less to do in either direction.

    It starts fewer operations, keeps no graph, and the second time the value
    is left out.
    """

    @staticmethod
    def forward(
        ctx, function: _Function, n: int, *tensors: Optional[Tensor]
    ) -> Tensor:
        value = function(tensors[:n], tensors[n:], True)
        ctx.function, ctx.n = function, n
        ctx.autocast = value.dtype != tensors[0].dtype
        ctx.save_for_backward(*tensors)
        return value

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tuple[Optional[Tensor], ...]:
        n, tensors, needed = ctx.n, ctx.saved_tensors, ctx.needs_input_grad[2:]

        def run(want_value: bool, *tensors: Optional[Tensor]) -> Tensor:
            as_before = nullcontext()
            if ctx.autocast:
                as_before = torch.autocast(grad.device.type, grad.dtype)
            with as_before:
                return ctx.function(tensors[:n], tensors[n:], want_value)

        with no_autocast(grad):
            # Gradients of gradients need the value, too.
            run = partial(run, torch.is_grad_enabled())
            grads = plain_backward(run, tensors, needed, grad)
        return (None, None, *grads)
