"""What is kept for the backward pass, and what is made anew.

A kernel of its own for every sample is large: with the intermediate results
of its assembly, more than all features that a layer keeps. So what lies
between small tensors and a layer's output is computed twice, and nothing of it
outlives its use.
"""

from contextlib import nullcontext
from functools import partial
from typing import Callable, List, Optional, Sequence, Tuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from .modes import (
    is_compiling,
    is_exported,
    is_traced,
    no_autocast,
    plain_backward,
    prefers_cpu_path,
)

__all__ = ['recompute']

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
    x, plain = per_sample[0], is_traced() and not is_compiling()
    plain = plain or is_exported()
    if keep or plain or x.is_meta or len(x) == 0:
        return function(per_sample, shared, True)
    if is_compiling() or not prefers_cpu_path(x):
        if not torch.is_grad_enabled():
            return function(per_sample, shared, True)

        def whole(*tensors: Optional[Tensor]) -> Tensor:
            n = len(per_sample)
            return function(tensors[:n], tensors[n:], True)

        return checkpoint(
            whole,
            *per_sample,
            *shared,
            use_reentrant=False,
            preserve_rng_state=False,
        )
    step = max(_AT_ONCE // max(size, 1), 1)
    return _Recomputed.apply(
        function, len(per_sample), step, *per_sample, *shared
    )


class _Recomputed(torch.autograd.Function):
    """Some samples after the others, forward and backward."""

    @staticmethod
    def forward(
        ctx, function: _Function, n: int, step: int, *tensors: Optional[Tensor]
    ) -> Tensor:
        x = tensors[0]
        values = [
            function(_share(tensors[:n], part), tensors[n:], True)
            for part in _parts(len(x), step)
        ]
        value = values[0] if len(values) == 1 else torch.cat(values)
        ctx.function, ctx.n, ctx.step = function, n, step
        ctx.autocast = value.dtype != x.dtype
        ctx.save_for_backward(*tensors)
        return value

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tuple[Optional[Tensor], ...]:
        n, tensors, needed = ctx.n, ctx.saved_tensors, ctx.needs_input_grad[3:]

        def run(want_value: bool, *tensors: Optional[Tensor]) -> Tensor:
            as_before = nullcontext()
            if ctx.autocast:
                as_before = torch.autocast(grad.device.type, grad.dtype)
            with as_before:
                return ctx.function(tensors[:n], tensors[n:], want_value)

        with no_autocast(grad):
            if torch.is_grad_enabled():  # gradients of gradients are wanted
                run = partial(run, True)
                grads = plain_backward(run, tensors, needed, grad)
            else:
                run = partial(run, False)
                grads = _backward(run, tensors, needed, grad, n, ctx.step)
        return (None, None, None, *grads)


def _backward(
    run: Callable[..., Tensor],
    tensors: _Tensors,
    needed: Sequence[bool],
    grad: Tensor,
    n: int,
    step: int,
) -> List[Optional[Tensor]]:
    """Gradients of all tensors, part by part of the batch."""
    grads: List[Optional[Tensor]] = [None] * len(tensors)
    batch = len(grad)
    for part in _parts(batch, step):
        leaves = [
            t if t is None else t.detach().requires_grad_(need)
            for t, need in zip(
                (*_share(tensors[:n], part), *tensors[n:]), needed
            )
        ]
        with torch.enable_grad():
            value = run(*leaves)
        wanted = [i for i, need in enumerate(needed) if need]
        found = torch.autograd.grad(
            value,
            [leaves[i] for i in wanted],
            _of(part, grad),
            allow_unused=True,
        )
        del value, leaves
        for i, own in zip(wanted, found):
            if own is None:
                continue
            if i >= n:  # a sum over the samples
                grads[i] = own if grads[i] is None else grads[i].add_(own)
            elif len(own) == batch:
                grads[i] = own
            else:
                if grads[i] is None:
                    grads[i] = own.new_empty(batch, *own.shape[1:])
                grads[i][part] = own
    return grads


def _parts(batch: int, step: int) -> List[slice]:
    return [slice(i, min(i + step, batch)) for i in range(0, batch, step)]


def _of(part: slice, tensor: Tensor) -> Tensor:
    """Some samples; no new view where they are all."""
    whole = part.stop - part.start == len(tensor)
    return tensor if whole else tensor[part]


def _share(tensors: _Tensors, part: slice) -> List[Optional[Tensor]]:
    return [None if t is None else _of(part, t) for t in tensors]
