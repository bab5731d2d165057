"""Convolution of every sample with a kernel of its own.

The one place that knows how a batch of kernels ``(B, O, C/G, kh, kw)`` meets
a batch of feature maps ``(B, C, H, W)``.
"""

from typing import NamedTuple, Optional, Tuple, Union

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from .exported import convolve_exported
from .modes import (
    compiled_for_cpu,
    is_exported,
    is_traced,
    prefers_cpu_path,
)

_Pair = Tuple[int, int]

#: On a CPU samples become groups of one convolution where their features, and
#: each of their kernels, have at most so many elements. That takes up to a
#: fifth less time, but more where there are more.
_MAX_FEATURES = 2**18
_MAX_KERNEL = 2**18


class ConvOptions(NamedTuple):
    """How a convolution moves over its input, as in ``F.conv2d``."""

    stride: _Pair = (1, 1)
    padding: _Pair = (0, 0)
    dilation: _Pair = (1, 1)
    groups: int = 1


def pad_input(
    x: Tensor,
    padding: Union[str, _Pair],
    padding_mode: str,
    kernel_size: _Pair,
    dilation: _Pair,
    stride: _Pair = (1, 1),
) -> Tuple[Tensor, _Pair]:
    """Carry out a padding that is more than numbers of zeros on both sides.

    That is, with other values, as ``nn.Conv2d`` does, or with an odd pixel;
    and ``'same'`` with a stride, as TensorFlow does: so much that the output
    is of the size of the input over the stride, rounded up.

    Args:
        x: Feature map ``(B, C, H, W)``.
        padding: Pixels per side ``(ph, pw)``, ``'same'`` or ``'valid'``.
        padding_mode: ``'zeros'``, ``'reflect'``, ``'replicate'`` or
            ``'circular'``.
        kernel_size: ``(kh, kw)``.
        dilation: ``(dh, dw)``.
        stride: ``(sh, sw)``.

    Returns:
        The map, padded if it must be, and the padding ``(ph, pw)`` that is
        left for the convolution.
    """
    mode = 'constant' if padding_mode == 'zeros' else padding_mode
    if padding == 'valid':
        return x, (0, 0)
    if padding == 'same':
        totals = [d * (k - 1) for k, d in zip(kernel_size, dilation)]
        strided = tuple(stride) != (1, 1)
        if strided:
            totals = [
                max(total + 1 - s + -n % s, 0)
                for total, s, n in zip(totals, stride, x.shape[2:])
            ]
        if strided or any(total % 2 for total in totals):
            # The extra pixel is on the far side, as in PyTorch's own.
            (top, left), (th, tw) = (t // 2 for t in totals), totals
            return F.pad(x, (left, tw - left, top, th - top), mode), (0, 0)
        padding = totals[0] // 2, totals[1] // 2
    if padding_mode == 'zeros':
        return x, padding
    ph, pw = padding
    return F.pad(x, (pw, pw, ph, ph), mode), (0, 0)


def per_sample_conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Optional[Tensor] = None,
    stride: _Pair = (1, 1),
    padding: _Pair = (0, 0),
    dilation: _Pair = (1, 1),
    groups: int = 1,
    want_value: bool = True,
) -> Tensor:
    """Convolve sample ``b`` of ``x`` with kernel ``b`` of ``weight``.

    Args:
        x: Feature maps ``(B, C, H, W)``, any memory format, ``B`` may be 0.
        weight: One kernel per sample, ``(B, O, C/G, kh, kw)``.
        bias: ``(O,)``, shared by the samples, or ``(B, O)``.
        stride: ``(sh, sw)``.
        padding: Zero padding ``(ph, pw)``.
        dilation: ``(dh, dw)``.
        groups: ``G``, as in ``nn.Conv2d``.
        want_value: Whether the value is to be computed. A CPU that makes
            kernels anew for their gradients can do without; what it gets has
            the right shape and a graph.

    Returns:
        Feature maps ``(B, O, H', W')``.
    """
    B = x.shape[0]
    options = ConvOptions(stride, padding, dilation, groups)
    if is_exported():
        y = convolve_exported(x, weight, options)
    elif B == 0:
        # The sum over no sample is a zero kernel of the right shape that
        # stays in the graph: every parameter still gets a (zero) gradient.
        y = F.conv2d(x, weight.sum(0), None, *options)
    elif not want_value:
        y = _Gradients.apply(x, weight, options)
    elif _one_by_one(x, weight, options):
        samples = zip(x.split(1), weight.unbind())
        y = torch.cat([F.conv2d(s, w, None, *options) for s, w in samples])
    else:
        y = _convolve(x, weight, options)
    if bias is not None:
        y = y + bias.to(y.dtype).view(-1, weight.shape[1], 1, 1)
    return y


def _is_product(weight: Tensor, options: ConvOptions) -> bool:
    """Whether the convolution is a matrix product, as 1x1 ones are."""
    _, padding, _, groups = options
    return weight.shape[3:] == (1, 1) and groups == 1 and padding == (0, 0)


def _convolve(x: Tensor, weight: Tensor, options: ConvOptions) -> Tensor:
    """All samples at once, in operations that autograd knows."""
    B, C, H, W = x.shape
    _, O, I, kh, kw = weight.shape  # noqa: E741
    stride, padding, dilation, groups = options
    if _is_product(weight, options):
        # No grouped convolution reaches the speed of a batched product.
        x = x[..., :: stride[0], :: stride[1]]
        H, W = x.shape[-2:]
        y = weight.reshape(B, O, I) @ x.reshape(B, C, H * W)
        return y.view(B, O, H, W)
    # (B, C, H, W) -> (1, B*C, H, W): samples become groups. reshape, for
    # channels_last and other strided inputs.
    y = F.conv2d(
        x.reshape(1, B * C, H, W),
        weight.reshape(B * O, I, kh, kw),
        None,
        stride,
        padding,
        dilation,
        B * groups,
    )
    return y.view(B, O, *y.shape[-2:])


def _one_by_one(x: Tensor, weight: Tensor, options: ConvOptions) -> bool:
    """Whether samples had better be convolved one after the other.

    CPUs are slow where the groups of a convolution are large.
    """
    if is_traced() and not compiled_for_cpu(x):
        return False
    if len(x) == 1 or _is_product(weight, options) or not prefers_cpu_path(x):
        return False
    if weight.shape[1:].numel() > _MAX_KERNEL:
        return True
    # A compiler's graph is for maps of any size.
    return not is_traced() and x.numel() > _MAX_FEATURES


class _Gradients(torch.autograd.Function):
    """The convolution without its value."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, options: ConvOptions):
        ctx.options = options
        ctx.save_for_backward(x, weight)
        stride, padding, dilation, _ = options
        size = (
            (n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, k, s, p, d in zip(
                x.shape[2:], weight.shape[3:], stride, padding, dilation
            )
        )
        return x.new_empty(len(x), weight.shape[1], *size)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> Tuple[Optional[Tensor], ...]:
        (x, weight), options = ctx.saved_tensors, ctx.options
        need_x, need_weight = ctx.needs_input_grad[:2]
        B, C, H, W = x.shape
        O, I, kh, kw = weight.shape[1:]  # noqa: E741
        if _is_product(weight, options):
            sh, sw = options.stride
            grad, seen = grad.reshape(B, O, -1), x[..., ::sh, ::sw]
            grad_weight = grad @ seen.reshape(B, C, -1).mT
            grad_x = None
            if need_x:
                grad_x = (weight.reshape(B, O, I).mT @ grad).view(seen.shape)
                if (sh, sw) != (1, 1):
                    whole = torch.zeros_like(x)
                    whole[..., ::sh, ::sw] = grad_x
                    grad_x = whole
        elif _one_by_one(x, weight, options):
            pairs = [
                _convolution_backward(*one, options, (need_x, need_weight))
                for one in zip(grad.split(1), x.split(1), weight.unbind())
            ]
            grad_x = torch.cat([pair[0] for pair in pairs]) if need_x else None
            grad_weight = None
            if need_weight:
                grad_weight = torch.stack([pair[1] for pair in pairs])
        else:
            grad_x, grad_weight = _convolution_backward(
                grad.reshape(1, B * O, *grad.shape[2:]),
                x.reshape(1, B * C, H, W),
                weight.reshape(B * O, I, kh, kw),
                options._replace(groups=B * options.groups),
                (need_x, need_weight),
            )
            grad_x = grad_x.view(x.shape) if need_x else None
        if need_weight:
            grad_weight = grad_weight.view(weight.shape)
        return grad_x, grad_weight, None


def _convolution_backward(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    options: ConvOptions,
    needed: Tuple[bool, bool],
) -> Tuple[Optional[Tensor], Optional[Tensor]]:
    """Gradients of ``F.conv2d``, without bias."""
    stride, padding, dilation, groups = options
    where = stride, padding, dilation, False, (0, 0), groups
    return torch.ops.aten.convolution_backward(
        grad, x, weight, None, *where, (*needed, False)
    )[:2]
