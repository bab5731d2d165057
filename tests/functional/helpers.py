"""What the tests of functions with a backward pass of their own share."""

from typing import Callable, Sequence

import torch
from torch import Tensor


def assert_same_with_gradients(
    function: Callable[..., Tensor],
    reference: Callable[..., Tensor],
    tensors: Sequence[Tensor],
) -> None:
    """Compare two functions of ``tensors``, outputs and all gradients."""
    y, expected = function(*tensors), reference(*tensors)
    torch.testing.assert_close(y, expected)
    grad = torch.randn_like(y)
    for found, other in zip(
        torch.autograd.grad(y, tensors, grad),
        torch.autograd.grad(expected, tensors, grad),
    ):
        torch.testing.assert_close(found, other)
