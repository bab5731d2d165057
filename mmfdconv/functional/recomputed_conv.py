"""Convolution whose kernels and input are made anew in the backward pass.

A kernel of its own for every sample is large: with the intermediate results
of its assembly, more than all features that a layer keeps. Here none of it
outlives its use; the backward pass makes it again.
"""

import math
from functools import lru_cache
from itertools import islice
from typing import Any, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import torch
from torch import Tensor

from .batched_conv import ConvOptions, per_sample_conv2d
from .frequency import image_to_weight
from .image_conv import convolve_images, convolve_images_backward
from .modes import is_traced, no_autocast, plain_backward
from .stages import Grads, Stage, Tensors

__all__ = ['recomputed_conv2d']


@lru_cache(maxsize=None)
def _keep_freed_memory() -> None:
    """Once: let a CPU's allocator keep the buffers that it is given back.

    Of the memory that is free at the end of its heap, glibc keeps twice the
    largest buffer that it saw freed, up to 64 MiB for one of 32; the rest it
    returns, and faults in again, page by page, when the next kernels are
    assembled. Training on large images makes it keep as much by itself.
    """
    torch.empty(2**25 - 2**16, dtype=torch.uint8, device='cpu')


class _Plan(NamedTuple):
    """What :func:`recomputed_conv2d` is to do, apart from the tensors."""

    input: Stage
    kernel: Stage
    num_input: int  # of the tensors, how many are the input's
    kernel_shape: Sequence[int]
    options: ConvOptions
    trains: bool  # a backward pass may follow

    def split(self, tensors: Sequence) -> Tuple[Sequence, Sequence]:
        """What is the input's and what the kernels'."""
        return tensors[: self.num_input], tensors[self.num_input :]

    def parts(self, x: Tensor) -> Iterator[slice]:
        """Samples whose kernels are assembled together."""
        size = math.prod(self.kernel_shape)
        return _slices(slice(0, len(x)), self.kernel, size, x.device)

    def samples(self, x: Tensor, part: slice) -> Iterator[slice]:
        """Samples of a part whose input is made together."""
        return _slices(part, self.input, x[0].numel(), x.device)

    def plain(self, *tensors: Optional[Tensor]) -> Tensor:
        """The whole in operations that autograd and tracers know."""
        input, kernel = self.split(tensors)
        with no_autocast(input[0]):
            x = self.input.plain(*input)
            images = self.kernel.plain(*kernel)
            weight = image_to_weight(images, self.kernel_shape[2:])
        return per_sample_conv2d(x, weight.to(x.dtype), None, *self.options)


def _slices(
    part: slice, stage: Stage, size: int, device: torch.device
) -> Iterator[slice]:
    """Samples of a part that a stage takes together, ``size`` values each."""
    step = part.stop - part.start
    if device.type == 'cpu':
        step = max(stage.chunk // max(size, 1), 1)
    for start in range(part.start, part.stop, step):
        yield slice(start, min(start + step, part.stop))


def _within(part: slice, some: slice) -> slice:
    """Where samples of a part stand in it."""
    return slice(some.start - part.start, some.stop - part.start)


def _of(part: slice, tensor: Tensor) -> Tensor:
    """Some samples; no new view where they are all."""
    whole = part.stop - part.start == len(tensor)
    return tensor if whole else tensor[part]


def _share(stage: Stage, tensors: Tensors, part: slice) -> Tensors:
    """What of a stage's tensors concerns some samples."""
    n = stage.num_per_sample
    per_sample = [None if t is None else _of(part, t) for t in tensors[:n]]
    return [*per_sample, *tensors[n:]]


class _Batch:
    """Collects what is computed of some samples at a time."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.whole: Optional[Tensor] = None

    def put(self, part: slice, value: Tensor) -> None:
        """Put the values of some samples in their place."""
        if len(value) == self.size:
            self.whole = value
            return
        if self.whole is None:
            self.whole = value.new_empty(self.size, *value.shape[1:])
        self.whole[part] = value


class _Grads:
    """Gradients of a stage's tensors, gathered over the batch."""

    def __init__(
        self, stage: Stage, batch: int, needed: Sequence[bool]
    ) -> None:
        self.stage, self.needed = stage, needed
        self.per_sample = [_Batch(batch) for _ in range(stage.num_per_sample)]
        self.sums: Grads = [None] * len(needed)

    def add(
        self,
        part: slice,
        tensors: Tensors,
        kept: Any,
        grad: Tensor,
        scratch: Optional[Tensor] = None,
    ) -> None:
        """Run the backward pass of some samples."""
        grads = self.stage.backward(
            tensors, kept, grad, self.needed, self.sums, scratch
        )
        for batch, value in zip(self.per_sample, grads):
            if value is not None:
                batch.put(part, value)
        n = len(self.per_sample)
        self.sums[n:] = grads[n:]

    def result(self) -> Grads:
        """One gradient, or None, for each tensor."""
        grads = [batch.whole for batch in self.per_sample]
        grads += self.sums[len(grads) :]
        return [g if need else None for g, need in zip(grads, self.needed)]


class _Memos:
    """What calls of stages hand to later ones, in order."""

    def __init__(self) -> None:
        self.tensors: List[Tensor] = []
        self.sizes: List[int] = []

    def add(self, memo: Tensors) -> None:
        """Remember what one call returned."""
        self.tensors += memo
        self.sizes.append(len(memo))

    def replay(self, tensors: Tensors) -> Iterator[Tensors]:
        """The same again, call by call, from what autograd saved."""
        tensors = iter(tensors)
        for size in self.sizes:
            yield tuple(islice(tensors, size))


class _RecomputedConv(torch.autograd.Function):
    """Part by part of the batch, forward and backward."""

    @staticmethod
    def forward(ctx, plan: _Plan, *tensors: Optional[Tensor]) -> Tensor:
        input, kernel = plan.split(tensors)
        x = input[0]
        y, memos = _Batch(len(x)), _Memos()
        for part in plan.parts(x):
            with no_autocast(x):
                images, memo, _ = plan.kernel.forward(
                    _share(plan.kernel, kernel, part)
                )
            if plan.trains:
                memos.add(memo)
            images = images.to(x.dtype)
            for some in plan.samples(x, part):
                with no_autocast(x):
                    seen, memo, _ = plan.input.forward(
                        _share(plan.input, input, some)
                    )
                if plan.trains:
                    memos.add(memo)
                value = convolve_images(
                    seen,
                    _of(_within(part, some), images),
                    plan.kernel_shape,
                    plan.options,
                )
                y.put(some, value)
        ctx.plan, ctx.memos = plan, memos
        ctx.save_for_backward(*tensors, *memos.tensors)
        memos.tensors = []  # autograd's alone from now on
        return y.whole

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tuple[Optional[Tensor], ...]:
        plan, needed = ctx.plan, ctx.needs_input_grad[1:]
        saved = ctx.saved_tensors
        tensors, memos = saved[: len(needed)], saved[len(needed) :]
        with no_autocast(grad):
            if torch.is_grad_enabled():  # gradients of gradients are wanted
                grads = plain_backward(
                    lambda x, *others: plan.plain(x.to(grad.dtype), *others),
                    tensors,
                    needed,
                    grad,
                )
            else:
                memos = ctx.memos.replay(memos)
                grads = _backward(plan, grad, tensors, memos, needed)
        return (None, *grads)


def _backward(
    plan: _Plan,
    grad: Tensor,
    tensors: Tensors,
    memos: Iterator[Tensors],
    needed: Sequence[bool],
) -> Grads:
    """Gradients of all tensors, part by part of the batch."""
    input, kernel = plan.split(tensors)
    x = input[0]
    of_input, of_kernel = (
        _Grads(stage, len(x), own)
        for stage, own in zip((plan.input, plan.kernel), plan.split(needed))
    )
    need_input = any(of_input.needed)
    for part in plan.parts(x):
        share = _share(plan.kernel, kernel, part)
        value, _, kept = plan.kernel.forward(share, next(memos), keep=True)
        # As autocast had cast them, if it did.
        images = value.to(grad.dtype)
        of_images = _Batch(len(images))
        for some in plan.samples(x, part):
            place, own = _within(part, some), _share(plan.input, input, some)
            seen, _, kept_input = plan.input.forward(
                own, next(memos), keep=need_input
            )
            of_seen, of_some = convolve_images_backward(
                _of(some, grad),
                seen.to(grad.dtype),
                _of(place, images),
                plan.kernel_shape,
                plan.options,
                need_input,
            )
            of_images.put(place, of_some)
            del of_some  # or it would be kept for the next sample
            if need_input:
                of_input.add(some, own, kept_input, of_seen)
        if any(of_kernel.needed):
            of_images = of_images.whole.to(value.dtype)
            of_kernel.add(part, share, kept, of_images, scratch=value)
        del value, images, kept, of_images
    return [*of_input.result(), *of_kernel.result()]


def recomputed_conv2d(
    input: Stage,
    kernel: Stage,
    input_tensors: Tensors,
    kernel_tensors: Tensors,
    kernel_shape: Sequence[int],
    stride: Tuple[int, int] = (1, 1),
    padding: Tuple[int, int] = (0, 0),
    dilation: Tuple[int, int] = (1, 1),
    groups: int = 1,
) -> Tensor:
    """Convolve every sample with a kernel, neither of which is kept.

    Args:
        input: Makes what is convolved, ``(B, C, H, W)``.
        kernel: Makes the kernels, laid out as images, ``(B, O*kh, C/G*kw)``.
        input_tensors: The first stage's, feature maps first.
        kernel_tensors: The second stage's.
        kernel_shape: ``(O, C/G, kh, kw)``.
        stride: As in :func:`~mmfdconv.functional.per_sample_conv2d`.
        padding: Likewise, in numbers.
        dilation: Likewise.
        groups: Likewise.

    Returns:
        Feature maps ``(B, O, H', W')``.
    """
    options = ConvOptions(stride, padding, dilation, groups)
    plan = _Plan(
        input,
        kernel,
        len(input_tensors),
        kernel_shape,
        options,
        torch.is_grad_enabled(),
    )
    tensors = (*input_tensors, *kernel_tensors)
    if len(input_tensors[0]) == 0 or is_traced():
        return plan.plain(*tensors)
    if input_tensors[0].device.type == 'cpu':
        _keep_freed_memory()
    return _RecomputedConv.apply(plan, *tensors)
