"""The model inside of what spreads it over processes."""

from mmengine.model import is_model_wrapper
from torch import nn


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the model of a runner, as it was built.

    Args:
        model (nn.Module): The runner's, in DDP's wrapper or not.
    """
    return model.module if is_model_wrapper(model) else model
