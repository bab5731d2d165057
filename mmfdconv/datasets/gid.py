"""GID, the Gaofen Image Dataset, from its published scenes to tiles.

The large-scale classification set of Tong et al. (2020),
https://arxiv.org/abs/1807.05713: 150 GF-2 scenes, 7200 wide and 6800 high,
with five classes given by colour.
"""

import os
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Union

import numpy as np

from .landcover import GID_BANDS, GID_PALETTE
from .tile_writer import Scene, write_tiles
from .tiling import colours_to_ids

__all__ = ['convert_gid', 'find_gid_scenes']

PathLike = Union[str, os.PathLike]
_TIFF = ('.tif', '.tiff')
_LABEL = '_label'


def convert_gid(
    raw_dir: PathLike,
    out_dir: PathLike,
    *,
    images: Optional[PathLike] = None,
    labels: Optional[PathLike] = None,
    tile_size: int = 512,
    split: str = 'scene',
    fractions: Sequence[float] = (0.8, 0.2),
    seed: int = 0,
    workers: Optional[int] = None,
) -> Dict[str, int]:
    """Cut GID's scenes into tiles for ``GIDDataset``.

    Tiles lie side by side, 13 x 14 of 512x512 in a scene: 27,300 in all. With
    ``split='scene'`` all tiles of a scene are in one split. The FADConv paper
    draws single tiles, ``split='tile'``: there nearly every tile to evaluate
    on has neighbours that were trained on, and scores are higher for it.

    Args:
        raw_dir: Folder of the published files, see :func:`find_gid_scenes`.
        out_dir: Folder of the tiles: ``img_dir/{train,val}``,
            ``ann_dir/{train,val}``.
        images: Folder of the images, where it is not ``raw_dir``.
        labels: Folder of the label images, where it is not ``raw_dir``.
        tile_size: Side of the tiles.
        split: ``'scene'`` or ``'tile'``.
        fractions: Of train and val.
        seed: Seed of the draw.
        workers: Number of processes, None for that of the CPUs.

    Returns:
        The number of tiles of each split.

    Raises:
        ValueError, OSError: See :func:`.tile_writer.write_tiles`.
    """
    if len(fractions) != 2:
        raise ValueError(
            f'fractions must be two, of train and val, got {list(fractions)}'
        )
    scenes = find_gid_scenes(images or raw_dir, labels or raw_dir)
    return write_tiles(
        scenes,
        out_dir,
        decode_gid,
        tile_size=tile_size,
        split=split,
        fractions=dict(zip(('train', 'val'), fractions)),
        seed=seed,
        workers=workers,
        record=dict(dataset='GID'),
    )


def find_gid_scenes(images: PathLike, labels: PathLike) -> List[Scene]:
    """Find images and their labels, at any depth below their folders.

    The label of ``NAME.tif`` is ``NAME_label.tif``. The published
    archive has its images twice, ``image_RGB`` and ``image_NirRGB``: name one
    of the folders.

    Args:
        images: Folder of the images.
        labels: Folder of the label images.

    Raises:
        ValueError: There are no images, or two of one name.
        FileNotFoundError: A folder is missing.
    """
    label_of: Dict[str, Path] = {}
    for path in tiffs(labels):
        if path.stem.endswith(_LABEL):
            label_of[path.stem] = path
    scenes: Dict[str, Scene] = {}
    for path in tiffs(images):
        name = path.stem
        if name.endswith(_LABEL):
            continue
        if name in scenes:
            raise ValueError(
                f'{path}: there is {scenes[name].image} of this name too; '
                'name the folder of the images to take'
            )
        label = name + _LABEL
        missing = Path(labels, f'{label}{path.suffix}')
        scenes[name] = Scene(name, path, label_of.get(label, missing), name)
    if not scenes:
        raise ValueError(f'{images}: holds no image *.tif')
    return list(scenes.values())


def tiffs(folder: PathLike) -> List[Path]:
    """List the TIFF files at any depth below a folder, in order."""
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f'{folder}: no such folder')
    return sorted(
        path for path in folder.rglob('*') if path.suffix.lower() in _TIFF
    )


def decode_gid(labels: np.ndarray) -> np.ndarray:
    """Make ids (h, w) of GID's colours (3, h, w)."""
    bands = labels.shape[0]
    if bands < 3 or labels.dtype != np.uint8:
        raise ValueError(
            f'has {bands} bands of {labels.dtype}, where the classes are '
            f'colours, {", ".join(GID_BANDS)} of uint8'
        )
    return colours_to_ids(labels, GID_PALETTE)
