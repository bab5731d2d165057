"""An example image for a model, a picture or noise, as the network sees it."""

from typing import Dict, Tuple

import cv2
import torch
from torch import Tensor, nn

from ..layers import DynamicConv2d

__all__ = ['noise', 'normalisation', 'read_picture']


def noise(model: nn.Module, shape: Tuple[int, int]) -> Tensor:
    """Standard normal values of a fixed seed, ``(1, C, H, W)``."""
    channels, pixels = 3, 1
    for module in model.modules():
        if type(module).__name__ == 'Focus':
            pixels = 4  # YOLOX's, which makes channels of 2 x 2 pixels
        if isinstance(module, (nn.Conv2d, DynamicConv2d)):
            channels = module.in_channels // pixels
            break
    generator = torch.Generator().manual_seed(0)
    return torch.randn(1, channels, *shape, generator=generator)


def read_picture(
    model: nn.Module, path: str, shape: Tuple[int, int]
) -> Tensor:
    """Read a picture, resize it, and let the model normalise it.

    Args:
        model: An OpenMMLab model, for its data preprocessor.
        path: Of a picture with three channels.
        shape: ``(H, W)``.

    Returns:
        ``(1, 3, H, W)``.

    Raises:
        ValueError: It is no picture, or the model pads it to another shape.
    """
    picture = cv2.imread(path, cv2.IMREAD_COLOR)
    if picture is None:
        raise ValueError(f'image: {path!r} cannot be read as a picture')
    picture = cv2.resize(picture, shape[::-1], interpolation=cv2.INTER_AREA)
    pixels = torch.from_numpy(picture).permute(2, 0, 1)
    data = dict(inputs=[pixels], data_samples=None)
    image = model.data_preprocessor(data)['inputs']
    if tuple(image.shape[2:]) != tuple(shape):
        raise ValueError(
            f'shape: the model pads {shape[0]} {shape[1]} to '
            f'{image.shape[2]} {image.shape[3]}; give that'
        )
    return image


def normalisation(model: nn.Module) -> Dict[str, str]:
    """What the product has to do to an image, in words for a file's head."""
    prepare = getattr(model, 'data_preprocessor', None)
    said = {}
    for name in ('mean', 'std'):
        values = getattr(prepare, name, None)
        if isinstance(values, Tensor):
            said[name] = ' '.join(f'{v:g}' for v in values.flatten().tolist())
    turns = any(
        getattr(prepare, name, False)
        for name in ('channel_conversion', '_channel_conversion', 'to_rgb')
    )
    said['channels'] = 'RGB' if turns else 'as read'
    return said
