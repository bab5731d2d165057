"""A config's model, and weights for it, all of them."""

import copy
import textwrap
from typing import Any, Dict, Mapping

import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS
from mmengine.runner import load_checkpoint
from torch import nn

from ..layers import DynamicConv2d


def one_line(error: Any) -> str:
    """Give a message of many lines as a short one."""
    return textwrap.shorten(str(error), 400, placeholder=' ...')


def check_device(device: str) -> None:
    """Refuse a device that is not there.

    Raises:
        ValueError: It is not.
    """
    try:
        torch.empty(0, device=device)
    except (AssertionError, RuntimeError) as error:
        raise ValueError(f'device: {device!r}: {one_line(error)}') from error


def build_model(cfg: Config) -> nn.Module:
    """Build a config's model for inference; weights stay random.

    Args:
        cfg: An experiment; its default scope must be set.

    Raises:
        ValueError: It has no model, or one that cannot be built.
    """
    if not isinstance(cfg.get('model'), Mapping):
        raise ValueError(
            'config: must have model=dict(type=...), but has none'
        )
    try:
        # A copy: mmseg writes into what it builds from.
        model = MODELS.build(copy.deepcopy(cfg.model))
    except (AssertionError, ImportError, KeyError, TypeError) as error:
        raise ValueError(
            f'config: its model cannot be built: {one_line(error)}'
        ) from error
    return revert_sync_batchnorm(model).eval()


def image_channels(model: nn.Module) -> int:
    """How many channels a model's images have, by its first convolution."""
    pixels = 1
    for module in getattr(model, 'backbone', model).modules():
        if type(module).__name__ == 'Focus':
            pixels = 4  # YOLOX's, which makes channels of 2 x 2 pixels
        if isinstance(module, (nn.Conv2d, DynamicConv2d)):
            return module.in_channels // pixels
    return 3


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
            f'config: {one_line(error)}'
        ) from error
    except Exception as error:  # torch raises many kinds for broken files
        raise ValueError(
            f'checkpoint: {checkpoint!r} cannot be read: {one_line(error)}'
        ) from error
