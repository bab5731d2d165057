"""Points, pictures of them, and a page, for the person who labels."""

import json
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Dict, Iterator, List, Sequence

import cv2
import fiona
import numpy as np
from rasterio.crs import CRS
from rasterio.windows import Window

from ..analysis.outputs import write_csv
from ..datasets.pictures import stretch
from ..datasets.raster_bands import shown_bands
from .area import reproject_points, transform_points
from .files import find_crs, open_raster, read_window
from .reference import WGS84
from .report import render
from .scene_bands import read_bands

__all__ = [
    'COLUMNS',
    'ChipReader',
    'records',
    'write_chip',
    'write_points',
    'write_sheet',
]

SIDE = 320  # of either view in a chip, in pixels of the picture
NEAR, WIDE = 40, 160  # of the scene in the two views; both divide SIDE
MARK = (255, 220, 0)
STRETCH = (1, 99)  # percentiles of a scene that become black and white
THIN = 500  # pixels along a side that they are taken from
# Half the size that OpenCV writes by itself, as fast.
PNG = (
    cv2.IMWRITE_PNG_COMPRESSION,
    1,
    cv2.IMWRITE_PNG_STRATEGY,
    cv2.IMWRITE_PNG_STRATEGY_RLE,
)
COLUMNS = {
    'point': 'int',
    'x': 'float',
    'y': 'float',
    'longitude': 'float',
    'latitude': 'float',
    'stratum': 'str',
    'stratum_hectares': 'float',
    'label': 'str',
}
Record = Dict[str, Any]


def records(
    places: np.ndarray,
    crs: CRS,
    strata: Sequence[str],
    hectares: Sequence[float],
) -> List[Record]:
    """Return the rows of the table: :data:`COLUMNS` for each point.

    Args:
        places: Coordinates in the map's system, shape (N, 2).
        crs: The map's coordinate system.
        strata: Name of each point's stratum.
        hectares: Area of each point's stratum.
    """
    degrees = reproject_points(crs, WGS84, places)
    return [
        dict(zip(COLUMNS, (i, *place, *degree, stratum, size, '')))
        for i, (place, degree, stratum, size) in enumerate(
            zip(places.tolist(), degrees.tolist(), strata, hectares), 1
        )
    ]


def write_points(
    table: str, package: str, rows: Sequence[Record], crs: CRS
) -> None:
    """Write the points as CSV and as GeoPackage, with a column to label."""
    write_csv(table, COLUMNS, (row.values() for row in rows))
    with fiona.open(
        package,
        'w',
        driver='GPKG',
        crs_wkt=crs.to_wkt(),
        schema={'geometry': 'Point', 'properties': COLUMNS},
        layer='points',
    ) as file:
        file.writerecords(
            {
                'geometry': {
                    'type': 'Point',
                    'coordinates': (row['x'], row['y']),
                },
                'properties': row,
            }
            for row in rows
        )


class ChipReader(AbstractContextManager):
    """Pictures of places in a scene: close up, and with their surroundings.

    Args:
        path: The scene; its bands red, green and blue are shown where it
            names them, else the first three.

    Raises:
        ValueError: The scene cannot be opened, or lies nowhere.
    """

    def __init__(self, path: str) -> None:
        self._file = open_raster(path)
        self._crs = find_crs(self._file)
        self._bands = shown_bands(read_bands(self._file).names)
        self._limits = self._percentiles()

    def read(self, places: np.ndarray, crs: CRS) -> Iterator[np.ndarray]:
        """Yield a picture of each place, uint8, (SIDE, 2 * SIDE, 3).

        The pixel in question is framed in the near view; a frame in the wide
        one shows what the near one shows.

        Args:
            places: Shape (N, 2).
            crs: Their coordinate system.
        """
        points = reproject_points(crs, self._crs, places)
        pixels = transform_points(~self._file.transform, points)
        for column, row in np.floor(pixels).tolist():
            yield self._draw(column, row)

    def _draw(self, column: float, row: float) -> np.ndarray:
        image = self._around(column, row)
        start = (WIDE - NEAR) // 2
        near = image[start : start + NEAR, start : start + NEAR]
        return np.concatenate([_view(near, 1), _view(image, NEAR)], 1)

    def _around(self, column: float, row: float) -> np.ndarray:
        """Return what is around a pixel, white beside the scene; uint8."""
        image = np.full((WIDE, WIDE, 3), np.nan, np.float32)
        if np.isfinite([column, row]).all():
            first = np.array([row, column], int) - WIDE // 2
            low = np.maximum(first, 0)
            high = np.minimum(first + WIDE, self._file.shape)
            if (low < high).all():
                window = Window.from_slices(*np.stack([low, high], 1).tolist())
                found = read_window(self._file, self._bands, window)
                (top, left), (bottom, right) = low - first, high - first
                image[top:bottom, left:right] = np.moveaxis(found, 0, -1)
        image[~image.any(-1)] = np.nan  # 0 is no data
        return stretch(image, self._limits)

    def _percentiles(self) -> np.ndarray:
        """Values that become black and white, the same in all pictures."""
        shape = (len(self._bands), *np.minimum(self._file.shape, THIN))
        found = self._file.read(self._bands, out_shape=shape, masked=True)
        values = found.astype(np.float32).filled(np.nan).reshape(3, -1)
        values = values[:, np.isfinite(values).all(0) & values.any(0)]
        return np.percentile(values, STRETCH, axis=1)

    def __exit__(self, *error: Any) -> None:
        self._file.close()


def _view(image: np.ndarray, framed: int) -> np.ndarray:
    """Enlarge a picture and frame the pixels in its middle."""
    scale = SIDE // len(image)
    view = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_NEAREST)
    first = (len(image) // 2 - framed // 2) * scale
    last = first + framed * scale
    cv2.rectangle(view, (first - 1,) * 2, (last,) * 2, MARK, 1)
    return view


def write_chip(path: str, picture: np.ndarray) -> None:
    """Write a picture of red, green and blue as PNG.

    Raises:
        OSError: It cannot be written.
    """
    if not cv2.imwrite(path, picture[..., ::-1], PNG):
        raise OSError(f'{path} cannot be written')


def write_sheet(
    path: str,
    title: str,
    rows: Sequence[Record],
    classes: Sequence[str],
    pictures: Sequence[Dict[str, str]],
) -> None:
    """Write the page that goes through the points by the keyboard.

    It does not show the strata: who knows what the map says is biased by it.

    Args:
        path: File to write.
        title: Title of the page, and of what it keeps in the browser.
        rows: The table's rows.
        classes: Names to choose from.
        pictures: File by title, for each point.
    """
    data = dict(
        title=title,
        columns=[*COLUMNS],
        rows=[*rows],
        classes=[*classes],
        pictures=[*pictures],
    )
    # In a script, `<` could end it.
    text = json.dumps(data, ensure_ascii=False).replace('<', '\\u003c')
    Path(path).write_text(
        render('sheet.html', title=title, data=text), encoding='utf-8'
    )
