"""Convolution with kernels that lie as FDConv's images do.

An image is ``(O*kh, C/G*kw)``, a row of the kernel after the other; what
convolutions take is ``(O, C/G, kh, kw)``.
"""

from typing import Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .batched_conv import ConvOptions, per_sample_conv2d
from .by_hand import permute
from .constant_tables import constant_table
from .frequency import image_to_weight
from .modes import is_traced, prefers_cpu_path


def convolve_images(
    x: Tensor,
    images: Tensor,
    kernel_shape: Sequence[int],
    options: ConvOptions,
    want_value: bool = True,
) -> Tensor:
    """Convolve each sample with the kernel of its image.

    Args:
        x: ``(B, C, H, W)``.
        images: ``(B, O*kh, C/G*kw)``.
        kernel_shape: ``(O, C/G, kh, kw)``.
        options: How to convolve; a padding in numbers.
        want_value: See :func:`per_sample_conv2d`.

    Returns:
        ``(B, O, H', W')``.
    """
    O, I, kh, kw = kernel_shape  # noqa: E741
    if is_traced() or not prefers_cpu_path(x) or kh == 1:
        weight = image_to_weight(images, (kh, kw))
    elif _moves_features(x, kernel_shape, options):
        x, options = _stack_rows(x, kernel_shape, options)
        weight = images.view(1, O, kh * I, 1, kw)
    else:
        # CPUs look elements up faster than they permute dimensions of 3.
        there, back = _places(kh, I, kw, images.device)
        filters = images.reshape(len(images) * O, I * kh * kw)
        weight = permute(filters, there, back).view(-1, *kernel_shape)
    return per_sample_conv2d(x, weight, None, *options, want_value)


@constant_table
def _places(
    kh: int,
    I: int,  # noqa: E741
    kw: int,
    device: torch.device,
) -> Tuple[Tensor, Tensor]:
    """Where elements of a filter, ``(I, kh, kw)``, are in its image.

    Returns:
        The place in ``(kh, I, kw)`` of each, and the inverse; int32.
    """
    places = torch.arange(kh * I * kw, dtype=torch.int32, device=device)
    there = places.view(kh, I, kw).transpose(0, 1).flatten()
    back = places.view(I, kh, kw).transpose(0, 1).flatten()
    return there, back


def _moves_features(
    x: Tensor, kernel_shape: Sequence[int], options: ConvOptions
) -> bool:
    """Whether a CPU had better move the features of one sample.

    Where a kernel is larger than what it sees, as late in a backbone.
    """
    O, _, _, kw = kernel_shape  # noqa: E741
    small = 3 * x.shape[2] * x.shape[3] < O // options.groups * kw
    return len(x) == 1 and small


def _stack_rows(
    x: Tensor, kernel_shape: Sequence[int], options: ConvOptions
) -> Tuple[Tensor, ConvOptions]:
    """Make what every row of kernels sees channels of a kernel of height 1.

    Returns:
        ``(1, C*kh, H', W)``, and how such a kernel, which is the image as it
        lies, moves over it.
    """
    _, _, H, W = x.shape
    I, kh = kernel_shape[1:3]  # noqa: E741
    (stride, sw), (padding, pw), (dilation, dw), G = options
    padded = F.pad(x.reshape(G, I, H, W), (0, 0, padding, padding))
    length = H + 2 * padding - dilation * (kh - 1)
    rows = [
        padded[:, :, first : first + length : stride]
        for first in range(0, dilation * kh, dilation)
    ]
    # (G, kh, I, H', W): a group's channels, row by row of the kernel
    stacked = torch.stack(rows, dim=1).view(1, G * kh * I, -1, W)
    return stacked, ConvOptions((1, sw), (0, pw), (1, dw), G)
