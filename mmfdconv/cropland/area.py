"""Ground area of pixels in hectares, in any coordinate system.

A projection distorts areas, and differently from place to place: in Web
Mercator at 40 degrees north they are 1.7 times too large. So areas are
computed on the ellipsoid of the coordinate system. At the nodes of a lattice
over the grid, the corners of a pixel are projected onto the ellipsoid, in
space; between the nodes the area of a pixel is interpolated (bilinear). The
lattice is refined until the error in the middle of its cells is at most 1e-5.
For a single grid of the whole world the lattice is too coarse, and the error
is at most 3e-4.
"""

import functools
from pathlib import Path
from typing import Any, Mapping, Optional, Sequence, Tuple, Union

import numpy as np
import pyproj
import shapely
from pyproj.exceptions import ProjError
from rasterio.crs import CRS

from ..analysis.outputs import write_csv
from .files import crs_label

__all__ = [
    'PixelAreas',
    'count_hectares',
    'format_hectares',
    'reproject_points',
    'transform_points',
    'write_hectares',
]

HECTARE = 10000.0  # square metres
# From here a projection's areas are worth a word. UTM stays below 0.2 %.
DISTORTION = 0.01
TOLERANCE = 1e-5  # of a pixel's area, in the middle of a lattice's cell
CELLS = 8, 16, 32, 64, 128, 256  # of the lattice, along either side
VERTICES = 8192  # of polygons measured at once


class PixelAreas:
    """Areas of the pixels of a grid.

    Args:
        grid: Has ``crs``, ``transform`` (any that can be inverted), ``width``
            and ``height``.

    Raises:
        ValueError: The grid lies nowhere on the Earth.

    Attributes:
        largest: Hectares that no pixel exceeds.
        mean: Hectares of a pixel, on average.
        sides: Metres from side to side of the middle pixel, and from its top
            to its bottom.
        stretch: How much too large the coordinate system shows areas, as a
            factor, on average; ``None`` where pixels are degrees.
    """

    def __init__(self, grid: Any) -> None:
        crs, transform = grid.crs, grid.transform
        ground = _Ground(crs, transform, grid.width, grid.height)
        for cells in CELLS:
            nodes = ground.lattice(cells)
            middle = ground.lattice(cells, 0.5)
            between = (nodes[1:] + nodes[:-1]) / 2
            between = (between[:, 1:] + between[:, :-1]) / 2
            error = np.abs(between - middle)
            small = TOLERANCE * np.maximum(middle, 1e-3 * ground.largest)
            if not (error > small).any():  # NaN is not, and tells nothing
                break
        if not np.isfinite(nodes).any():
            raise ValueError(
                f'{crs.to_string()[:60]}: the pixels lie nowhere on the Earth'
            )
        # Beside the Earth there is no data, and any number will do.
        nodes[~np.isfinite(nodes)] = np.nanmean(nodes)
        self._nodes = nodes
        self._down = _hats(grid.height, cells)
        self._across = _hats(grid.width, cells)
        self.largest = float(nodes.max())
        self.mean = float(nodes.mean())
        self.sides = ground.sides()
        self.stretch = None
        if not crs.is_geographic:
            shown = (
                abs(transform.determinant) * crs.linear_units_factor[1] ** 2
            )
            self.stretch = shown / HECTARE / self.mean

    def pixels(self, start: int, stop: int) -> np.ndarray:
        """Return the hectares of the pixels of some rows, (rows, W)."""
        down = np.diff(self._down[start : stop + 1], axis=0)
        return (down @ self._nodes) @ np.diff(self._across, axis=0).T

    def polygons(self, polygons: Sequence[shapely.Polygon]) -> np.ndarray:
        """Return the hectares of polygons whose edges are pixels' edges.

        They are those of the pixels inside, summed up (Green's theorem).

        Args:
            polygons: N of them, in (column, row) of the grid.

        Returns:
            Shape (N,).
        """
        rings, owner = shapely.get_rings(polygons, return_index=True)
        points, ring = shapely.get_coordinates(rings, return_index=True)
        column, row = points.astype(int).T
        # Edges go up or down a column, where the area to the left and above
        # grows by that of the rows passed, or along a row, which adds none.
        passed = np.diff(self._above_and_left(column, row))
        passed[(column[1:] != column[:-1]) | (ring[1:] != ring[:-1])] = 0
        inside = np.abs(np.bincount(ring[:-1], passed, len(rings)))
        hole = np.append(False, owner[1:] == owner[:-1])
        return np.bincount(owner, np.where(hole, -inside, inside))

    def _above_and_left(self, column, row) -> np.ndarray:
        """Hectares of all pixels above and to the left of corners."""
        parts = []
        for start in range(0, len(row), VERTICES):
            part = slice(start, start + VERTICES)
            strip = self._down[row[part]] @ self._nodes
            parts.append((strip * self._across[column[part]]).sum(1))
        return np.concatenate(parts)

    def describe(self) -> Optional[str]:
        """Say what the projection does to areas, where it does much."""
        if self.stretch is None or abs(self.stretch - 1) <= DISTORTION:
            return None
        return (
            'hectares are ground areas; in this projection areas look '
            f'{self.stretch:.2f} times as large'
        )


class _Ground:
    """Where a grid lies on the ellipsoid, and how large a pixel is there."""

    def __init__(self, crs, transform, width, height) -> None:
        self._crs, self._transform = crs, transform
        self._size = np.array([width, height], float)
        self.largest = 0.0
        ellipsoid = pyproj.CRS.from_user_input(crs).ellipsoid
        if ellipsoid is None:
            raise ValueError(
                f'{crs.to_string()[:60]} says nothing of an ellipsoid, so '
                'areas on the ground cannot be measured'
            )
        self._a = ellipsoid.semi_major_metre
        ratio = ellipsoid.semi_minor_metre / self._a
        self._e2 = 1 - ratio**2
        self._degrees = CRS.from_proj4(
            f'+proj=longlat +a={self._a} +b={ratio * self._a} +no_defs'
        )

    def lattice(self, cells: int, shift: float = 0.0) -> np.ndarray:
        """Return hectares of a pixel at the nodes, NaN off the Earth, (N, N).

        With a shift of 0 the N nodes of a side are corners of the cells, with
        0.5 they are their middles.
        """
        at = np.arange(cells + (shift == 0)) + shift
        column, row = np.meshgrid(at, at)
        nodes = np.stack([column, row], -1).reshape(-1, 2)
        step = self._size / cells  # of the lattice, in pixels
        # So near that chord and arc are one, also where cells are large.
        near = 1 / 64
        edges = []
        for axis in np.eye(2):
            ahead, _ = self._places((nodes + near * axis) * step)
            behind, _ = self._places((nodes - near * axis) * step)
            edges.append((ahead - behind) / (2 * near * (step @ axis)))
        _, upward = self._places(nodes * step)
        area = (np.cross(*edges) * upward).sum(-1) / HECTARE
        # Rows count downwards in most grids. What lies beyond a pole, where
        # the sides change, is not there.
        area = np.maximum(area * np.sign(np.nansum(area)), 0)
        if np.isfinite(area).any():
            self.largest = max(self.largest, float(np.nanmax(area)))
        return area.reshape(column.shape)

    def sides(self) -> Tuple[float, float]:
        """Return width and height in metres of the pixel in the middle."""
        middle = self._size / 2
        across, down = (
            np.linalg.norm(np.diff(self._places(middle + ends)[0], axis=0))
            for ends in (
                np.array([[-0.5, 0], [0.5, 0]]),
                np.array([[0, -0.5], [0, 0.5]]),
            )
        )
        return float(across), float(down)

    def _places(self, pixels) -> Tuple[np.ndarray, np.ndarray]:
        """Return points in space, in metres, and which way is up, both (N, 3).

        ``pixels`` are (column, row), of shape (N, 2).
        """
        points = transform_points(self._transform, pixels)
        if self._crs.is_geographic:
            points = points * self._crs.units_factor[1]
        else:
            points = reproject_points(self._crs, self._degrees, points)
            points = np.radians(points)
        east, north = points.T
        flat, up = np.cos(north), np.sin(north)
        upward = np.stack([flat * np.cos(east), flat * np.sin(east), up], 1)
        radius = self._a / np.sqrt(1 - self._e2 * up**2)[:, None]
        return radius * upward * [1, 1, 1 - self._e2], upward


def _hats(length: int, cells: int) -> np.ndarray:
    """Integrals of a lattice's linear basis functions along one side.

    Returns:
        Shape (length + 1, cells + 1): of each node's function, from pixel 0
        to each pixel's edge, in pixels.
    """
    node = np.arange(cells + 1)

    def below(edge):
        t = np.clip(edge - node + 1, 0, 2)
        return np.where(t < 1, t**2 / 2, 1 - (2 - t) ** 2 / 2)

    edges = np.arange(length + 1)[:, None] * (cells / length)
    return (below(edges) - below(0)) * (length / cells)


def count_hectares(
    values: np.ndarray, pixels: np.ndarray, count: int
) -> np.ndarray:
    """Return the hectares of each value below ``count``, shape (count,).

    Args:
        values: Any shape.
        pixels: Hectares of each of them.
        count: Number of values.
    """
    keys = np.minimum(values, count).ravel()  # all others together
    return np.bincount(keys, pixels.ravel(), count + 1)[:count]


def transform_points(transform, points: np.ndarray) -> np.ndarray:
    """Return the coordinates of (column, row), both of shape (N, 2)."""
    t = transform
    linear = np.array([[t.a, t.b], [t.d, t.e]])
    return np.asarray(points) @ linear.T + [t.c, t.f]


def reproject_points(
    source: CRS, target: CRS, points: np.ndarray
) -> np.ndarray:
    """Return points in another coordinate system, both of shape (N, 2).

    Those that are not in it are NaN. Longitude comes before latitude, and
    east before north, whatever the coordinate system says.

    Raises:
        ValueError: Nothing leads from one system to the other, as from a
            local one to any.
    """
    transform = _transformer(source, target).transform
    found = np.stack(transform(*np.transpose(points)), 1)
    return np.where(np.isfinite(found), found, np.nan)


@functools.lru_cache(maxsize=8)  # to make one takes 10 ms
def _transformer(source: CRS, target: CRS) -> pyproj.Transformer:
    try:
        return pyproj.Transformer.from_crs(source, target, always_xy=True)
    except ProjError as error:
        raise ValueError(
            f'{crs_label(source)} cannot be transformed to '
            f'{crs_label(target)}; check the coordinate systems of both files'
        ) from error


def format_hectares(hectares: Mapping[str, float]) -> str:
    """Lay out hectares and shares of the whole as a table of text."""
    total = sum(hectares.values())
    names = [*hectares, 'total']
    wide = max(map(len, names))
    return '\n'.join(
        f'{name:<{wide}}  {value:>14,.2f} ha  {_share(value, total):6.2%}'
        for name, value in zip(names, [*hectares.values(), total])
    )


def write_hectares(
    hectares: Mapping[str, float], path: Union[str, Path]
) -> None:
    """Write class, hectares and share of the whole as CSV."""
    total = sum(hectares.values())
    rows = (
        (name, f'{value:.4f}', f'{_share(value, total):.6f}')
        for name, value in hectares.items()
    )
    write_csv(path, ('class', 'hectares', 'share'), rows)


def _share(value: float, total: float) -> float:
    return value / total if total else 0.0
