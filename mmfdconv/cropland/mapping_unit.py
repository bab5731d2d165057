"""A minimum mapping unit: merge small areas into their neighbours."""

from typing import Any

import cv2
import numpy as np
from rasterio import features

from .raster import NODATA

__all__ = ['sieve', 'sieve_pairs']

_ROUNDS = 10  # of a sieve; what is merged may still be small


def sieve(values: np.ndarray, pixels: int) -> np.ndarray:
    """Give areas of few pixels to the largest area beside them.

    Pixels are connected along edges. An area that has only pixels without
    data beside it stays.

    Args:
        values: Classes, uint8, shape (H, W), 255 without data.
        pixels: Number of pixels of the smallest area that stays.
    """
    if pixels <= 1:
        return values
    known = values != NODATA
    for _ in range(_ROUNDS):
        found: Any = features.sieve(values, pixels, mask=known)
        # GDAL counts areas before it merges: some are small again.
        if np.array_equal(found, values):
            break
        values = found
    return np.where(known, values, NODATA).astype(np.uint8)


def sieve_pairs(
    pairs: np.ndarray, kinds: np.ndarray, pixels: int
) -> np.ndarray:
    """Sieve what became of pixels; the classes before and after follow.

    A pixel whose kind changes takes the pair of classes that is most frequent
    among the pixels of the new kind that touch its area.

    Args:
        pairs: Numbers of pairs of classes, uint16, shape (H, W).
        kinds: Kind of each pair, uint8, shape (65536,), 255 without data.
        pixels: Number of pixels of the smallest area that stays.

    Returns:
        Pairs, of the same shape.
    """
    before = kinds[pairs]
    after = sieve(before, pixels)
    moved = before != after
    result = pairs.copy()
    for kind in np.unique(after[moved]):
        stays = (after == kind) & ~moved
        mask = ((after == kind) & moved).view(np.uint8)
        count, areas = cv2.connectedComponents(mask, connectivity=4)
        votes = np.concatenate(
            [
                _votes(*ends, stays, pairs)
                for one, other in (
                    (np.s_[1:], np.s_[:-1]),
                    (np.s_[:, 1:], np.s_[:, :-1]),
                )
                for ends in ((areas, one, other), (areas, other, one))
            ]
        )
        found, votes = np.unique(votes, return_counts=True)
        found = found[np.argsort(votes, kind='stable')]
        winner = np.zeros(count, np.uint16)
        winner[found >> 16] = found & 0xFFFF  # of several the last one stays
        result[areas > 0] = winner[areas[areas > 0]]
    return result


def _votes(areas, here, there, stays, pairs) -> np.ndarray:
    """Number of an area, and below it the pair that touches it, one each."""
    touch = (areas[here] > 0) & stays[there]
    return (areas[here][touch].astype(np.int64) << 16) | pairs[there][touch]
