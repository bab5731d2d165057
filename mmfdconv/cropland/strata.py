"""Draw a stratified sample of places from a map, to be labelled by eye.

Paper: Olofsson et al. 2014, section 5.1. The strata are the classes of the
map. The size of the sample follows from the wanted standard error (Cochran's
formula, Eq. (13)). Rare strata get a minimum of points, and the others share
the rest in proportion to their areas. A map of change has one more stratum,
the pixels near change. Most changes that a map omits are there, and an omitted
change in a large stratum makes the interval much wider.
"""

from typing import Dict, Iterator, List, NamedTuple, Tuple

import cv2
import numpy as np

from .area import PixelAreas, count_hectares
from .change import GAINED, KINDS, LOST
from .raster import NODATA, MapReader

__all__ = ['Drawn', 'Strata', 'allocate', 'draw', 'measure', 'sample_size']

BESIDE = 'beside change'
# User's accuracies that are expected: of what changed, beside it, of the rest.
EXPECTED = 0.7, 0.8, 0.9


class Strata:
    """The strata of a map, row by row.

    Args:
        grid: The map, open.
        beside: Pixels from change up to which places are a stratum of their
            own; 0 makes none. Maps of classes have none.

    Raises:
        ValueError: ``beside`` is negative.

    Attributes:
        names: H names: the map's classes, and the one beside change.
        expected: User's accuracies to expect, shape (H,).
    """

    def __init__(self, grid: MapReader, beside: int = 3) -> None:
        if beside < 0:
            raise ValueError(f'--buffer: must not be below 0, but is {beside}')
        self._grid = grid
        self.names: List[str] = [*grid.names]
        of_change = grid.names[: len(KINDS)] == [*KINDS]
        self._beside = beside if of_change else 0
        changed, near, rest = EXPECTED
        self.expected = np.full(len(self.names), rest)
        if of_change:
            self.expected[[LOST, GAINED]] = changed
        if self._beside:
            self.names.append(BESIDE)
            self.expected = np.append(self.expected, near)

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return the strata of some rows, 255 without data, (rows, W)."""
        more = self._beside
        top, bottom = max(0, start - more), min(self._grid.height, stop + more)
        found = self._grid.read_numbers(top, bottom)
        if more:
            changed = (found == LOST) | (found == GAINED)
            side = np.ones((2 * more + 1, 2 * more + 1), np.uint8)
            near = cv2.dilate(changed.view(np.uint8), side) > 0
            found[near & ~changed & (found != NODATA)] = len(self.names) - 1
        return found[start - top : len(found) - (bottom - stop)]

    def pieces(
        self, areas: PixelAreas
    ) -> Iterator[Tuple[int, np.ndarray, np.ndarray]]:
        """Yield first row, strata and hectares of pixels, all over the map."""
        for top, bottom in self._grid.spans():
            yield top, self.read(top, bottom), areas.pixels(top, bottom)


def measure(
    strata: Strata, areas: PixelAreas
) -> Tuple[np.ndarray, np.ndarray]:
    """Return hectares and number of pixels of each stratum, both (H,)."""
    count = len(strata.names)
    hectares, pixels = np.zeros(count), np.zeros(count, int)
    for _, found, size in strata.pieces(areas):
        hectares += count_hectares(found, size, count)
        pixels += np.bincount(found.ravel(), minlength=256)[:count]
    return hectares, pixels


def sample_size(
    hectares: np.ndarray, expected: np.ndarray, error: float
) -> int:
    """Return how many points give a standard error of overall accuracy.

    Cochran's formula for a map, where the population is large: the square of
    ``sum_h W_h sqrt(U_h (1 - U_h)) / error``.

    Args:
        hectares: Areas of the strata; divided by their sum, ``W_h``.
        expected: User's accuracies ``U_h``.
        error: The standard error, as a share.

    Raises:
        ValueError: A value is not between 0 and 1.
    """
    if not 0 < error < 1:
        raise ValueError(
            f'--standard-error: must lie between 0 and 1, but is {error}'
        )
    if ((expected <= 0) | (expected >= 1)).any():
        raise ValueError(
            "--expected: user's accuracies must lie between 0 and 1, but are "
            f'{", ".join(f"{value:g}" for value in expected)}'
        )
    weights = hectares / hectares.sum()
    spread = (weights * np.sqrt(expected * (1 - expected))).sum()
    return int(np.ceil((spread / error) ** 2))


def allocate(
    total: int, hectares: np.ndarray, pixels: np.ndarray, least: int
) -> np.ndarray:
    """Share points out over strata, shape (H,).

    Those whose part by area is below ``least`` get that many, and the others
    share what remains by their areas, each getting at least as many.

    Args:
        total: Points in all; more where ``least`` for each comes to more.
        hectares: Areas of the strata.
        pixels: Numbers of pixels; no stratum gets more points.
        least: Smallest number of points of a stratum that is on the map.

    Raises:
        ValueError: ``least`` is below 2, which no interval follows from.
    """
    if least < 2:
        raise ValueError(f'--min-points: must be at least 2, but is {least}')
    points = np.zeros(len(hectares), int)
    rare = np.zeros(len(hectares), bool)
    there = pixels > 0
    while True:
        common = there & ~rare
        share = np.where(common, hectares, 0)
        rest = max(0, total - least * int(rare.sum()))
        points = np.where(rare, least, 0)
        if not common.any():
            break
        points = points + rest * share / share.sum()
        fewer = common & (points < least)
        if not fewer.any():
            break
        rare |= fewer
    return np.minimum(np.ceil(points).astype(int), pixels)


class Drawn(NamedTuple):
    """Places of a sample, in random order.

    Attributes:
        pixels: (column, row), shape (N, 2).
        stratum: Number of each one's stratum, shape (N,).
    """

    pixels: np.ndarray
    stratum: np.ndarray


def draw(
    strata: Strata, areas: PixelAreas, points: np.ndarray, seed: int
) -> Drawn:
    """Draw pixels within strata, the more likely the larger they are.

    So each place on the ground is as likely as any other of its stratum, in
    any projection. Pixels draw exponential times with their hectares as
    rates, and the first ones are taken (Efraimidis and Spirakis 2006,
    Weighted random sampling with a reservoir): one pass over the map, with a
    result that does not depend on the pieces it is read in.

    Args:
        strata: The strata.
        areas: Areas of the map's pixels.
        points: How many of each stratum, shape (H,).
        seed: Seed of the random numbers.
    """
    rng = np.random.default_rng(seed)
    kept: Dict[int, Tuple[np.ndarray, np.ndarray]] = {}
    for top, found, size in strata.pieces(areas):
        times = rng.standard_exponential(found.shape) / size
        for h in np.flatnonzero(points):
            last, at = kept.get(h, (np.zeros(0), np.zeros((0, 2), int)))
            # Later ones than those that are kept have no chance.
            limit = last.max() if len(last) == points[h] else np.inf
            row, column = np.nonzero((found == h) & (times < limit))
            last = np.append(last, times[row, column])
            at = np.concatenate([at, np.stack([column, row + top], 1)])
            first = np.argsort(last, kind='stable')[: points[h]]
            kept[h] = last[first], at[first]
    stratum = np.repeat([*kept], [len(at) for _, at in kept.values()])
    pixels = np.concatenate([at for _, at in kept.values()])
    order = rng.permutation(len(pixels))
    return Drawn(pixels[order], stratum[order])
