"""Cutting scenes into tiles: where they lie, which split they go to.

Pure functions of numbers, names and arrays. Files are the business of
:mod:`.tile_writer`.
"""

import hashlib
from typing import Dict, List, Mapping, Sequence, Tuple

import numpy as np


def tile_grid(height: int, width: int, size: int) -> Tuple[int, int]:
    """Count the whole tiles of a scene, side by side from its upper left.

    What is left at the right and at the bottom is dropped: a GF-2 scene of
    6800x7200 gives 13 rows of 14 tiles of 512x512.

    Args:
        height: Rows of the scene.
        width: Columns of the scene.
        size: Side of a tile.

    Returns:
        The number of rows and of columns of tiles.

    Raises:
        ValueError: The size is none, or the scene is smaller than a tile.
    """
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise ValueError(f'tile_size must be a positive integer, got {size!r}')
    if height < size or width < size:
        raise ValueError(
            f'{height}x{width} is smaller than a tile of {size}x{size}'
        )
    return height // size, width // size


def assign_splits(
    groups: Mapping[str, str], fractions: Mapping[str, float], seed: int
) -> Dict[str, str]:
    """Draw a split for each name; names of one group stay together.

    The order of the draw is that of hashes of seed and group, which depends
    on no library and on no machine. Splits get whole groups, as near to their
    fractions of the names as these allow, and at least one.

    Args:
        groups: The group of each name.
        fractions: What each split gets; they add up to 1.
        seed: Another one draws otherwise.

    Returns:
        The split of each name.

    Raises:
        ValueError: Fractions are wrong, or there are fewer groups than splits.
    """
    values = list(fractions.values())
    if min(values) <= 0 or abs(sum(values) - 1) > 1e-6:
        raise ValueError(
            f'fractions must be positive and add up to 1, got {values}'
        )
    members: Dict[str, List[str]] = {}
    for name, group in groups.items():
        members.setdefault(group, []).append(name)
    if len(members) < len(fractions):
        raise ValueError(
            f'fractions: {", ".join(fractions)} need at least '
            f'{len(fractions)} scenes or groups, got {len(members)} '
            f'({", ".join(members)})'
        )
    drawn: Dict[str, List[str]] = {split: [] for split in fractions}
    ends = np.cumsum(values) / sum(values)
    before = 0
    for group in sorted(members, key=lambda name: _draw(seed, name)):
        size = len(members[group])
        middle = (before + size / 2) / len(groups)
        before += size
        index = min(int(np.searchsorted(ends, middle)), len(ends) - 1)
        drawn[list(fractions)[index]].append(group)
    for chosen in drawn.values():
        if not chosen:  # there are few groups: the largest split gives one
            chosen.append(max(drawn.values(), key=len).pop())
    return {
        name: split
        for split, chosen in drawn.items()
        for group in chosen
        for name in members[group]
    }


def _draw(seed: int, name: str) -> bytes:
    return hashlib.sha256(f'{seed}:{name}'.encode()).digest()


def colours_to_ids(
    colours: np.ndarray, palette: Sequence[Sequence[int]]
) -> np.ndarray:
    """Translate a label image's colours to class ids.

    Args:
        colours: RGB array (3, H, W), uint8.
        palette: The colour of each class; the position is the id.

    Returns:
        uint8 array (H, W).

    Raises:
        UnknownValueError: A pixel has none of the colours.
    """
    red, green, blue = colours[:3].astype(np.uint32)
    codes = red << 16 | green << 8 | blue  # (H, W)
    ids = np.full(codes.shape, 255, np.uint8)
    for index, (r, g, b) in enumerate(palette):
        ids[codes == (r << 16 | g << 8 | b)] = index
    if (ids == 255).any():
        row, column = (int(k) for k in np.argwhere(ids == 255)[0])
        colour = tuple(int(value) for value in colours[:3, row, column])
        raise UnknownValueError(f'colour {colour}', row, column)
    return ids


def values_to_ids(
    values: np.ndarray, ids_of: Sequence[Sequence[int]]
) -> np.ndarray:
    """Translate a mask's values to class ids.

    Args:
        values: Array (H, W).
        ids_of: The values of each class; the position is the id.

    Returns:
        uint8 array (H, W).

    Raises:
        UnknownValueError: A pixel has none of the values.
    """
    ids = np.full(values.shape, 255, np.uint8)
    for index, known in enumerate(ids_of):
        ids[np.isin(values, known)] = index
    if (ids == 255).any():
        row, column = (int(k) for k in np.argwhere(ids == 255)[0])
        raise UnknownValueError(f'value {values[row, column]}', row, column)
    return ids


class UnknownValueError(ValueError):
    """A label that no class has, where it is, and perhaps why."""

    def __init__(self, what: str, row: int, column: int) -> None:
        super().__init__(what, row, column)
        self.what, self.row, self.column = what, row, column
        self.hint = ''
