"""Convolution with kernels that lie as FDConv's images do.

An image is ``(O*kh, C/G*kw)``, a row of the kernel after the other; what
convolutions take is ``(O, C/G, kh, kw)``.
"""

from functools import lru_cache
from typing import Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .batched_conv import (
    ConvOptions,
    convolution_backward,
    convolve_samples,
    convolve_samples_backward,
)

__all__ = ['convolve_images', 'convolve_images_backward']


def convolve_images(
    x: Tensor,
    images: Tensor,
    kernel_shape: Sequence[int],
    options: ConvOptions,
) -> Tensor:
    """Convolve each sample with the kernel of its image, without a graph.

    Args:
        x: ``(B, C, H, W)``, ``B > 0``.
        images: ``(B, O*kh, C/G*kw)``.
        kernel_shape: ``(O, C/G, kh, kw)``.
        options: How to convolve.

    Returns:
        ``(B, O, H', W')``.
    """
    if _moves_features(x, kernel_shape, options):
        rows = _stack_rows(x, kernel_shape, options)
        kernel, along = _row_kernel(images, kernel_shape, options)
        return F.conv2d(rows, kernel, None, *along)
    return convolve_samples(x, _to_kernels(images, kernel_shape), options)


def convolve_images_backward(
    grad: Tensor,
    x: Tensor,
    images: Tensor,
    kernel_shape: Sequence[int],
    options: ConvOptions,
    need_x: bool,
) -> Tuple[Optional[Tensor], Tensor]:
    """Gradients of :func:`convolve_images`.

    Args:
        grad: Of the output, ``(B, O, H', W')``.
        x: Of the same dtype.
        images: Of the same dtype.
        kernel_shape: ``(O, C/G, kh, kw)``.
        options: How was convolved.
        need_x: Whether the gradient of ``x`` is wanted.

    Returns:
        The gradients of ``x``, None where it is not wanted, and ``images``.
    """
    if _moves_features(x, kernel_shape, options):
        rows = _stack_rows(x, kernel_shape, options)
        kernel, along = _row_kernel(images, kernel_shape, options)
        grad_x, grad_kernel = convolution_backward(
            grad, rows, kernel, along, need_x
        )
        if need_x:
            grad_x = _unstack_rows(grad_x, x.shape, kernel_shape, options)
        return grad_x, grad_kernel.view(images.shape)
    grad_x, grad_kernels = convolve_samples_backward(
        grad, x, _to_kernels(images, kernel_shape), options, need_x
    )
    return grad_x, _to_images(grad_kernels)


@lru_cache(maxsize=64)
def _row_orders(
    I: int,  # noqa: E741
    kh: int,
    kw: int,
    device: torch.device,
) -> Tuple[Tensor, Tensor]:
    """Where elements of a filter, ``(I, kh, kw)``, are in its image.

    Returns:
        The place in ``(kh, I, kw)`` of each, and the inverse; int32. They are
        cached and shared: do not write to them.
    """
    with torch.inference_mode(False):  # a model that trains may read them
        places = torch.arange(kh * I * kw, dtype=torch.int32, device=device)
        there = places.view(kh, I, kw).transpose(0, 1).flatten()
        back = places.view(I, kh, kw).transpose(0, 1).flatten()
        return there, back


def _to_kernels(images: Tensor, kernel_shape: Sequence[int]) -> Tensor:
    """``(B, O*kh, I*kw) -> (B, O, I, kh, kw)``, contiguous."""
    O, I, kh, kw = kernel_shape  # noqa: E741
    if kh > 1:
        # CPUs look elements up faster than they permute dimensions of 3.
        there, _ = _row_orders(I, kh, kw, images.device)
        images = images.reshape(-1, there.numel()).index_select(1, there)
    return images.view(-1, O, I, kh, kw)


def _to_images(kernels: Tensor) -> Tensor:
    """Undo :func:`_to_kernels`."""
    B, O, I, kh, kw = kernels.shape  # noqa: E741
    if kh > 1:
        _, back = _row_orders(I, kh, kw, kernels.device)
        kernels = kernels.reshape(-1, back.numel()).index_select(1, back)
    return kernels.reshape(B, O * kh, I * kw)


# ------------------------------------------------------------ stacked rows
#
# Where a kernel is larger than what it sees, as late in a backbone, the
# features are moved instead: the rows that one row of the output sees become
# channels of a convolution of height 1, whose kernel is the image as it lies.


def _moves_features(
    x: Tensor, kernel_shape: Sequence[int], options: ConvOptions
) -> bool:
    """Whether to move features. A GPU moves a kernel in no time."""
    O, _, kh, kw = kernel_shape  # noqa: E741
    if x.device.type != 'cpu' or len(x) > 1 or kh == 1:
        return False
    return 3 * x.shape[2] * x.shape[3] < O // options.groups * kw


def _stack_rows(
    x: Tensor, kernel_shape: Sequence[int], options: ConvOptions
) -> Tensor:
    """What every row of kernels sees: ``(1, C, H, W) -> (1, C*kh, H', W)``."""
    _, _, H, W = x.shape
    I, kh = kernel_shape[1:3]  # noqa: E741
    (stride, _), (padding, _), (dilation, _), G = options
    padded = F.pad(x.reshape(G, I, H, W), (0, 0, padding, padding))
    length = H + 2 * padding - dilation * (kh - 1)
    rows = [
        padded[:, :, first : first + length : stride]
        for first in range(0, dilation * kh, dilation)
    ]
    # (G, kh, I, H', W): a group's channels, row by row of the kernel
    return torch.stack(rows, dim=1).view(1, G * kh * I, -1, W)


def _unstack_rows(
    grad: Tensor,
    shape: Sequence[int],
    kernel_shape: Sequence[int],
    options: ConvOptions,
) -> Tensor:
    """Adjoint of :func:`_stack_rows`."""
    _, _, H, W = shape
    I, kh = kernel_shape[1:3]  # noqa: E741
    (stride, _), (padding, _), (dilation, _), G = options
    padded = grad.new_zeros(G, I, H + 2 * padding, W)
    length = H + 2 * padding - dilation * (kh - 1)
    for r, row in enumerate(grad.view(G, kh, I, -1, W).unbind(1)):
        first = r * dilation
        padded[:, :, first : first + length : stride] += row
    return padded[:, :, padding : padding + H].reshape(shape)


def _row_kernel(
    images: Tensor, kernel_shape: Sequence[int], options: ConvOptions
) -> Tuple[Tensor, ConvOptions]:
    """The kernel of height 1, and how it moves over the stacked rows."""
    O, I, kh, kw = kernel_shape  # noqa: E741
    (_, stride), (_, padding), (_, dilation), groups = options
    along = ConvOptions((1, stride), (0, padding), (1, dilation), groups)
    return images.view(O, kh * I, 1, kw), along
