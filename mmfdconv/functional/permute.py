"""A permutation whose inverse is known."""

import torch
from torch import Tensor

from .modes import is_compiling, is_exported, is_traced

__all__ = ['permute']


def permute(x: Tensor, index: Tensor, inverse: Tensor) -> Tensor:
    """Reorder the second dimension.

    ``index_select`` alone would scatter in its backward, which is slow on a
    CPU and, on a GPU, slow and in no fixed order. Here both ways gather.

    Args:
        x: ``(B, N, ...)``.
        index: ``(N,)``, integers.
        inverse: The permutation that undoes ``index``.
    """
    if is_exported() or (is_traced() and not is_compiling()):
        return x.index_select(1, index.long())  # torch 2.1 maps no other
    return _Permute.apply(x, index, inverse)


class _Permute(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, index: Tensor, inverse: Tensor) -> Tensor:
        ctx.save_for_backward(index, inverse)
        return x.index_select(1, index)

    @staticmethod
    def backward(ctx, grad: Tensor):
        index, inverse = ctx.saved_tensors
        return _Permute.apply(grad, inverse, index), None, None
