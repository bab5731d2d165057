"""Convolution of every sample with a kernel of its own.

The one place that knows how a batch of kernels ``(B, O, C/G, kh, kw)`` meets
a batch of feature maps ``(B, C, H, W)``.
"""

from typing import Optional, Tuple, Union

import torch.nn.functional as F
from torch import Tensor

__all__ = ['pad_input', 'per_sample_conv2d']

_Pair = Tuple[int, int]


def pad_input(
    x: Tensor,
    padding: Union[str, _Pair],
    padding_mode: str,
    kernel_size: _Pair,
    dilation: _Pair,
) -> Tuple[Tensor, Union[str, _Pair]]:
    """Carry out a padding other than zeros, as ``nn.Conv2d`` does.

    Args:
        x: Feature map ``(B, C, H, W)``.
        padding: Pixels per side ``(ph, pw)``, ``'same'`` or ``'valid'``.
        padding_mode: ``'zeros'``, ``'reflect'``, ``'replicate'`` or
            ``'circular'``.
        kernel_size: ``(kh, kw)``.
        dilation: ``(dh, dw)``.

    Returns:
        The padded map and the padding that is left for the convolution.
    """
    if padding_mode == 'zeros':
        return x, padding
    if padding == 'valid':
        return x, (0, 0)
    if padding == 'same':
        sides = []
        # F.pad counts from the last dimension; an odd total puts the extra
        # pixel on the far side, as PyTorch's own 'same' does.
        for k, d in zip(reversed(kernel_size), reversed(dilation)):
            total = d * (k - 1)
            sides += [total // 2, total - total // 2]
    else:
        ph, pw = padding
        sides = [pw, pw, ph, ph]
    return F.pad(x, sides, mode=padding_mode), (0, 0)


def per_sample_conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Optional[Tensor] = None,
    stride: _Pair = (1, 1),
    padding: Union[str, _Pair] = (0, 0),
    dilation: _Pair = (1, 1),
    groups: int = 1,
) -> Tensor:
    """Convolve sample ``b`` of ``x`` with kernel ``b`` of ``weight``.

    Args:
        x: Feature maps ``(B, C, H, W)``, any memory format, ``B`` may be 0.
        weight: One kernel per sample, ``(B, O, C/G, kh, kw)``.
        bias: ``(O,)``, shared by the samples, or ``(B, O)``.
        stride: ``(sh, sw)``.
        padding: Zero padding ``(ph, pw)``, ``'same'`` or ``'valid'``.
        dilation: ``(dh, dw)``.
        groups: ``G``, as in ``nn.Conv2d``.

    Returns:
        Feature maps ``(B, O, H', W')``.
    """
    B, C, H, W = x.shape
    _, O, I, kh, kw = weight.shape  # noqa: E741
    if B == 0:
        # The sum over no sample is a zero kernel of the right shape that
        # stays in the graph: every parameter still gets a (zero) gradient.
        y = F.conv2d(x, weight.sum(0), None, stride, padding, dilation, groups)
    elif (
        kh == kw == 1 and groups == 1 and padding in ((0, 0), 'valid', 'same')
    ):
        # A 1x1 convolution is a matrix product; no grouped convolution
        # reaches the speed of a batched one.
        x = x[..., :: stride[0], :: stride[1]]
        H, W = x.shape[-2:]
        y = weight.reshape(B, O, I) @ x.reshape(B, C, H * W)
        y = y.view(B, O, H, W)
    else:
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
        y = y.view(B, O, *y.shape[-2:])
    if bias is not None:
        y = y + bias.to(y.dtype).view(-1, O, 1, 1)
    return y
