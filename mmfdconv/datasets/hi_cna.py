"""Hi-CNA, images of two dates with cropland masks, to tiles.

Sun et al. (2024), https://doi.org/10.1016/j.isprsjprs.2024.05.011: pairs of
GF-2 images of 512x512, four bands, with the cropland of either date. How the
published files are laid out could not be seen here, so folders, values and
names are options.
"""

import os
import re
from functools import partial
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Union

import numpy as np

from .landcover import HI_CNA_BANDS
from .tile_writer import LabelledScene, write_tiles
from .tiling import values_to_ids

PathLike = Union[str, os.PathLike]
_SPLITS = ('train', 'val', 'test')
_IMAGES = ('.tif', '.tiff')
_MASKS = ('.tif', '.tiff', '.png')


def convert_hi_cna(
    raw_dir: PathLike,
    out_dir: PathLike,
    *,
    images: Sequence[str] = ('image1', 'image2'),
    masks: Sequence[str] = ('mask1', 'mask2'),
    cropland_values: Sequence[int] = (1, 255),
    tile_size: int = 512,
    split: str = 'scene',
    group: Optional[str] = None,
    fractions: Sequence[float] = (0.6, 0.2, 0.2),
    seed: int = 0,
    workers: Optional[int] = None,
) -> Dict[str, int]:
    """Sort Hi-CNA's images and masks into splits for ``HiCNADataset``.

    The images of one place, of all dates, are in one split. Where names tell
    which larger image they were cut from, ``group`` keeps those together too.

    Assumed is ``image1/NAME.tif`` with ``mask1/NAME.tif`` (or ``.png``) for
    the first date, and the same NAME in ``image2``, ``mask2`` for the second.

    Args:
        raw_dir: Folder of the published files.
        out_dir: Folder of the tiles: ``img_dir/{train,val,test}``,
            ``ann_dir/{train,val,test}``.
        images: Folders of the images below ``raw_dir``, one for each date.
        masks: Folders of the masks, in the same order.
        cropland_values: Values of cropland in the masks; 0 is non-cropland.
        tile_size: Side of the tiles; larger images are cut.
        split: ``'scene'``, or ``'tile'`` to draw single tiles.
        group: Regular expression; what its first group, or else the whole of
            it, matches in a name, keeps files together.
        fractions: Shares of train, val and test.
        seed: Seed of the draw.
        workers: Number of processes, None for that of the CPUs.

    Returns:
        The number of tiles of each split.

    Raises:
        FileNotFoundError: A folder is missing.
        ValueError: There are no images, folders do not pair up, or ``group``
            does not match a name.
        ValueError, OSError: See :func:`.tile_writer.write_tiles`.
    """
    if len(fractions) != len(_SPLITS):
        raise ValueError(
            'fractions must be three, of train, val and test, got '
            f'{list(fractions)}'
        )
    values = [int(value) for value in cropland_values]
    if not values or 0 in values:
        raise ValueError(
            'cropland_values must be other values than 0, which is '
            f'non-cropland, got {values}'
        )
    return write_tiles(
        _find_scenes(raw_dir, images, masks, group),
        out_dir,
        partial(decode_hi_cna, cropland_values=values),
        tile_size=tile_size,
        split=split,
        fractions=dict(zip(_SPLITS, fractions)),
        seed=seed,
        workers=workers,
        bands=HI_CNA_BANDS,
        record=dict(dataset='Hi-CNA', cropland_values=values),
    )


def _find_scenes(
    raw_dir: PathLike,
    images: Sequence[str],
    masks: Sequence[str],
    group: Optional[str],
) -> List[LabelledScene]:
    if len(images) != len(masks) or not images:
        raise ValueError(
            'images and masks must name as many folders, got '
            f'{list(images)} and {list(masks)}'
        )
    scenes = []
    for date, folders in enumerate(zip(images, masks), 1):
        image_dir, mask_dir = (Path(raw_dir, folder) for folder in folders)
        mask_of = _by_stem(mask_dir, _MASKS)
        for stem, path in _by_stem(image_dir, _IMAGES).items():
            mask = mask_of.get(stem, mask_dir / f'{stem}.tif')
            name = f'{stem}_t{date}'
            scenes.append(LabelledScene(name, path, mask, _group(group, path)))
    if not scenes:
        raise ValueError(f'{raw_dir}: no image *.tif in {" or ".join(images)}')
    return scenes


def _by_stem(folder: Path, suffixes: Sequence[str]) -> Dict[str, Path]:
    if not folder.is_dir():
        raise FileNotFoundError(f'{folder}: no such folder')
    found: Dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in suffixes:
            continue
        if path.stem in found:
            raise ValueError(
                f'{path}: {found[path.stem].name} has the same name'
            )
        found[path.stem] = path
    return found


def _group(pattern: Optional[str], path: Path) -> str:
    if pattern is None:
        return path.stem
    try:
        match = re.search(pattern, path.stem)
    except re.error as error:
        raise ValueError(f'group {pattern!r}: {error}') from None
    if match is None:
        raise ValueError(f'{path}: group {pattern!r} is not in its name')
    return match[1] if match.re.groups else match[0]


def decode_hi_cna(
    labels: np.ndarray,
    palette: Optional[np.ndarray] = None,
    cropland_values: Sequence[int] = (1, 255),
) -> np.ndarray:
    """Make ids (h, w) of a mask (1, h, w): 1 where it is cropland.

    Its values count, whatever colours a palette gives them.
    """
    if labels.shape[0] != 1:
        raise ValueError(f'has {labels.shape[0]} bands, a mask has one')
    return values_to_ids(labels[0], ((0,), tuple(cropland_values)))
