"""Weights of a model, from a file, all of them."""

import textwrap
from typing import Any, Dict

from mmengine.runner import load_checkpoint
from torch import nn

__all__ = ['load_weights']


def load_weights(model: nn.Module, checkpoint: str) -> Dict[str, Any]:
    """Load a checkpoint into a model that it fits key by key.

    Args:
        model: On any device.
        checkpoint: File or address.

    Returns:
        The checkpoint.

    Raises:
        ValueError: It cannot be read, or it is another model's.
    """
    try:
        return load_checkpoint(
            model, checkpoint, 'cpu', strict=True, logger='silent'
        )
    except RuntimeError as error:
        raise ValueError(
            f'checkpoint: {checkpoint!r} does not fit the model of the '
            f'config: {_one_line(error)}'
        ) from error
    except Exception as error:  # torch raises many kinds for broken files
        raise ValueError(
            f'checkpoint: {checkpoint!r} cannot be read: {_one_line(error)}'
        ) from error


def _one_line(error: Exception) -> str:
    return textwrap.shorten(str(error), 400, placeholder=' ...')
