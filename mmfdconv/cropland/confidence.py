"""Confidence of two maps, on the grid of the earlier one."""

import contextlib
import re
from pathlib import Path
from typing import Any, List, Optional, Sequence, Tuple, Union

import numpy as np
from rasterio.windows import Window

from .files import open_raster, read_window
from .overlay import Overlay
from .raster import NODATA, MapReader

__all__ = ['MAP_TAG', 'Confidence', 'check_min_confidence', 'find_confidence']

#: Tag of a map and of its confidence: a checksum of the classes that the model
#: decided on. What is left from an earlier map beside a new one has another.
MAP_TAG = 'MMFDCONV_MAP'


def check_min_confidence(percent: Optional[float]) -> None:
    """Check a lower limit of confidence.

    Raises:
        ValueError: It is not above 0 and at most 100.
    """
    if percent is not None and not 0 < percent <= 100:
        raise ValueError(
            '--min-confidence: must lie above 0 and up to 100 percent, but '
            f'is {percent}'
        )


def find_confidence(
    maps: Sequence[Union[str, Path]], needed: bool = False
) -> Optional[List[Path]]:
    """Return the file with the confidence of each map.

    For ``NAME_classes.tif`` it is ``NAME_confidence.tif`` in the same folder.

    Args:
        maps: The maps, ``NAME_classes.tif``.
        needed: Whether a missing file is an error.

    Returns:
        The files, or ``None`` if one is missing.

    Raises:
        ValueError: A file is needed but missing.
    """
    found = []
    for path in map(Path, maps):
        name = re.sub('(_classes)?$', '_confidence', path.stem, count=1)
        beside = path.with_name(f'{name}{path.suffix}')
        if beside.is_file():
            found.append(beside)
        elif needed:
            raise ValueError(
                f'--min-confidence: {path} has no {beside.name} beside it; '
                'write it with map_scene.py --confidence, or name both with '
                '--confidence BEFORE AFTER'
            )
    return found if len(found) == len(maps) else None


class Confidence(contextlib.AbstractContextManager):
    """Context of the confidence of both maps, in percent.

    Args:
        paths: The earlier map's and the later one's, each on the grid of its
            map.
        maps: The maps.
        overlay: The overlay of the maps.
        least: Percent, below which a class is unsure; ``None`` takes all.

    Raises:
        ValueError: A file is no such raster, or on another grid.
    """

    def __init__(
        self,
        paths: Sequence[Union[str, Path]],
        maps: Sequence[MapReader],
        overlay: Overlay,
        least: Optional[float] = None,
    ) -> None:
        self._paths, self._overlay, self._least = paths, overlay, least
        self._stack = contextlib.ExitStack()
        with self._stack:  # closes what is open, should the other be wrong
            self._before, after = (
                self._stack.enter_context(_open(path, source))
                for path, source in zip(paths, maps)
            )
            self._after = self._stack.enter_context(
                overlay.warp(after, NODATA)
            )
            self._stack = self._stack.pop_all()

    def read(self, start: int, stop: int) -> Tuple[np.ndarray, np.ndarray]:
        """Return percent, uint8, in the shapes of :meth:`Overlay.read`.

        Raises:
            ValueError: A value is not a percentage.
        """
        window = Window(0, start, self._before.width, stop - start)
        found = (
            read_window(self._before, 1, window),
            self._after(start, stop),
        )
        for path, values in zip(self._paths, found):
            wrong = values[(values > 100) & (values != NODATA)]
            if len(wrong):
                raise ValueError(
                    f'{path} is no confidence in percent: it has the value '
                    f'{wrong[0]}, and only {NODATA}, without data, may lie '
                    'above 100'
                )
        return found

    def hide(
        self,
        classes: Sequence[np.ndarray],
        percent: Sequence[np.ndarray],
        unsure: Sequence[Optional[int]],
    ) -> None:
        """Make pixels unsure, in place, whose confidence is low or missing.

        Args:
            classes: Class numbers of either map.
            percent: What :meth:`read` returned for them.
            unsure: Number of the class in either map.
        """
        if self._least is None:
            return
        for values, sure, number in zip(classes, percent, unsure):
            low = (sure < self._least) | (sure == NODATA)
            values[low & (values != NODATA)] = number

    def lowest(self, percent: Sequence[np.ndarray]) -> np.ndarray:
        """Return the smaller percentage of both maps, uint8, (rows, W).

        Of a later map of smaller pixels it is their mean in a pixel. Where
        either has none it is 255.
        """
        old, new = percent
        n = self._overlay.parts
        parts = new.reshape(len(old), n, -1, n)
        known = parts != NODATA
        count = known.sum((1, 3))
        total = np.where(known, parts, 0).sum((1, 3))
        mean = np.round(total / np.maximum(count, 1))
        lowest = np.minimum(old, mean).astype(np.uint8)
        lowest[(old == NODATA) | (count == 0)] = NODATA
        return lowest

    def __exit__(self, *error) -> None:
        self._stack.close()


def _map_tags(dataset: Any) -> List[str]:
    """The checksum of a map, if the file has one."""
    tags = dataset.tags()
    return [tags[MAP_TAG]] if MAP_TAG in tags else []


def _open(path: Union[str, Path], grid: MapReader) -> Any:
    """Open a raster and see that it belongs to a map."""
    dataset = open_raster(path)
    problem = None
    if dataset.count != 1 or dataset.dtypes[0] != 'uint8':
        problem = (
            f'it has {dataset.count} bands of {dataset.dtypes[0]}, and '
            'should have one of uint8, in percent'
        )
    elif (
        dataset.crs != grid.crs
        or dataset.shape != (grid.height, grid.width)
        or not np.allclose(dataset.transform, grid.transform, 1e-9, 1e-12)
    ):
        problem = 'it is on another grid than the map'
    elif len({*_map_tags(dataset), *_map_tags(grid.dataset)}) > 1:
        problem = 'it was made with another map, perhaps an earlier one'
    if problem:
        dataset.close()
        raise ValueError(
            f'{path} is not the confidence of {grid.path}: {problem}. Rename '
            'it, or name the right ones with --confidence BEFORE AFTER'
        )
    return dataset
