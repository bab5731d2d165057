"""Gradient checkpointing where layers share their cells."""

from typing import Any, Type

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


class _Checkpointed:
    """The forward pass of a module, of which nothing inside is kept.

    An object and no closure, so that models can be copied and pickled.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        forward = type(self.module).forward
        if not torch.is_grad_enabled():
            return forward(self.module, *args, **kwargs)
        return checkpoint(
            forward, self.module, *args, use_reentrant=False, **kwargs
        )


def checkpoint_without_reentrance_(
    model: nn.Module, sharing: Type[nn.Module]
) -> None:
    """Replace the checkpointing of blocks with layers that share, in place.

    Blocks of the toolboxes with ``with_cp=True`` use the reentrant kind,
    which runs a backward pass of its own for every block. Parameters that
    several blocks share are then ready as often, and DDP ends with an error.
    The other kind computes the same in the one backward pass.

    Args:
        model: A converted one.
        sharing: Class of the layers that share parameters.
    """
    for module in model.modules():
        parts = list(module.modules())
        if (
            getattr(module, 'with_cp', False)
            and not any(getattr(m, 'with_cp', False) for m in parts[1:])
            and any(isinstance(m, sharing) for m in parts)
        ):
            module.with_cp = False
            module.forward = _Checkpointed(module)
