"""Polygons of a class map, made piece by piece.

A piece is a band of rows. Only the areas that touch the lower edge of a piece
are kept for the next one, so memory depends on the open polygons and not on
the size of the scene. Areas that are too small are removed before polygons are
made.

Simplified polygons are all kept in memory, because neighbours share edges.
"""

from itertools import islice
from typing import (
    Any,
    Callable,
    Dict,
    Iterator,
    List,
    NamedTuple,
    Sequence,
    Tuple,
)

import cv2
import numpy as np
import shapely
from affine import Affine
from rasterio import features
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from shapely.geometry import Polygon

from .area import PixelAreas, transform_points
from .polygon_files import PolygonOptions, open_polygons
from .raster import NODATA, spans

__all__ = [
    'LargeAreas',
    'PolygonCount',
    'polygonise',
    'simplify_polygons',
    'write_polygons',
]

PIECE = 1 << 20  # pixels
BATCH = 2000  # polygons written at once

# Rows [start, stop) of a map of small integers, shape (stop - start, W).
ReadRows = Callable[[int, int], np.ndarray]


class PolygonCount(NamedTuple):
    """How many polygons were written, and left out as too small."""

    written: int
    left_out: int


class LargeAreas:
    """Rows of a map without areas of few pixels.

    Areas that go on above or below the rows read at once are left, however
    small. So read the same rows as :func:`polygonise`.

    Args:
        read: Gives the map's rows, unsigned 8 bit.
        height: Rows of the map.
        values: Which values have areas.
        pixels: Smaller areas are given to no class.

    Attributes:
        left_out: How many there were.
    """

    def __init__(
        self, read: ReadRows, height: int, values: Tuple[int, ...], pixels: int
    ) -> None:
        self._read, self._height = read, height
        self._values, self._pixels = values, pixels
        self.left_out = 0

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return the rows from ``start`` up to ``stop``, shape (rows, W)."""
        rows = self._read(start, stop)
        if self._pixels <= 1:
            return rows
        rows = rows.copy()
        for value in self._values:
            mask = (rows == value).view(np.uint8)
            _, labels, found, _ = cv2.connectedComponentsWithStats(
                mask, connectivity=4
            )
            top = found[:, cv2.CC_STAT_TOP]
            bottom = top + found[:, cv2.CC_STAT_HEIGHT]
            small = found[:, cv2.CC_STAT_AREA] < self._pixels
            small &= (top > 0) | (start == 0)
            small &= (bottom < stop - start) | (stop == self._height)
            small[0] = False  # the others, all together
            self.left_out += int(small.sum())
            rows[small[labels]] = NODATA
        return rows


def polygonise(
    read: ReadRows, height: int, values: Tuple[int, ...], piece: int
) -> Iterator[Tuple[Polygon, int]]:
    """Yield the connected areas of a map, in (column, row), with the value.

    Pixels are connected along edges, not across corners. The result does not
    depend on ``piece``.

    Args:
        read: Gives the map's rows.
        height: Rows of the map.
        values: Which values become polygons.
        piece: Rows taken at once.
    """
    going_on: List[_Part] = []
    for start, stop in spans(height, piece):
        rows = read(start, stop)
        found = []
        for polygon, value in _shapes(rows, np.isin(rows, values), start):
            _, top, _, bottom = polygon.bounds
            if top == start > 0 or bottom == stop < height:
                found.append(_Part([polygon], value, polygon))
            else:
                yield polygon, value
        going_on, done = _join(going_on, found, start, stop, rows.shape[1])
        if stop == height:
            done += going_on
        for part in done:
            yield part.whole(), part.value


class _Part:
    """Pieces of one area; ``last`` is the piece that may go on below."""

    def __init__(self, pieces, value, *last) -> None:
        self.pieces, self.value, self.last = pieces, value, list(last)

    def whole(self) -> Polygon:
        if len(self.pieces) == 1:
            return self.pieces[0]
        # The seam leaves points on straight edges, which simplify takes out.
        return shapely.union_all(self.pieces).normalize().simplify(0)


def _shapes(rows, mask, start) -> Iterator[Tuple[Polygon, int]]:
    shift = Affine.translation(0, start)
    for geometry, value in features.shapes(
        rows, mask=mask, connectivity=4, transform=shift
    ):
        rings = geometry['coordinates']
        yield Polygon(rings[0], rings[1:]), int(value)


def _join(before, found, top, bottom, width):
    """Join the parts above and below row ``top``; split by ``bottom``.

    Returns:
        The parts that touch row ``bottom``, and those that are finished.
    """
    above = _owners(before, top, width)
    below = _owners(found, top, width)
    parts = before + found
    values = np.array([part.value for part in parts] or [0])
    meet = (above >= 0) & (below >= 0)
    pairs = np.unique(
        np.stack([above[meet], below[meet] + len(before)], 1), axis=0
    )
    pairs = pairs[values[pairs[:, 0]] == values[pairs[:, 1]]]
    links = csr_array((np.ones(len(pairs)), tuple(pairs.T)), [len(parts)] * 2)
    _, leader = connected_components(links, directed=False)
    joined: Dict[int, _Part] = {}
    for index, part in enumerate(parts):
        whole = joined.setdefault(leader[index], _Part([], part.value))
        whole.pieces += part.pieces
        if index >= len(before) and part.last[0].bounds[3] == bottom:
            whole.last += part.last
    going_on = [part for part in joined.values() if part.last]
    return going_on, [part for part in joined.values() if not part.last]


def _owners(parts: List[_Part], row: int, width: int) -> np.ndarray:
    """Which part owns each column at a row between pieces; -1 for none."""
    owners = np.full(width, -1)
    for index, part in enumerate(parts):
        for polygon in part.last:
            points = shapely.get_coordinates(polygon.exterior).astype(int)
            on = (points[:-1, 1] == row) & (points[1:, 1] == row)
            ends = np.sort(np.stack([points[:-1, 0], points[1:, 0]], 1)[on], 1)
            for left, right in ends:
                owners[left:right] = index
    return owners


def simplify_polygons(
    polygons: Sequence[Polygon], metres: float, sides: Tuple[float, float]
) -> np.ndarray:
    """Leave out detail; neighbours keep one edge between them.

    By the algorithm of Visvalingam and Whyatt, https://doi.org/10.1179/
    000870493786962263: corners go whose triangle with the next ones is
    smaller than ``metres`` squared.

    Args:
        polygons: N of them that do not overlap, in (column, row).
        metres: Length below which detail is left out.
        sides: Width and height of a pixel, in metres.

    Returns:
        N valid polygons.
    """
    # Edges are shared where all their corners are, also those of a third
    # polygon that ends there. So every corner of a pixel becomes one.
    corners = shapely.segmentize([*polygons], 1.0)
    ground = shapely.transform(corners, lambda p: np.rint(p) * sides)
    found = shapely.coverage_simplify(ground, metres)
    return shapely.transform(found, lambda p: p / sides)


def write_polygons(
    path: str,
    read: ReadRows,
    names: Dict[int, str],
    grid: Any,
    areas: PixelAreas,
    options: PolygonOptions,
    layer: str,
) -> PolygonCount:
    """Write the connected areas of a map to a GeoPackage or GeoParquet.

    Each has ``class`` (its name), ``value`` (its number in the map) and
    ``hectares`` (of its pixels). Outer rings run counter-clockwise.

    Args:
        path: File to write; its ending says which it is.
        read: Gives the map's rows, unsigned 8 bit.
        names: Class name by value; other values become no polygons.
        grid: Has ``crs``, ``transform``, ``width`` and ``height`` of the map.
        areas: Areas of the map's pixels.
        options: Which polygons, and how simple; see
            :func:`simplify_polygons`.
        layer: Name of the layer.
    """
    piece = max(1, PIECE // grid.width)
    simplify = options.simplify
    # Fewer pixels than these are too small wherever they lie.
    pixels = int(options.smallest / areas.largest)
    large_areas = LargeAreas(read, grid.height, tuple(names), pixels)
    polygons = polygonise(large_areas.read, grid.height, tuple(names), piece)
    written = left_out = 0
    size = None if simplify else BATCH
    with open_polygons(path, grid.crs, layer) as write:
        for batch in iter(lambda: [*islice(polygons, size)], []):
            hectares = areas.polygons([polygon for polygon, _ in batch])
            large = np.flatnonzero(hectares >= options.smallest)
            shapes = [batch[i][0] for i in large]
            values = [batch[i][1] for i in large]
            if simplify and shapes:
                shapes = simplify_polygons(shapes, simplify, areas.sides)
            on_the_map = shapely.transform(
                shapes, lambda points: transform_points(grid.transform, points)
            )
            write(
                shapely.orient_polygons(on_the_map),
                {
                    'class': [names[value] for value in values],
                    'value': values,
                    'hectares': hectares[large].round(6).tolist(),
                },
            )
            written += len(large)
            left_out += len(batch) - len(large)
    return PolygonCount(written, left_out + large_areas.left_out)
