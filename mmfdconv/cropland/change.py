"""Cropland lost and gained between two maps."""

import contextlib
import csv
from pathlib import Path
from typing import (
    Any,
    Callable,
    Dict,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    Union,
)

import numpy as np

from .area import PixelAreas, count_hectares
from .atomic import Outputs
from .confidence import Confidence, check_min_confidence
from .legend import UNSURE, find_cropland
from .overlay import Overlay
from .quicklook import write_quicklook
from .raster import NODATA, MapReader, RowWriter, environment
from .vector import PolygonCount, write_polygons

__all__ = ['Change', 'compare', 'format_change']

PIXELS = 1 << 22  # of the later map, read at once
# Called with rows done since the last call, and rows in all.
Progress = Callable[[int, int], Any]
# Class name by value.
Classes = Dict[int, str]
NEVER, KEPT, LOST, GAINED, OPEN = range(5)
# A map with pixels that either map is unsure of has one more, ``unsure``.
KINDS = ('no cropland', 'cropland kept', 'cropland lost', 'cropland gained')
PALETTE = (
    (225, 225, 220),
    (120, 180, 90),
    (215, 40, 40),
    (40, 90, 200),
    (150, 150, 150),
)


class Change(NamedTuple):
    """What two maps say of the cropland where both have data.

    Attributes:
        files: Written files by kind: ``map``, ``polygons``, ``quicklook``,
            ``table``, and ``confidence`` where that of the maps was given.
        before_classes: Names of the earlier map's classes, K of them.
        after_classes: Names of the later one's, N of them.
        cropland: Which of either is cropland, as an index.
        hectares: Shape (K, N), from the row's class to the column's.
        drawn: Hectares of each kind in the map, in the order of
            :meth:`kinds`. It has one value for each pixel, so they differ
            from :meth:`kinds` where the later map has smaller ones.
        polygons: Count of the polygons.
        notes: Sentences on what to know of the two maps.
        unsure: Which class of either is ``unsure``, if one is.
    """

    files: Dict[str, Path]
    before_classes: List[str]
    after_classes: List[str]
    cropland: Tuple[int, int]
    hectares: np.ndarray
    drawn: np.ndarray
    polygons: Optional[PolygonCount] = None
    notes: Tuple[str, ...] = ()
    unsure: Tuple[Optional[int], Optional[int]] = (None, None)

    @property
    def names(self) -> Tuple[str, ...]:
        """What becomes of pixels, by value of the map of changes."""
        return KINDS + (UNSURE,) * (self.unsure != (None, None))

    @property
    def sure(self) -> np.ndarray:
        """The hectares without what either map is unsure of, (K, N)."""
        sure = self.hectares.copy()
        for axis, index in enumerate(self.unsure):
            if index is not None:
                np.moveaxis(sure, axis, 0)[index] = 0
        return sure

    def kinds(self) -> Dict[str, float]:
        """Return hectares that never were cropland, kept, lost, gained.

        And those that either map is unsure of, where a map has that class.
        """
        i, j = self.cropland
        sure = self.sure
        kept = sure[i, j]
        lost = sure[i].sum() - kept
        gained = sure[:, j].sum() - kept
        never = sure.sum() - kept - lost - gained
        unsure = self.hectares.sum() - sure.sum()
        return dict(zip(self.names, (never, kept, lost, gained, unsure)))


def compare(
    before: Union[str, Path],
    after: Union[str, Path],
    prefix: Union[str, Path],
    cropland: Sequence[Optional[str]] = (None, None),
    classes: Optional[Classes] = None,
    overrides: Sequence[Optional[Classes]] = (None, None),
    min_area: float = 0.1,
    confidence: Optional[Sequence[Union[str, Path]]] = None,
    min_confidence: Optional[float] = None,
    progress: Progress = lambda rows, total: None,
) -> Change:
    """Compare two maps on the grid of the first and write what changed.

    The files are ``<prefix>_change.tif`` (0 never cropland, 1 kept, 2 lost,
    3 gained, 255 without data in either map), ``_change.gpkg`` (lost and
    gained), ``_change.png`` and ``_change.csv`` (hectares from class to
    class); with ``confidence`` also ``_change_confidence.tif`` (percent, the
    smaller one of both maps). All of them or none appear.

    Where the later map has the smaller pixels the table counts those, and a
    pixel of the map of changes is cropland afterwards if more than half of it
    is; half is no change.

    Args:
        before: The earlier map.
        after: The later one, on any grid in any coordinate system. Classes
            of equal name are the same, whatever their values and their case.
        prefix: Folder and beginning of the files' names.
        cropland: Name of the class in either map; ``None`` takes ``cropland``
            or ``farmland``, whichever the map has.
        classes: For maps that carry none.
        overrides: Of either map, whatever it carries.
        min_area: Hectares of the smallest polygon. Map and table count every
            pixel.
        confidence: Rasters of either map's confidence, in percent, each on
            the grid of its map.
        min_confidence: Percent; where either map has less, or none, what
            became of the pixel is ``unsure``.
        progress: Hears of every row twice, when it is compared and when it
            is made polygons, and of the number of both together.

    Raises:
        ValueError: The maps cannot be read or compared, or an option is
            wrong.
    """
    check_min_confidence(min_confidence)
    if min_confidence is not None and confidence is None:
        raise ValueError('--min-confidence: needs the confidence of both maps')
    prefix = Path(prefix)
    endings = dict(map='tif', polygons='gpkg', quicklook='png', table='csv')
    files = {
        kind: prefix.with_name(f'{prefix.name}_change.{ending}')
        for kind, ending in endings.items()
    }
    if confidence is not None:
        name = f'{prefix.name}_change_confidence.tif'
        files['confidence'] = prefix.with_name(name)
    with environment(), MapReader(before, classes, overrides[0]) as first:
        with MapReader(after, classes, overrides[1]) as second:
            names = [
                find_cropland(source.classes, source.path, name, option)
                for source, name, option in zip(
                    (first, second),
                    cropland,
                    ('--before-class', '--after-class'),
                )
            ]
            overlay = Overlay(first, second)
            areas = PixelAreas(first)
            if min_confidence is not None:
                for known in overlay.before_classes, overlay.after_classes:
                    if _find(known) is None:
                        known.append(UNSURE)
            change = Change(
                files,
                overlay.before_classes,
                overlay.after_classes,
                (
                    _index(overlay.before_classes, names[0]),
                    _index(overlay.after_classes, names[1]),
                ),
                np.zeros(
                    (len(overlay.before_classes), len(overlay.after_classes))
                ),
                np.zeros(len(PALETTE)),
                unsure=(
                    _find(overlay.before_classes),
                    _find(overlay.after_classes),
                ),
                notes=tuple(
                    filter(None, (overlay.describe(), areas.describe()))
                ),
            )

            def heard(rows: int) -> None:
                progress(rows, 2 * first.height)

            inputs = [before, after, *(confidence or ())]
            with contextlib.closing(overlay), contextlib.ExitStack() as stack:
                sure = confidence and stack.enter_context(
                    Confidence(
                        confidence, (first, second), overlay, min_confidence
                    )
                )
                outputs = stack.enter_context(Outputs(inputs))
                paths = {k: outputs.add(f) for k, f in files.items()}
                _write_map(paths, first, overlay, areas, sure, change, heard)
                count = _write_rest(paths, change, areas, min_area, heard)
    return change._replace(
        polygons=count, drawn=change.drawn[: len(change.names)]
    )


def _find(names: List[str]) -> Optional[int]:
    """Which class a map is unsure with, if any."""
    keys = [name.casefold() for name in names]
    return keys.index(UNSURE) if UNSURE in keys else None


def _index(names: List[str], name: str) -> int:
    return [n.casefold() for n in names].index(name.casefold())


def _write_map(paths, grid, overlay, areas, sure, change, heard) -> None:
    """Write map and confidence; add up the map's hectares and the table's."""
    n = overlay.parts
    rows = max(1, PIXELS // (grid.width * n * n))
    palette = PALETTE[: len(change.names)]
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(
            RowWriter(paths['map'], grid, change.names, palette)
        )
        if sure:
            lowest = stack.enter_context(
                RowWriter(paths['confidence'], grid, ('confidence',))
            )
        for top in range(0, grid.height, rows):
            bottom = min(top + rows, grid.height)
            old, new = overlay.read(top, bottom)
            if sure:
                percent = sure.read(top, bottom)
                sure.hide((old, new), percent, change.unsure)
            pixels = areas.pixels(top, bottom)
            _count(old, new, n, pixels / n**2, change.hectares)
            kinds = _kinds(old, new, n, change.cropland, change.unsure)
            change.drawn[:] += count_hectares(kinds, pixels, len(PALETTE))
            file.write(top, kinds)
            if sure:
                seen = np.where(kinds == NODATA, NODATA, sure.lowest(percent))
                lowest.write(top, seen.astype(np.uint8))
            heard(bottom - top)
    if not change.hectares.any():
        raise ValueError(
            'the two maps have no place in common where both have data'
        )


def _parts(new: np.ndarray, n: int) -> List[np.ndarray]:
    """The later map's classes, one array for each place in a pixel."""
    return [new[i::n, j::n] for i in range(n) for j in range(n)]


def _count(old, new, n, pixels, hectares) -> None:
    """Add hectares from class to class to ``hectares``, shape (K, N)."""
    size, width = hectares.size, hectares.shape[1]
    pairs = np.minimum(old.astype(np.uint32) * width, size)
    unknown = old == NODATA
    for part in _parts(new, n):
        keys = pairs + part
        keys[unknown | (part == NODATA)] = size
        found = count_hectares(keys, pixels, size)
        hectares += found.reshape(hectares.shape)


def _kinds(old, new, n, cropland, unsure) -> np.ndarray:
    """What became of each pixel, uint8, of the shape of ``old``."""

    def count(test) -> np.ndarray:
        return sum(test(part).astype(np.uint16) for part in _parts(new, n))

    known = count(lambda part: part != NODATA)
    crop = count(lambda part: part == cropland[1])
    # A part that is unsure has no say, unless most of them are.
    unknown = count(lambda part: part == unsure[1])  # None is nowhere
    sure = known - unknown
    was = old == cropland[0]
    now = (2 * crop > sure) | (was & (2 * crop == sure))
    kinds = np.full(old.shape, NEVER, np.uint8)
    kinds[was] = LOST
    kinds[now] = GAINED
    kinds[was & now] = KEPT
    kinds[(old == unsure[0]) | (2 * unknown > known)] = OPEN
    kinds[(old == NODATA) | (2 * known < n * n)] = NODATA
    return kinds


def _write_rest(paths, change, areas, min_area, heard) -> PolygonCount:
    with MapReader(paths['map']) as done:

        def read(start: int, stop: int) -> np.ndarray:
            heard(stop - start)
            return done.read(start, stop)

        count = write_polygons(
            paths['polygons'],
            read,
            {LOST: 'lost', GAINED: 'gained'},
            done,
            areas,
            min_area,
            layer='change',
        )
        write_quicklook(
            paths['quicklook'],
            done,
            PALETTE,
            dict(zip(change.names, change.drawn.tolist())),
            title='Change',
        )
    with open(paths['table'], 'w', newline='', encoding='utf-8') as file:
        writer = csv.writer(file)
        writer.writerow(('before', 'after', 'cropland', 'hectares'))
        for i, j in np.argwhere(change.hectares).tolist():
            writer.writerow(
                (
                    change.before_classes[i],
                    change.after_classes[j],
                    _kind(i, j, change),
                    f'{change.hectares[i, j]:.4f}',
                )
            )
    return count


def _kind(i: int, j: int, change: Change) -> str:
    before, after = change.cropland
    if i == change.unsure[0] or j == change.unsure[1]:
        return UNSURE
    if i == before:
        return 'kept' if j == after else 'lost'
    return 'gained' if j == after else ''


def format_change(change: Change) -> str:
    """Lay out what became of the cropland as a table of text."""
    before, after = change.cropland
    _, kept, lost, gained, *unsure = change.kinds().values()
    sure = change.sure
    rows = [
        ('compared, where both maps have data', change.hectares.sum()),
        (f'{change.before_classes[before]} before', kept + lost),
        (f'{change.after_classes[after]} after', kept + gained),
        ('kept', kept),
        ('lost', lost),
    ]

    def partners(word, hectares, classes, own):
        for i in np.argsort(-hectares, kind='stable').tolist():
            if hectares[i] and i != own:
                rows.append((f'  {word} {classes[i]}', hectares[i]))

    partners('to', sure[before], change.after_classes, after)
    rows.append(('gained', gained))
    partners('from', sure[:, after], change.before_classes, before)
    rows += [('unsure in either map', hectares) for hectares in unsure]
    if not np.allclose(change.drawn[[LOST, GAINED]], (lost, gained)):
        rows.append(('lost, by whole pixels of the map', change.drawn[LOST]))
        rows.append(
            ('gained, by whole pixels of the map', change.drawn[GAINED])
        )
    wide = max(len(name) for name, _ in rows)
    return '\n'.join(f'{n:<{wide}}  {value:>14,.2f} ha' for n, value in rows)
