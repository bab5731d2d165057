"""A convolution that keeps the size and has few output channels.

Such as the one that predicts FBM's maps, whose three channels are a small part
of what CPUs compute at once. So there each input channel is multiplied with
all taps of all outputs in one matrix product, and what belongs to the same
output pixel is added up.
"""

from typing import Tuple

import torch.nn.functional as F
from torch import Tensor

from .batched_conv import ConvOptions, convolution_backward
from .modes import is_traced

__all__ = ['convolve_to_few', 'convolve_to_few_backward']


def convolve_to_few(
    x: Tensor, weight: Tensor, bias: Tensor, groups: int = 1
) -> Tensor:
    """Convolve, by a matrix product where that is faster.

    Args:
        x: ``(B, C, H, W)``.
        weight: ``(O, C/G, k, k)``, ``k`` odd.
        bias: ``(O,)``.
        groups: ``G``.

    Returns:
        ``(B, O, H, W)``.
    """
    B, C, H, W = x.shape
    I, k = weight.shape[1:3]  # noqa: E741
    padding = int(k) // 2  # under a tracer sizes are tensors
    if is_traced() or not _by_product(x, weight):
        return F.conv2d(x, weight, bias, padding=padding, groups=groups)
    products = _taps(weight, groups) @ x.reshape(B, groups, I, H * W)
    y = F.fold(products.flatten(1, 2), (H, W), k, padding=padding)
    return y + bias.view(-1, 1, 1)


def convolve_to_few_backward(
    grad: Tensor, x: Tensor, weight: Tensor, groups: int, grad_x: Tensor
) -> Tuple[Tensor, Tensor]:
    """Gradients of :func:`convolve_to_few`.

    Args:
        grad: Of the output, ``(B, O, H, W)``.
        x: Of the same dtype.
        weight: Of the same dtype.
        groups: ``G``.
        grad_x: The gradient of ``x`` is added to it, contiguous.

    Returns:
        The gradients of ``weight`` and ``bias``.
    """
    B, C, H, W = x.shape
    O, I, k, _ = weight.shape  # noqa: E741
    grad_bias = grad.sum(dim=(0, 2, 3))
    if not _by_product(x, weight):
        options = ConvOptions(padding=(k // 2, k // 2), groups=groups)
        own, grad_weight = convolution_backward(grad, x, weight, options, True)
        grad_x.add_(own)
        return grad_weight, grad_bias
    taps = _taps(weight, groups)
    G = groups
    products = F.unfold(grad, k, padding=k // 2).view(B * G, -1, H * W)
    grad_taps = products @ x.reshape(B * G, I, H * W).mT
    grad_x.view(B * G, I, H * W).baddbmm_(
        taps.mT.expand(B, -1, -1, -1).flatten(0, 1).to(grad_x.dtype),
        products.to(grad_x.dtype),
    )
    # (B * G, O/G * k * k, I) -> (O, I, k, k), the taps turned back
    grad_taps = grad_taps.view(B, O, k, k, I).sum(0)
    return grad_taps.permute(0, 3, 1, 2).flip(2, 3), grad_bias


def _by_product(x: Tensor, weight: Tensor) -> bool:
    O, _, kh, kw = weight.shape  # noqa: E741
    few = O * kh * kw <= x.shape[1]
    return few and x.device.type == 'cpu' and len(x) > 0


def _taps(weight: Tensor, groups: int) -> Tensor:
    """``(O, I, k, k) -> (G, O/G * k * k, I)``.

    Sums run over where a pixel goes to, not where it comes from: the taps are
    turned round.
    """
    taps = weight.flip(2, 3).permute(0, 2, 3, 1)
    return taps.reshape(groups, -1, weight.shape[1])
