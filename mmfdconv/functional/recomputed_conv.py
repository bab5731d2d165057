"""Convolution with kernels that are assembled anew in the backward pass.

A kernel of its own for every sample is large: with the intermediate results
of its assembly, more than all features that a layer keeps. Here none of it
outlives its use; the backward pass assembles the kernels again.
"""

import math
from typing import Callable, List, NamedTuple, Optional, Sequence, Tuple, Union

import torch
from torch import Tensor

from .batched_conv import (
    ConvOptions,
    convolve_samples,
    convolve_samples_backward,
    pad_zeros,
    per_sample_conv2d,
)
from .modes import is_traced, no_autocast, plain_backward

__all__ = ['recomputed_conv2d']

#: Elements of the kernels that a CPU assembles at once. Buffers of this size
#: stay in the caches, and the allocator gives them out again; larger ones
#: come as new pages from the system each time, which costs more than to fill
#: them.
_CHUNK = 2**20


class _Plan(NamedTuple):
    """What :func:`recomputed_conv2d` is to do, apart from the tensors."""

    assemble: Callable[..., Tensor]
    num_per_sample: int
    step: int  # samples whose kernels are assembled together
    options: ConvOptions

    def parts(self, batch: int) -> List[slice]:
        """Samples whose kernels are assembled together."""
        return [slice(b, b + self.step) for b in range(0, batch, self.step)]

    def share(
        self, part: slice, tensors: Sequence[Optional[Tensor]]
    ) -> List[Optional[Tensor]]:
        """What of the tensors concerns a part of the batch."""
        n = self.num_per_sample
        per_sample = [None if t is None else t[part] for t in tensors[:n]]
        return per_sample + list(tensors[n:])


class _RecomputedConv(torch.autograd.Function):
    """Part by part of the batch, forward and backward."""

    @staticmethod
    def forward(ctx, plan: _Plan, x: Tensor, *tensors: Optional[Tensor]):
        ctx.plan = plan
        ctx.save_for_backward(x, *tensors)
        y = []
        for part in plan.parts(len(x)):
            with no_autocast(x):
                kernels = plan.assemble(*plan.share(part, tensors))
            y.append(
                convolve_samples(x[part], kernels.to(x.dtype), plan.options)
            )
        return _join(y)

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tuple[Optional[Tensor], ...]:
        plan, inputs = ctx.plan, ctx.saved_tensors
        needed = ctx.needs_input_grad[1:]
        with no_autocast(grad):
            if torch.is_grad_enabled():  # gradients of gradients are wanted
                grads = plain_backward(
                    lambda x, *tensors: _plain(
                        plan, x.to(grad.dtype), *tensors
                    ),
                    inputs,
                    needed,
                    grad,
                )
            else:
                grads = _backward(plan, grad, inputs, needed)
        return (None, *grads)


def _backward(
    plan: _Plan,
    grad: Tensor,
    inputs: Sequence[Optional[Tensor]],
    needed: Sequence[bool],
) -> List[Optional[Tensor]]:
    """Gradients of ``x`` and every tensor, part by part of the batch."""
    x, *tensors = inputs
    wanted = [i for i, need in enumerate(needed[1:]) if need]
    grads_x = []
    shares = {i: [] for i in wanted}  # of every part
    for part in plan.parts(len(x)):
        leaves = plan.share(part, tensors)
        with torch.enable_grad():
            for i in wanted:
                leaves[i] = leaves[i].detach().requires_grad_()
            kernels = plan.assemble(*leaves)
        grad_x, grad_kernels = convolve_samples_backward(
            grad[part],
            # As autocast had cast them, if it did.
            x[part].to(grad.dtype),
            kernels.detach().to(grad.dtype),
            plan.options,
            needed[0],
        )
        grads_x.append(grad_x)
        if not wanted:
            continue
        grads = torch.autograd.grad(
            kernels,
            [leaves[i] for i in wanted],
            grad_kernels.to(kernels.dtype),
        )
        for i, share in zip(wanted, grads):
            if i >= plan.num_per_sample and shares[i]:
                # Of all samples. Not in place: it may be no buffer.
                share = shares[i].pop() + share
            shares[i].append(share)
    grads = {i: _join(parts) for i, parts in shares.items()}
    return [
        _join(grads_x).to(x.dtype) if needed[0] else None,
        *(grads.get(i) for i in range(len(tensors))),
    ]


def _plain(plan: _Plan, x: Tensor, *tensors: Optional[Tensor]) -> Tensor:
    """The whole in operations that autograd and tracers know."""
    with no_autocast(x):
        kernels = plan.assemble(*tensors).to(x.dtype)
    return per_sample_conv2d(x, kernels, None, *plan.options)


def _join(parts: List[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def recomputed_conv2d(
    x: Tensor,
    assemble: Callable[..., Tensor],
    per_sample: Sequence[Optional[Tensor]],
    shared: Sequence[Optional[Tensor]],
    kernel_shape: Sequence[int],
    stride: Tuple[int, int] = (1, 1),
    padding: Union[str, Tuple[int, int]] = (0, 0),
    dilation: Tuple[int, int] = (1, 1),
    groups: int = 1,
) -> Tensor:
    """Convolve every sample with a kernel that is not kept.

    Args:
        x: Feature maps ``(B, C, H, W)``.
        assemble: Kernels ``(b, O, C/G, kh, kw)`` from ``per_sample`` tensors
            of ``b`` samples and the ``shared`` ones, by operations that
            autograd knows. It is called again in the backward pass, and must
            depend on no other tensor that needs a gradient.
        per_sample: Tensors whose first dimension is ``B``; None is handed on.
        shared: Tensors that are the same for all samples, or None.
        kernel_shape: ``(O, C/G, kh, kw)``.
        stride: As in :func:`~mmfdconv.functional.per_sample_conv2d`.
        padding: Likewise.
        dilation: Likewise.
        groups: Likewise.

    Returns:
        Feature maps ``(B, O, H', W')``.
    """
    if isinstance(padding, str):
        x, padding = pad_zeros(x, padding, kernel_shape[2:], dilation)
    options = ConvOptions(stride, padding, dilation, groups)
    tensors = (*per_sample, *shared)
    step = B = x.shape[0]
    if x.device.type == 'cpu':
        step = max(_CHUNK // math.prod(kernel_shape), 1)
    plan = _Plan(assemble, len(per_sample), step, options)
    if B == 0 or is_traced():
        return _plain(plan, x, *tensors)
    return _RecomputedConv.apply(plan, x, *tensors)
