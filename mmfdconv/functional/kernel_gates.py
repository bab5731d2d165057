"""Gates on a kernel's image, multiplied in few passes over it.

Kernel Spatial Modulation (KSM) of FDConv, arXiv:2503.18783, Sec. 3.3: a dense
gate for every element, from the local branch, and gates of whole columns, from
the global one.
"""

from typing import Optional, Tuple

import torch
from torch import Tensor

from .modes import is_traced, no_autocast, plain_backward

__all__ = ['gate_image']


class _GateImage(torch.autograd.Function):
    """In place wherever a buffer is its own.

    A pass over an image costs what it moves, and twice that into new memory.
    """

    @staticmethod
    def forward(ctx, image: Tensor, logit: Tensor, row: Tensor) -> Tensor:
        gate = logit.sigmoid()
        ctx.save_for_backward(image, logit, row, gate)
        return (gate * image).mul_(row)

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tuple[Optional[Tensor], ...]:
        image, logit, row, gate = ctx.saved_tensors
        with no_autocast(grad):
            if torch.is_grad_enabled():  # gradients of gradients are wanted
                return plain_backward(
                    _plain, (image, logit, row), ctx.needs_input_grad, grad
                )
            # d image = grad g r, d row = sum grad g image,
            # d logit = grad g image r (1 - g)
            grad_image = grad * gate
            grad_logit = grad_image * image
            grad_row = grad_logit.sum_to_size(row.shape)
            if row.shape == image.shape:
                grad_row = grad_row.clone()  # summed over nothing
            grad_logit.mul_(row)
            grad_logit.addcmul_(grad_logit, gate, value=-1)
            return grad_image.mul_(row), grad_logit, grad_row


def _plain(image: Tensor, logit: Tensor, row: Tensor) -> Tensor:
    return image * logit.sigmoid() * row


def gate_image(image: Tensor, logit: Tensor, row: Tensor) -> Tensor:
    r"""Gate every element of an image and its columns.

    .. math:: \sigma(\mathrm{logit}) \odot \mathrm{row} \odot \mathrm{image}

    Args:
        image: ``(B, ..., kh, cols)``.
        logit: Of the gate of every element, like ``image``.
        row: Gates of columns, to be expanded to ``image``.

    Returns:
        Like ``image``.
    """
    if is_traced():
        return _plain(image, logit, row)
    return _GateImage.apply(image, logit, row)
