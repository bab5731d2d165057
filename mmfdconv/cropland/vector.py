"""Polygons of a class map, made piece by piece.

A piece is a band of rows. Only what touches the lower edge of a piece is
kept for the next one, so memory goes with the polygons that are still open
and not with the scene.
"""

from typing import Callable, Dict, Iterator, List, NamedTuple, Tuple

import fiona
import numpy as np
import shapely
from affine import Affine
from rasterio import features
from shapely.geometry import Polygon

from .area import PixelAreas, transform_points

__all__ = ['PolygonCount', 'polygonise', 'write_polygons']

PIECE = 1024  # rows
BATCH = 2000  # polygons written at once

# Rows [start, stop) of a map of small integers, shape (stop - start, W).
ReadRows = Callable[[int, int], np.ndarray]


class PolygonCount(NamedTuple):
    """How many polygons were written, and left out as too small."""

    written: int
    left_out: int


def polygonise(
    read: ReadRows, height: int, values: Tuple[int, ...], piece: int = PIECE
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
    open_parts: List[_Part] = []
    for start in range(0, height, piece):
        stop = min(start + piece, height)
        rows = read(start, stop)
        mask = np.isin(rows, values)
        found = [
            _Part([polygon], value, polygon)
            for polygon, value in _shapes(rows, mask, start)
        ]
        open_parts, done = _join(open_parts, found, start, stop, rows.shape[1])
        if stop == height:
            done, open_parts = done + open_parts, []
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
    leader = _groups(len(parts), pairs)
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


def _groups(count: int, pairs: np.ndarray) -> List[int]:
    """Union-find: the leader of each of ``count`` members."""
    leader = list(range(count))

    def find(member: int) -> int:
        while leader[member] != member:
            leader[member] = leader[leader[member]]
            member = leader[member]
        return member

    for one, other in pairs:
        leader[find(int(other))] = find(int(one))
    return [find(member) for member in range(count)]


def write_polygons(
    path: str,
    polygons: Iterator[Tuple[Polygon, int]],
    names: Dict[int, str],
    grid,
    areas: PixelAreas,
    min_area: float,
    layer: str,
) -> PolygonCount:
    """Write polygons to a GeoPackage.

    Each has ``class`` (its name), ``value`` (its number in the map) and
    ``hectares``.

    Args:
        path: File to write.
        polygons: What :func:`polygonise` yields.
        names: Class name by value.
        grid: Has ``crs`` and ``transform`` of the map.
        areas: Of the map's pixels.
        min_area: Hectares; smaller polygons are left out.
        layer: Name of the layer.
    """

    def place(points):
        return transform_points(grid.transform, points)

    written = left_out = 0
    schema = {
        'geometry': 'Polygon',
        'properties': {'class': 'str', 'value': 'int', 'hectares': 'float'},
    }
    with fiona.open(
        path,
        'w',
        driver='GPKG',
        crs_wkt=grid.crs.to_wkt(),
        schema=schema,
        layer=layer,
    ) as file:
        batch = []
        for polygon, value in polygons:
            hectares = areas.polygon(polygon)
            if hectares < min_area:
                left_out += 1
                continue
            written += 1
            geometry = shapely.transform(polygon, place)
            properties = {
                'class': names[value],
                'value': value,
                'hectares': round(hectares, 6),
            }
            batch.append(
                {
                    'geometry': shapely.geometry.mapping(geometry),
                    'properties': properties,
                }
            )
            if len(batch) == BATCH:
                file.writerecords(batch)
                batch = []
        file.writerecords(batch)
    return PolygonCount(written, left_out)
