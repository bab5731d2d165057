"""Generate a landscape at two dates, with its true classes.

It is for trying all steps from scenes to hectares where the answer is known.
It has fields between roads, woods, towns and a river, in GID's classes. Crops
differ between fields and between dates, and meadows look similar to some of
them. Textures are generated, too, or cut from real tiles. Some fields change
between the dates.
"""

from pathlib import Path
from typing import (
    Any,
    Callable,
    Dict,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    Union,
)

import cv2
import numpy as np
import rasterio
from affine import Affine
from rasterio.crs import CRS
from rasterio.windows import Window

from ..analysis.outputs import write_csv
from ..datasets.landcover import GID_CLASSES, GID_PALETTE
from .atomic import Outputs
from .raster import MapReader, RowWriter
from .tables import read_table

__all__ = ['label_points', 'make_landscape', 'read_textures']

BUILT, FARM, FOREST, MEADOW, WATER = (
    GID_CLASSES.index(name)
    for name in ('built-up', 'farmland', 'forest', 'meadow', 'water')
)
# Red, green and blue by class, and how much they differ between fields.
COLOURS = np.array(
    [
        (0, 0, 0),
        (150, 140, 135),
        (120, 125, 75),
        (55, 80, 50),
        (105, 130, 80),
        (50, 70, 90),
    ],
    np.float32,
)
SPREAD = np.array([0, 18, 20, 6, 10, 5], np.float32)
# Height of what stands, lies or grows there, in grey values, by class.
ROUGH = np.array([0, 28, 5, 14, 5, 1], np.float32)
FURROWS = 9.0  # grey values
STRIP = 512  # rows drawn at once
DATES = ('2016', '2020')
PIECE = 96  # pixels along a side of a real texture
# Takes the first row and the classes of a strip; returns its colours, float32
# (rows, columns, 3).
_Painter = Callable[[int, np.ndarray], np.ndarray]


class _Grid(NamedTuple):
    """Where the landscape lies."""

    height: int
    width: int
    crs: CRS = CRS.from_epsg(32650)
    transform: Affine = Affine(4, 0, 500000, 0, -4, 3400000)


def make_landscape(
    folder: Path,
    size: int,
    seed: int = 0,
    changed: float = 0.01,
    textures: Optional[Sequence[np.ndarray]] = None,
) -> Dict[str, Path]:
    """Write both dates' scenes and labels.

    The files are ``<date>.tif`` (red, green, blue, 8 bit) and
    ``<date>_label.tif`` (the true classes, a map that ``change`` reads).

    Args:
        folder: Where to write.
        size: Pixels of 4 m along either side.
        seed: Seed of the random numbers.
        changed: Share of the fields of farmland that are lost; of the meadows
            as large a share becomes farmland.
        textures: What the classes look like, of :func:`read_textures`;
            ``None`` makes it up.

    Raises:
        ValueError: ``size`` or ``changed`` makes no landscape.
    """
    if size < STRIP:
        raise ValueError(f'--size: must be at least {STRIP}, but is {size}')
    if not 0 <= changed <= 1:
        raise ValueError(
            f'--changed: must lie between 0 and 1, but is {changed}'
        )
    rng = np.random.default_rng(seed)
    grid = _Grid(size, size)
    fields, fixed = _lay_out(rng, size)
    uses = list(_land_use(rng, int(fields.max()) + 1, changed))
    files = {}
    with Outputs() as outputs:
        for date, use in zip(DATES, uses):
            truth = use[fields]
            truth[fixed > 0] = fixed[fixed > 0]
            files[date] = folder / f'{date}.tif'
            files[f'{date}_label'] = folder / f'{date}_label.tif'
            path = outputs.add(files[f'{date}_label'])
            with RowWriter(path, grid, GID_CLASSES, GID_PALETTE) as file:
                file.write(0, truth)
            if textures is None:
                paint = _paint_made_up(rng, fields)
            else:
                paint = _paint_real(rng, fields, textures)
            path = outputs.add(files[date])
            _write_scene(path, grid, rng, truth, paint)
    return files


def _smooth(rng: Any, size: int, step: int) -> np.ndarray:
    """Noise without anything smaller than ``step``, (size, size), float32."""
    coarse = rng.standard_normal((size // step + 4,) * 2).astype(np.float32)
    side = len(coarse) * step
    return cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)[
        step : step + size, step : step + size
    ]


def _cuts(rng: Any, length: int, low: int, high: int) -> np.ndarray:
    """Places between 0 and ``length``, ``low`` to ``high`` apart."""
    return np.cumsum(rng.integers(low, high, length // low + 1))


def _lay_out(rng: Any, size: int) -> Tuple[np.ndarray, np.ndarray]:
    """Number the fields; tell what is never a field, 0 where it may be.

    Returns:
        int32 and uint8, both (size, size).
    """
    bend = 200  # pixels that lines are bent by, at most
    warp = [
        np.clip(30 * _smooth(rng, size, 400), -bend, bend) for _ in range(2)
    ]
    across = np.arange(size, dtype=np.float32)
    down = (across[:, None] + warp[0] + bend).astype(np.int32)
    across = (across + warp[1] + bend).astype(np.int32)
    reach = size + 2 * bend
    rows = _cuts(rng, reach, 70, 180)
    row = np.searchsorted(rows, np.arange(reach), 'right').astype(np.int32)
    table = np.stack(
        [
            np.searchsorted(
                _cuts(rng, reach, 40, 220), np.arange(reach), 'right'
            )
            for _ in range(row[-1] + 1)
        ]
    )
    table += np.cumsum([0, *table[:-1].max(1) + 1])[:, None]
    fields = table.astype(np.int32)[row[down], across]
    fixed = np.zeros((size, size), np.uint8)
    woods = _smooth(rng, size, 300) + 0.4 * _smooth(rng, size, 50)
    fixed[woods > 1.1] = FOREST
    towns = _smooth(rng, size, 500) + 0.3 * _smooth(rng, size, 40)
    fixed[towns > 1.5] = BUILT
    road = np.zeros(reach, bool)
    for edge in rows[::4]:
        road[max(0, edge - 3) : edge + 3] = True
    fixed[road[down]] = BUILT
    road[:] = False
    road[bend :: size // 3] = True
    fixed[np.convolve(road, np.ones(7), 'same')[across] > 0] = BUILT
    fixed[np.abs(_smooth(rng, size, max(64, size // 8))) < 0.015] = WATER
    return fields, fixed


def _land_use(rng: Any, count: int, changed: float) -> Iterator[np.ndarray]:
    """Yield the class of each field, uint8, at either date."""
    kinds = [FARM, MEADOW, FOREST, BUILT, WATER]
    use = rng.choice(kinds, count, p=[0.66, 0.17, 0.11, 0.04, 0.02])
    use = use.astype(np.uint8)
    yield use
    later = use.copy()
    moves = rng.random(count) < changed
    lost = moves & (use == FARM)
    became = rng.choice([BUILT, MEADOW, FOREST], count, p=[0.6, 0.3, 0.1])
    later[lost] = became[lost]
    later[moves & (use == MEADOW)] = FARM
    yield later


def _write_scene(path, grid, rng, truth, paint) -> None:
    """Write what a painter makes of each strip, under a broad shading."""
    shade = _smooth(rng, grid.height, 150) * 4
    with rasterio.open(
        path,
        'w',
        driver='GTiff',
        height=grid.height,
        width=grid.width,
        count=3,
        dtype='uint8',
        crs=grid.crs,
        transform=grid.transform,
        tiled=True,
        compress='deflate',
        zlevel=1,
        photometric='rgb',
    ) as file:
        for top in range(0, grid.height, STRIP):
            kind = truth[top : top + STRIP]
            picture = paint(top, kind) + shade[top : top + STRIP, :, None]
            picture += 3 * rng.standard_normal(picture.shape, np.float32)
            window = Window(0, top, grid.width, len(kind))
            values = picture.clip(1, 255).astype(np.uint8)
            file.write(np.moveaxis(values, -1, 0), window=window)


def _paint_made_up(rng: Any, fields: np.ndarray) -> _Painter:
    """Colour each field by its class, with furrows, trees and houses."""
    count = int(fields.max()) + 1
    hue = rng.standard_normal((count, 3)).astype(np.float32)
    hue = 0.4 * hue + rng.standard_normal((count, 1)).astype(np.float32)
    angle = rng.uniform(0, np.pi, count)
    # Furrows are 3 to 7 pixels apart; in a third of the fields none are seen.
    pitch = 2 * np.pi / rng.uniform(3, 7, count)
    slope = np.stack([np.cos(angle), np.sin(angle)]) * pitch
    slope[:, rng.random(count) < 0.33] = 0
    slope = slope.astype(np.float32)
    column = np.arange(fields.shape[1], dtype=np.float32)

    def paint(top: int, kind: np.ndarray) -> np.ndarray:
        field = fields[top : top + len(kind)]
        rough = rng.standard_normal(field.shape).astype(np.float32)
        rough = cv2.GaussianBlur(rough, (0, 0), 1.2) * 4
        rough *= ROUGH[kind]
        row = np.arange(top, top + len(field), dtype=np.float32)
        waves = slope[0][field] * column + slope[1][field] * row[:, None]
        rough += np.where(kind == FARM, FURROWS * np.sin(waves), 0)
        picture = COLOURS[kind] + SPREAD[kind][..., None] * hue[field]
        return picture + rough[..., None]

    return paint


def _paint_real(
    rng: Any, fields: np.ndarray, textures: Sequence[np.ndarray]
) -> _Painter:
    """Cover each field with a real piece of its class, and its mirrors."""
    count = int(fields.max()) + 1
    period = textures[0].shape[1]
    shift = rng.integers(period, size=(2, count))
    drawn = rng.random(count)
    column = np.arange(fields.shape[1])

    def paint(top: int, kind: np.ndarray) -> np.ndarray:
        field = fields[top : top + len(kind)]
        row = np.arange(top, top + len(kind))[:, None]
        y = (row + shift[0][field]) % period
        x = (column + shift[1][field]) % period
        picture = np.empty((*kind.shape, 3), np.float32)
        for value in np.unique(kind):
            here = kind == value
            pieces = textures[value - 1]
            which = (drawn[field[here]] * len(pieces)).astype(int)
            picture[here] = pieces[which, y[here], x[here]]
        return picture

    return paint


def read_textures(root: Union[str, Path], split: str) -> List[np.ndarray]:
    """Cut from tiles of GID what is of one class all over.

    Args:
        root: Folder of the tiles, as ``GIDDataset`` reads them.
        split: ``'train'`` or ``'val'``.

    Returns:
        For each class, built-up land to water, uint8 (pieces, 2 * PIECE,
        2 * PIECE, 3), red, green and blue; a piece of each tile that has a
        square of ``PIECE`` pixels of the class, with its mirror images, so
        that it can be repeated without seams.

    Raises:
        ValueError: There are no tiles, or a class fills no square.
    """
    root = Path(root)
    found: List[List[np.ndarray]] = [[] for _ in GID_CLASSES[1:]]
    square = np.ones((PIECE, PIECE), np.uint8)
    for file in sorted((root / 'ann_dir' / split).glob('*.png')):
        label = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
        image = None
        for value, pieces in enumerate(found, 1):
            # Anchored at its corner, an erosion leaves the squares' corners.
            whole = cv2.erode(
                (label == value).astype(np.uint8),
                square,
                anchor=(0, 0),
                borderType=cv2.BORDER_CONSTANT,
                borderValue=0,
            )
            if not whole.any():
                continue
            if image is None:
                image = _read_image(root / 'img_dir' / split / file.stem)
            top, left = np.argwhere(whole)[0]
            piece = image[top : top + PIECE, left : left + PIECE]
            piece = np.concatenate([piece, piece[::-1]], 0)
            pieces.append(np.concatenate([piece, piece[:, ::-1]], 1))
    for name, pieces in zip(GID_CLASSES[1:], found):
        if not pieces:
            raise ValueError(
                f'--textures: no label in {root / "ann_dir" / split} has '
                f'{PIECE} x {PIECE} pixels of {name}; it must hold tiles of '
                'GID as PNG, beside img_dir'
            )
    return [np.stack(pieces) for pieces in found]


def _read_image(stem: Path) -> np.ndarray:
    """Return the picture of a tile, whatever its format, in RGB."""
    for file in stem.parent.glob(f'{stem.name}.*'):
        return cv2.imread(str(file), cv2.IMREAD_COLOR)[..., ::-1]
    raise ValueError(f'--textures: {stem} has a label and no image')


def label_points(points: str, truth: str, path: Path) -> None:
    """Label points of a sample with what a map says, as an eye would.

    Args:
        points: Table that ``sample`` wrote.
        truth: The map, in the coordinate system of the points.
        path: Table to write.
    """
    rows = read_table(points)
    with MapReader(truth) as grid:
        places = [(float(row['x']), float(row['y'])) for row in rows]
        for row, (value,) in zip(rows, grid.dataset.sample(places)):
            row['label'] = grid.classes[int(value)]
    with Outputs(inputs=[points, truth]) as outputs:
        values = (row.values() for row in rows)
        write_csv(outputs.add(path), rows[0], values)
