"""Masks as COCO's annotation files hold them, without pycocotools.

Nothing is lost: a mask without holes is written as polygons along the pixel
edges, which decode to the very same pixels; a mask with a hole, which COCO
polygons cannot express, is written as an uncompressed RLE.
"""

from typing import Dict, List, Sequence, Tuple, Union

import numpy as np


def mask_to_segmentation(
    mask: np.ndarray,
) -> Union[List[List[int]], Dict[str, List[int]]]:
    """Write a mask as COCO's ``segmentation``, without loss.

    Args:
        mask: ``(H, W)`` bool, with at least one pixel set.

    Returns:
        Polygons along the pixel edges where the mask has no holes, an
        uncompressed RLE where it has.
    """
    loops = _edge_loops(mask)
    # Outlines run clockwise, holes the other way round.
    if all(_signed_area(loop) > 0 for loop in loops):
        return [[int(z) for point in loop for z in point] for loop in loops]
    return dict(counts=_run_lengths(mask), size=[int(n) for n in mask.shape])


def bounding_box(mask: np.ndarray) -> List[int]:
    """Give COCO's ``[x, y, width, height]`` of a mask."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    x, y = int(columns[0]), int(rows[0])
    return [x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y]


def _edge_loops(mask: np.ndarray) -> List[List[Tuple[int, int]]]:
    """Follow the edges between set and unset pixels.

    Args:
        mask: ``(H, W)`` bool.

    Returns:
        Closed loops of corner points ``(x, y)``, in pixel-edge coordinates,
        with the set pixels on the right-hand side (y points down).
    """
    padded = np.pad(mask, 1)
    turns: Dict[Tuple[int, int], List[Tuple[int, int]]] = {}
    # For each side of a pixel: where its neighbour is, where the edge starts
    # in the pixel's own square, and where it leads.
    for (dy, dx), (sx, sy), step in (
        ((-1, 0), (0, 0), (1, 0)),  # upper side, to the right
        ((0, 1), (1, 0), (0, 1)),  # right side, down
        ((1, 0), (1, 1), (-1, 0)),  # lower side, to the left
        ((0, -1), (0, 1), (0, -1)),  # left side, up
    ):
        neighbour = np.roll(padded, (-dy, -dx), (0, 1))[1:-1, 1:-1]
        for y, x in np.argwhere(mask & ~neighbour).tolist():
            turns.setdefault((x + sx, y + sy), []).append(step)

    loops = []
    while turns:
        # The first upper side that is left, by rows: a true corner, because
        # an edge leading straight into it would have come before it.
        start = point = next(iter(turns))
        step = turns[start][0]
        loop = [start]
        while True:
            turns[point].remove(step)
            if not turns[point]:
                del turns[point]
            point = (point[0] + step[0], point[1] + step[1])
            ahead = turns.get(point, [])
            # Where two pixels touch at a corner, the turn to the right stays
            # at the same pixel, which tells the two apart.
            right = (-step[1], step[0])
            turn = right if right in ahead else (ahead or [None])[0]
            if point == start and turn != right:
                break
            if turn != step:
                loop.append(point)
            step = turn
        loops.append(loop)
    return loops


def _signed_area(loop: Sequence[Tuple[int, int]]) -> float:
    x, y = np.asarray(loop, dtype=np.float64).T
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2)


def _run_lengths(mask: np.ndarray) -> List[int]:
    """Give COCO's uncompressed counts: columns first, zeros first."""
    flat = np.concatenate([[0], mask.T.reshape(-1), [0]]).astype(np.int8)
    changes = np.flatnonzero(np.diff(flat))
    bounds = np.concatenate([[0], changes, [mask.size]])
    counts = np.diff(bounds).tolist()
    # The mask may end with ones; then the last run of zeros is empty.
    return counts if counts[-1] else counts[:-1]
