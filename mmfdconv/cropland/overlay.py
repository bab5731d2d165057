"""Two class maps read on the grid of the earlier one."""

import contextlib
import math
from typing import Any, Callable, Iterator, Optional, Tuple

import numpy as np
from affine import Affine
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from .area import reproject_points, transform_points
from .files import read_window
from .raster import NODATA, MapReader

__all__ = ['Overlay']

POINTS = 33  # along either side, to see where a map lies on the other
MAX_PARTS = 16
ALIKE = 1.1  # ratio of pixels' sides up to which resolutions are the same


class Overlay(contextlib.AbstractContextManager):
    """Rows of both maps as class numbers, on the grid of ``before``.

    A pixel has the class that its middle lies in. A later map of smaller
    pixels is read at ``parts`` x ``parts`` places in each pixel, which takes
    the most frequent class: maps of large pixels are made so, too.

    Args:
        before: The earlier map.
        after: The later one, on any grid in any coordinate system.

    Raises:
        ValueError: The maps show different places.

    Attributes:
        before_classes: Names, by the numbers that are read.
        after_classes: The later map's, spelled like those of ``before``.
        parts: Places in a pixel along either side.
        ratio: Side of a pixel of ``before`` over that of ``after``.
    """

    def __init__(self, before: MapReader, after: MapReader) -> None:
        self._before, self._after = before, after
        self.before_classes = [*before.names]
        spelled = {name.casefold(): name for name in before.names}
        self.after_classes = [
            spelled.get(name.casefold(), name) for name in after.names
        ]
        self.ratio = self._pixel_ratio()
        self.parts = 1
        if self.ratio > ALIKE:
            self.parts = min(math.ceil(self.ratio / ALIKE), MAX_PARTS)
        self._near = [turn for turn in self._turns() if self._touches(turn)]
        if not self._near:
            raise ValueError(
                f'{before.path} and {after.path} do not overlap: they show '
                'different places'
            )
        self._stack = contextlib.ExitStack()
        self._read_after = self._stack.enter_context(
            self.warp(after.dataset, after.nodata)
        )

    def read(self, start: int, stop: int) -> Tuple[np.ndarray, np.ndarray]:
        """Return class numbers of some rows, 255 where there is no data.

        Returns:
            The earlier map's, shape (rows, W), and the later map's, shape
            (rows * parts, W * parts), both uint8.
        """
        return (
            self._before.read_numbers(start, stop),
            self._after.number(self._read_after(start, stop)),
        )

    def most_frequent(
        self, old: np.ndarray, new: np.ndarray, cropland: Tuple[int, int]
    ) -> np.ndarray:
        """Return the later map's class of each pixel, uint8, (rows, W).

        It is that of most places that have data, and none where most places
        have none. As much cropland as of another class is no change.

        Args:
            old: The earlier map's classes, as :meth:`read` gives them.
            new: The later map's.
            cropland: Which class is cropland in either map.
        """
        n, count = self.parts, len(self.after_classes)
        if n == 1:
            return new
        pixel = np.arange(old.size).reshape(old.shape) * (count + 1)
        keys = pixel.repeat(n, 0).repeat(n, 1) + np.minimum(new, count)
        votes = np.bincount(keys.ravel(), minlength=old.size * (count + 1))
        votes = votes.reshape(*old.shape, count + 1)
        unknown, votes = votes[..., -1], 2 * votes[..., :-1]
        votes[..., cropland[1]] += np.where(old == cropland[0], 1, -1)
        found = votes.argmax(-1).astype(np.uint8)
        found[2 * unknown > n * n] = NODATA
        return found

    @contextlib.contextmanager
    def warp(
        self, dataset: Any, nodata: int
    ) -> Iterator[Callable[[int, int], np.ndarray]]:
        """Read a raster at the places where the later map is read.

        Args:
            dataset: On the grid of the later map.
            nodata: Its value without data.

        Yields:
            What takes rows of the earlier map, the first and that behind the
            last, and returns values, shape (rows * parts, W * parts).
        """
        width, n = self._before.width, self.parts

        def read(start: int, stop: int) -> np.ndarray:
            window = Window(0, start * n, width * n, (stop - start) * n)
            values = read_window(turned[0], 1, window)
            for other in turned[1:]:
                gaps = values == nodata
                values[gaps] = read_window(other, 1, window)[gaps]
            return values

        with contextlib.ExitStack() as stack:
            turned = [
                stack.enter_context(self._warp(dataset, nodata, turn))
                for turn in self._near
            ]
            yield read

    def describe(self) -> Optional[str]:
        """Say what becomes of different resolutions, where they differ."""
        if 1 / ALIKE <= self.ratio <= ALIKE:
            return None
        wide, narrow = self._before.path, self._after.path
        ratio = self.ratio
        if ratio < 1:
            wide, narrow, ratio = narrow, wide, 1 / ratio
        said = (
            f'resolutions differ: a pixel of {wide} is {ratio:.1f} times as '
            f'wide as one of {narrow}. '
        )
        if self.parts > 1:
            return said + (
                'Each large pixel gets the most frequent class of the later '
                'map'
            )
        return said + (
            'Each small pixel is compared with the large one that contains '
            'its centre. Large pixels at the edges of fields mix classes, '
            'which counts as lost or gained cropland; only the net change '
            '(gained minus lost) is free of this error'
        )

    def __exit__(self, *error) -> None:
        self._stack.close()  # the maps stay open

    def _warp(self, dataset: Any, nodata: int, turn: float) -> WarpedVRT:
        before, n = self._before, self.parts
        turned = Affine.translation(turn, 0) * self._after.transform
        return WarpedVRT(
            dataset,
            src_transform=turned if turn else None,
            crs=before.crs,
            transform=before.transform * Affine.scale(1 / n),
            width=before.width * n,
            height=before.height * n,
            resampling=Resampling.nearest,
            src_nodata=nodata,
            nodata=nodata,
            warp_mem_limit=64,
        )

    def _pixel_ratio(self) -> float:
        """Square root of how many pixels of ``after`` one of ``before`` is.

        The median over the grid.
        """
        before, after = self._before, self._after
        corners = _lattice(before.width, before.height)
        sides = []
        for step in ([0, 0], [1, 0], [0, 1]):
            points = transform_points(before.transform, corners + step)
            points = reproject_points(before.crs, after.crs, points)
            sides.append(transform_points(~after.transform, points))
        east, south = sides[1] - sides[0], sides[2] - sides[0]
        pixels = np.abs(east[:, 0] * south[:, 1] - east[:, 1] * south[:, 0])
        pixels = pixels[np.isfinite(pixels)]
        return math.sqrt(np.median(pixels)) if len(pixels) else 1.0

    def _turns(self) -> Iterator[float]:
        """Yield what may be added to the later map's longitudes.

        Longitudes of 181 and -179 degrees are one, and GDAL takes them for
        two.
        """
        before, after = self._before, self._after
        if not after.crs.is_geographic:
            yield 0
            return
        circle = round(2 * math.pi / after.crs.units_factor[1], 6)
        ranges = [(-circle / 2, circle / 2)]
        if before.crs.is_geographic:
            unit = before.crs.units_factor[1] / after.crs.units_factor[1]
            ranges.append(_longitudes(before, unit))
        low, high = _longitudes(after)
        for turn in (0, -circle, circle):
            for left, right in ranges:
                if low + turn < right and high + turn > left:
                    yield turn
                    break

    def _touches(self, turn: float) -> bool:
        """Whether the later map may lie on the grid of the earlier one."""
        before, after = self._before, self._after
        points = transform_points(
            Affine.translation(turn, 0) * after.transform,
            _lattice(after.width, after.height),
        )
        if before.crs != after.crs:
            points = reproject_points(after.crs, before.crs, points)
        points = transform_points(~before.transform, points)
        points = points[np.isfinite(points).all(1)]
        if not len(points):
            return False
        low, high = points.min(0), points.max(0)
        bulge = 0.02 * (high - low) if before.crs != after.crs else 0
        size = (before.width, before.height)
        return bool((low - bulge < size).all() and (high + bulge > 0).all())


def _lattice(width: int, height: int) -> np.ndarray:
    """Points all over a grid, (column, row), shape (N, 2)."""
    sides = np.linspace(0, width, POINTS), np.linspace(0, height, POINTS)
    return np.stack(np.meshgrid(*sides), -1).reshape(-1, 2)


def _longitudes(grid: MapReader, unit: float = 1.0) -> Tuple[float, float]:
    corners = np.array([[0, 0], [1, 0], [0, 1], [1, 1]])
    corners = corners * [grid.width, grid.height]
    east = transform_points(grid.transform, corners)[:, 0] * unit
    return east.min(), east.max()
