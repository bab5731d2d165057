"""A made-up scene of real tiles, to try the tools without a whole scene.

Tiles lie side by side in a random order, within the slanted edges that a
satellite scene has. The coordinate system is valid and made up.
"""

import random
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Union

import numpy as np
import rasterio
from affine import Affine
from PIL import Image
from rasterio.crs import CRS
from rasterio.windows import Window

from ..datasets.landcover import GID_BANDS, GID_CLASSES, GID_PALETTE
from .outputs import Outputs
from .raster import NODATA, RowWriter

__all__ = ['Layout', 'make_mosaic']

SUFFIXES = ('.jpg', '.jpeg', '.png')
SLANT = 0.08  # of the width, over the whole height


class Layout(NamedTuple):
    """Which tile lies where, and where the scene lies."""

    tiles: List[List[Path]]
    side: int
    crs: CRS = CRS.from_epsg(32650)
    transform: Affine = Affine(4, 0, 500000, 0, -4, 3400000)

    @property
    def height(self) -> int:
        """In pixels."""
        return len(self.tiles) * self.side

    @property
    def width(self) -> int:
        """In pixels."""
        return len(self.tiles[0]) * self.side

    def outside(self, row: int) -> np.ndarray:
        """Where a row of tiles has no data, bool (side, W)."""
        y = np.arange(row * self.side, (row + 1) * self.side)[:, None]
        x = np.arange(self.width)[None]
        slant = SLANT * self.width
        left = slant * (1 - y / self.height)
        return (x < left) | (x >= self.width - slant * y / self.height)


def lay_out(
    folder: Union[str, Path],
    rows: int,
    columns: int,
    seed: int = 0,
    changed: float = 0.0,
) -> Layout:
    """Draw an arrangement of the images of a folder.

    Args:
        folder: Square images of one size.
        rows: Of tiles.
        columns: Of tiles.
        seed: Of the arrangement.
        changed: Share of the tiles that then gives way to others: the same
            ground at another date.

    Raises:
        ValueError: There are no images, or an option is out of range.
    """
    for name, value in (('rows', rows), ('columns', columns)):
        if value < 1:
            raise ValueError(f'{name} must be at least 1, got {value}')
    if not 0 <= changed <= 1:
        raise ValueError(f'changed must be in [0, 1], got {changed}')
    if not Path(folder).is_dir():
        raise ValueError(f'{folder} is not a folder of images')
    images = sorted(
        path
        for path in Path(folder).iterdir()
        if path.suffix.lower() in SUFFIXES
    )
    if not images:
        raise ValueError(f'{folder} holds no images {", ".join(SUFFIXES)}')
    with Image.open(images[0]) as image:
        width, height = image.size
    if width != height:
        raise ValueError(f'{images[0]} is {width}x{height}, not square')
    draw = random.Random(seed)
    count = rows * columns
    drawn: List[Path] = []
    while len(drawn) < count:
        drawn += draw.sample(images, len(images))
    drawn = drawn[:count]
    for place in draw.sample(range(count), round(changed * count)):
        drawn[place] = draw.choice(images)
    tiles = [drawn[r * columns : (r + 1) * columns] for r in range(rows)]
    return Layout(tiles, width)


def make_mosaic(
    layout: Layout,
    out: Union[str, Path],
    labels: Optional[Union[str, Path]] = None,
) -> Dict[str, Path]:
    """Write a scene of three bands, and the map of its true classes.

    The files are ``<out>`` and, with ``labels``, ``<out>_classes.tif``, as
    ``map_scene.py`` would write it.

    Args:
        layout: The arrangement.
        out: The GeoTIFF to write.
        labels: Folder of the label images, ``<name of the image>.png``.

    Raises:
        ValueError: A tile is of another size, or its label is missing.
    """
    out = Path(out)
    files = {'scene': out}
    if labels is not None:
        files['map'] = out.with_name(f'{out.stem}_classes.tif')
    with Outputs() as outputs:
        paths = {kind: outputs.add(path) for kind, path in files.items()}
        _write_scene(layout, paths['scene'])
        if labels is not None:
            _write_labels(layout, Path(labels), paths['map'])
    return files


def _write_scene(layout: Layout, path: str) -> None:
    with rasterio.open(
        path,
        'w',
        driver='GTiff',
        width=layout.width,
        height=layout.height,
        count=3,
        dtype='uint8',
        crs=layout.crs,
        transform=layout.transform,
        nodata=0,
        interleave='pixel',
    ) as file:
        file.descriptions = GID_BANDS
        for row, tiles in enumerate(layout.tiles):
            values = np.concatenate(
                [_read(tile, layout.side, 'RGB') for tile in tiles], 1
            )
            values = np.maximum(values, 1)  # 0 is no data
            values[layout.outside(row)] = 0
            top = row * layout.side
            window = Window(0, top, layout.width, layout.side)
            file.write(np.moveaxis(values, -1, 0), window=window)


def _write_labels(layout: Layout, labels: Path, path: str) -> None:
    with RowWriter(path, layout, GID_CLASSES, GID_PALETTE) as file:
        for row, tiles in enumerate(layout.tiles):
            names = [labels / f'{tile.stem}.png' for tile in tiles]
            values = np.concatenate(
                [_read(name, layout.side, None) for name in names], 1
            )
            values[layout.outside(row)] = NODATA
            file.write(row * layout.side, values)


def _read(path: Path, side: int, mode: Optional[str]) -> np.ndarray:
    if not path.is_file():
        raise ValueError(f'{path} is missing')
    with Image.open(path) as image:
        if image.size != (side, side):
            raise ValueError(
                f'{path} is {image.width}x{image.height}, where the first '
                f'image is {side}x{side}'
            )
        return np.array(image.convert(mode) if mode else image)
