"""Kernels in stacks, and memory formats that do not know them."""

from typing import Callable

from torch import Tensor


def flat_in_five_dimensions(fn: Callable) -> Callable:
    """Make what ``nn.Module._apply`` is given fit for a stack of kernels.

    ``to(memory_format=torch.channels_last)`` takes any parameter of five
    dimensions for a 3-D convolution's and fails; as a vector it is moved and
    cast all the same, and has no memory format.
    """

    def flat(t: Tensor) -> Tensor:
        return fn(t.reshape(-1)).view(t.shape) if t.dim() == 5 else fn(t)

    return flat
