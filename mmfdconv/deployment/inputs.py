"""Input images for a model: preprocessed pictures, or noise."""

from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple

import cv2
import torch
from mmengine.config import Config
from torch import Tensor, nn

from ..analysis.figures.data import read_image
from ..convert.nodes import nodes, type_name
from ..engine.models import image_channels

__all__ = ['noise', 'normalisation', 'read_pictures']

_SUFFIXES = ('.bmp', '.jpeg', '.jpg', '.png', '.tif', '.tiff', '.webp')


def noise(model: nn.Module, shape: Tuple[int, int]) -> Tensor:
    """Standard normal values of a fixed seed, ``(1, C, H, W)``."""
    generator = torch.Generator().manual_seed(0)
    size = (1, image_channels(model), *shape)
    return torch.randn(size, generator=generator)


def read_pictures(
    model: nn.Module,
    cfg: Config,
    path: str,
    shape: Tuple[int, int],
    option: str,
) -> List[Tensor]:
    """Read pictures, resize them, and let the model normalise them.

    Where the test pipeline normalises, as for images of many bands, it reads
    them.

    Args:
        model: An OpenMMLab model, for its data preprocessor.
        cfg: Its config.
        path: Of a picture, or of a folder of them.
        shape: ``(H, W)``.
        option: What the path is called where it was given.

    Returns:
        ``(1, C, H, W)`` each, by the names of their files.

    Raises:
        ValueError: There is no picture, or the model pads it to another
            shape.
    """
    paths = [Path(path)]
    if paths[0].is_dir():
        paths = sorted(
            file
            for file in paths[0].iterdir()
            if file.suffix.lower() in _SUFFIXES
        )
    if not paths:
        raise ValueError(
            f'{option}: {path!r} has no pictures ({", ".join(_SUFFIXES)})'
        )
    if _normaliser(cfg) is None:
        return [_read(model, str(path), shape, option) for path in paths]
    images = []
    for file in map(str, paths):
        image = model.data_preprocessor(read_image(cfg, file)[0])['inputs']
        images.append(nn.functional.interpolate(image, shape, mode='area'))
    return images


def _normaliser(cfg: Config) -> Optional[Mapping[str, Any]]:
    """What normalises in the test pipeline instead of in the model."""
    for _, node in nodes(cfg.get('test_dataloader'), 'test_dataloader'):
        if type_name(node) in ('Normalize', 'NormalizeBands'):
            return node
    return None


def _read(
    model: nn.Module, path: str, shape: Tuple[int, int], option: str
) -> Tensor:
    picture = cv2.imread(path, cv2.IMREAD_COLOR)
    if picture is None:
        raise ValueError(f'{option}: {path!r} cannot be read as a picture')
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


def normalisation(model: nn.Module, cfg: Config) -> Dict[str, str]:
    """What the product has to do to an image, in words for a file's head."""
    prepare = getattr(model, 'data_preprocessor', None)
    step = _normaliser(cfg) or {}
    said = {
        name: ' '.join(f'{v:g}' for v in step[name])
        for name in ('mean', 'std')
        if name in step
    }
    for name in ('mean', 'std'):
        values = getattr(prepare, name, None)
        if isinstance(values, Tensor):
            said[name] = ' '.join(f'{v:g}' for v in values.flatten().tolist())
    turns = any(
        getattr(prepare, name, False)
        for name in ('channel_conversion', '_channel_conversion', 'to_rgb')
    ) or step.get('to_rgb', False)
    said['channels'] = 'RGB' if turns else 'as read'
    return said
