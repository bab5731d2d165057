"""GID, the Gaofen Image Dataset, from its published scenes to tiles.

The large-scale classification set of Tong et al. (2020),
https://arxiv.org/abs/1807.05713: 150 GF-2 scenes, 7200 wide and 6800 high,
with five classes given by colour. Copies circulate whose labels have a
palette, or the classes' numbers, as TIFF or PNG.
"""

import os
import re
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Union

import numpy as np

from .landcover import GID_BANDS, GID_CLASSES, GID_PALETTE
from .tile_writer import LabelledScene, write_tiles
from .tiling import UnknownValueError, colours_to_ids, values_to_ids

PathLike = Union[str, os.PathLike]
_TIFF = ('.tif', '.tiff')
_LABELS = (*_TIFF, '.png')
# NAME_label, or with the number of classes, NAME_5label.
_LABEL = re.compile('(.+)_(5|15|)label')
# Colours of GID's other labels, 15 classes of the fine land-cover set; the
# position is the number less 1.
_FIFTEEN = (
    (200, 0, 0),  # industrial land
    (250, 0, 150),  # urban residential
    (200, 150, 150),  # rural residential
    (250, 150, 150),  # traffic land
    (0, 200, 0),  # paddy field
    (150, 250, 0),  # irrigated land
    (150, 200, 150),  # dry cropland
    (200, 0, 200),  # garden plot
    (150, 0, 250),  # arbor woodland
    (150, 150, 250),  # shrub land
    (250, 200, 0),  # natural grassland
    (200, 200, 0),  # artificial grassland
    (0, 0, 200),  # river
    (0, 150, 200),  # lake
    (0, 200, 250),  # pond
)
_OTHER = (
    'the labels are those of the version with 15 classes; get those with '
    'five, label_5classes of the large-scale classification set'
)


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

    The label of ``NAME.tif`` is ``NAME_label`` or ``NAME_5label``, ``.tif``
    or ``.png``, at any depth. The published archive has its images twice,
    ``image_RGB`` and ``image_NirRGB``: name one of the folders.

    Args:
        raw_dir: Folder of the published files.
        out_dir: Folder of the tiles: ``img_dir/{train,val}``,
            ``ann_dir/{train,val}``.
        images: Folder of the images, where it is not ``raw_dir``.
        labels: Folder of the label images, where it is not ``raw_dir``.
        tile_size: Side of the tiles.
        split: ``'scene'`` or ``'tile'``.
        fractions: Shares of train and val.
        seed: Seed of the draw.
        workers: Number of processes, None for that of the CPUs.

    Returns:
        The number of tiles of each split.

    Raises:
        FileNotFoundError: A folder is missing.
        ValueError: There are no images, two files of one name, or labels of
            15 classes.
        ValueError, OSError: See :func:`.tile_writer.write_tiles`.
    """
    if len(fractions) != 2:
        raise ValueError(
            f'fractions must be two, of train and val, got {list(fractions)}'
        )
    return write_tiles(
        _find_scenes(images or raw_dir, labels or raw_dir),
        out_dir,
        decode_gid,
        tile_size=tile_size,
        split=split,
        fractions=dict(zip(('train', 'val'), fractions)),
        seed=seed,
        workers=workers,
        record=dict(dataset='GID'),
    )


def _find_scenes(images: PathLike, labels: PathLike) -> List[LabelledScene]:
    label_of: Dict[str, Path] = {}
    fine = set()  # images with labels of 15 classes
    for path in _files(labels, _LABELS):
        match = _LABEL.fullmatch(path.stem)
        if match is None:
            continue
        name, classes = match.groups()
        if classes == '15':
            fine.add(name)
        elif name in label_of:
            raise ValueError(
                f'{path}: {label_of[name]} has the same name; choose a folder '
                'of labels with --labels'
            )
        else:
            label_of[name] = path
    scenes: Dict[str, LabelledScene] = {}
    for path in _files(images, _TIFF):
        name = path.stem
        if _LABEL.fullmatch(name):
            continue
        if name in scenes:
            raise ValueError(
                f'{path}: {scenes[name].image} has the same name; choose a '
                'folder of images with --images'
            )
        if name in fine and name not in label_of:
            raise ValueError(f'{path}: {_OTHER}')
        missing = Path(labels, f'{name}_label{path.suffix}')
        scenes[name] = LabelledScene(
            name, path, label_of.get(name, missing), name
        )
    if not scenes:
        raise ValueError(f'{images}: contains no image *.tif')
    return list(scenes.values())


def _files(folder: PathLike, suffixes: Sequence[str]) -> List[Path]:
    """List the files of some kinds at any depth below a folder, in order."""
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f'{folder}: no such folder')
    return sorted(
        path for path in folder.rglob('*') if path.suffix.lower() in suffixes
    )


def decode_gid(
    labels: np.ndarray, palette: Optional[np.ndarray] = None
) -> np.ndarray:
    """Turn labels of GID into class ids, (h, w).

    Args:
        labels: Colours of the classes, (3, h, w), or one band, (1, h, w), with
            numbers of the classes or positions in ``palette``.
        palette: Colours (N, 3) of the values in the file.

    Raises:
        ValueError: The labels have another form.
        UnknownValueError: A pixel has a colour or number of no class.
    """
    bands, dtype = labels.shape[0], labels.dtype
    if bands == 2 or dtype.kind not in 'ui' or bands > 2 and dtype != np.uint8:
        raise ValueError(
            f'has {bands} bands of {dtype}, where the classes are colours, '
            f'{", ".join(GID_BANDS)} of uint8, or their numbers in one band'
        )
    if bands == 1 and palette is not None:
        labels = np.moveaxis(palette[labels[0]], -1, 0)  # (3, h, w)
    try:
        if len(labels) == 1:
            numbers = [(number,) for number in range(len(GID_CLASSES))]
            return values_to_ids(labels[0], numbers)
        return colours_to_ids(labels, GID_PALETTE)
    except UnknownValueError as error:
        value = labels[:3, error.row, error.column].tolist()
        fine = tuple(value) in _FIFTEEN
        if len(labels) == 1:
            fine = len(GID_CLASSES) <= value[0] <= len(_FIFTEEN)
        if fine:
            error.hint = _OTHER
        elif palette is not None:
            error.hint = (
                "the colour is that of the file's palette; without one its "
                f'values count, 0 to {len(GID_CLASSES) - 1}'
            )
        raise
