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
from .mapping_unit import check_min_unit, sieve_pairs
from .overlay import Overlay
from .polygon_files import check_format
from .quicklook import write_quicklook
from .raster import NODATA, MapReader, RowWriter, environment
from .vector import (
    MIN_AREA,
    PolygonCount,
    check_simplify,
    write_polygons,
)

__all__ = ['Change', 'compare', 'format_change', 'name_changes']

PIXELS = 1 << 22  # of the later map, read at once, and votes for classes
# Called with rows done since the last call, and rows in all.
Progress = Callable[[int, int], Any]
# Class name by value.
Classes = Dict[int, str]
NEVER, KEPT, LOST, GAINED, OPEN = range(5)
# A map with pixels that either map is unsure of has one more, ``unsure``.
KINDS = ('no cropland', 'cropland kept', 'cropland lost', 'cropland gained')
WORDS = ('', 'kept', 'lost', 'gained', UNSURE)  # for them, in tables
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
        polygons: Count of the polygons.
        notes: Sentences on what to know of the two maps.
        unsure: Which class of either is ``unsure``, if one is.
    """

    files: Dict[str, Path]
    before_classes: List[str]
    after_classes: List[str]
    cropland: Tuple[int, int]
    hectares: np.ndarray
    polygons: Optional[PolygonCount] = None
    notes: Tuple[str, ...] = ()
    unsure: Tuple[Optional[int], Optional[int]] = (None, None)

    @property
    def names(self) -> Tuple[str, ...]:
        """What becomes of pixels, by value of the map of changes."""
        return KINDS + (UNSURE,) * (self.unsure != (None, None))

    @property
    def kind_of(self) -> np.ndarray:
        """Which of :attr:`names` each pair of classes is, uint8, (K, N)."""
        (i, j), (first, second) = self.cropland, self.unsure
        kinds = np.full(self.hectares.shape, NEVER, np.uint8)
        kinds[i], kinds[:, j] = LOST, GAINED
        kinds[i, j] = KEPT
        if first is not None:
            kinds[first] = OPEN
        if second is not None:
            kinds[:, second] = OPEN
        return kinds

    def kinds(self) -> Dict[str, float]:
        """Return hectares that never were cropland, kept, lost, gained.

        And those that either map is unsure of, where a map has that class.
        """
        found = np.bincount(
            self.kind_of.ravel(), self.hectares.ravel(), len(self.names)
        )
        return dict(zip(self.names, found.tolist()))


def name_changes(
    prefix: Union[str, Path], confidence: bool, polygon_format: str = 'gpkg'
) -> Dict[str, Path]:
    """Return the files of a comparison by kind."""
    prefix = Path(prefix)
    endings = {
        'map': 'change.tif',
        'polygons': f'change.{polygon_format}',
        'quicklook': 'change.png',
        'table': 'change.csv',
        'confidence': confidence and 'change_confidence.tif',
    }
    return {
        kind: prefix.with_name(f'{prefix.name}_{ending}')
        for kind, ending in endings.items()
        if ending
    }


def compare(
    before: Union[str, Path],
    after: Union[str, Path],
    prefix: Union[str, Path],
    cropland: Sequence[Optional[str]] = (None, None),
    classes: Optional[Classes] = None,
    overrides: Sequence[Optional[Classes]] = (None, None),
    min_area: Optional[float] = None,
    min_unit: float = 0.0,
    simplify: float = 0.0,
    polygon_format: str = 'gpkg',
    confidence: Optional[Sequence[Union[str, Path]]] = None,
    min_confidence: Optional[float] = None,
    tags: Optional[Dict[str, str]] = None,
    progress: Progress = lambda rows, total: None,
) -> Change:
    """Compare two maps on the grid of the first and write what changed.

    The files are ``<prefix>_change.tif`` (0 never cropland, 1 kept, 2 lost,
    3 gained, 255 without data in either map), ``_change.gpkg`` (lost and
    gained), ``_change.png`` and ``_change.csv`` (hectares from class to
    class); with ``confidence`` also ``_change_confidence.tif`` (percent, the
    smaller one of both maps). All of them or none appear.

    Where the later map has the smaller pixels, a pixel of the earlier one
    takes the most frequent class; see :meth:`Overlay.most_frequent`.

    Args:
        before: The earlier map.
        after: The later one, on any grid in any coordinate system. Classes
            of equal name are the same, whatever their values and their case.
        prefix: Folder and beginning of the files' names.
        cropland: Name of the class in either map; ``None`` takes ``cropland``
            or ``farmland``, whichever the map has.
        classes: For maps that carry none.
        overrides: Of either map, whatever it carries.
        min_area: Hectares of the smallest polygon; ``None`` takes 0.1, and
            all of them where there is a ``min_unit``. Map and table count
            every pixel.
        min_unit: Hectares; smaller areas of what became of pixels become what
            is around them, in map, polygons and table. The map is then held
            in memory, some ten bytes a pixel.
        simplify: Metres; detail of polygons that is left out.
        polygon_format: ``'gpkg'`` or ``'parquet'``.
        confidence: Rasters of either map's confidence, in percent, each on
            the grid of its map.
        min_confidence: Percent; where either map has less, or none, what
            became of the pixel is ``unsure``.
        tags: To write into the map of changes, by name.
        progress: Hears of every row twice, when it is compared and when it
            is made polygons, and of the number of both together.

    Raises:
        ValueError: The maps cannot be read or compared, or an option is
            wrong.
    """
    check_min_confidence(min_confidence)
    check_min_unit(min_unit)
    check_simplify(simplify)
    check_format(polygon_format)
    if min_area is None:
        min_area = 0.0 if min_unit else MIN_AREA
    if min_confidence is not None and confidence is None:
        raise ValueError('--min-confidence: needs the confidence of both maps')
    files = name_changes(prefix, confidence is not None, polygon_format)
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
                pixels = int(np.ceil(min_unit / areas.mean))
                _write_map(
                    *(paths, first, overlay, areas, sure, change),
                    *(pixels, tags, heard),
                )
                count = _write_rest(
                    paths, change, areas, min_area, simplify, heard
                )
    return change._replace(polygons=count)


def _find(names: List[str]) -> Optional[int]:
    """Which class a map is unsure with, if any."""
    keys = [name.casefold() for name in names]
    return keys.index(UNSURE) if UNSURE in keys else None


def _index(names: List[str], name: str) -> int:
    return [n.casefold() for n in names].index(name.casefold())


def _write_map(
    paths, grid, overlay, areas, sure, change, least, tags, heard
) -> None:
    """Write map and confidence, and add up the table's hectares.

    Areas of fewer than ``least`` pixels are sieved.
    """
    count, n = change.hectares.size, overlay.parts
    # Pairs of classes by number; the last number is for no data.
    table = np.full(1 << 16, NODATA, np.uint8)
    table[:count] = change.kind_of.ravel()
    cells = max(n * n, len(change.after_classes)) if n > 1 else 1
    rows = max(1, PIXELS // (grid.width * cells))
    spans = [
        (top, min(top + rows, grid.height))
        for top in range(0, grid.height, rows)
    ]
    whole = None
    if least > 1:
        whole = np.empty((grid.height, grid.width), np.uint16)
    with contextlib.ExitStack() as stack:
        palette = PALETTE[: len(change.names)]
        file = stack.enter_context(
            RowWriter(paths['map'], grid, change.names, palette, tags)
        )
        if sure:
            lowest = stack.enter_context(
                RowWriter(paths['confidence'], grid, ('confidence',))
            )

        def write(top: int, pairs: np.ndarray) -> None:
            file.write(top, table[pairs])
            pixels = areas.pixels(top, top + len(pairs))
            found = count_hectares(pairs, pixels, count)
            change.hectares[:] += found.reshape(change.hectares.shape)

        for top, bottom in spans:
            old, new = overlay.read(top, bottom)
            if sure:
                percent = sure.read(top, bottom)
                sure.hide((old, new), percent, change.unsure)
            new = overlay.most_frequent(old, new, change.cropland)
            known = (old != NODATA) & (new != NODATA)
            pairs = old.astype(np.uint16) * len(change.after_classes) + new
            pairs[~known] = len(table) - 1
            if sure:
                seen = np.where(known, sure.lowest(percent), NODATA)
                lowest.write(top, seen.astype(np.uint8))
            if whole is None:
                write(top, pairs)
            else:
                whole[top:bottom] = pairs
            heard(bottom - top)
        if whole is not None:
            whole = sieve_pairs(whole, table, least)
            for top, bottom in spans:
                write(top, whole[top:bottom])
    if not change.hectares.any():
        raise ValueError(
            'the two maps have no place in common where both have data'
        )


def _write_rest(
    paths, change, areas, min_area, simplify, heard
) -> PolygonCount:
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
            simplify=simplify,
        )
        write_quicklook(
            paths['quicklook'],
            done,
            PALETTE,
            change.kinds(),
            title='Change',
        )
    with open(paths['table'], 'w', newline='', encoding='utf-8') as file:
        writer = csv.writer(file)
        writer.writerow(('before', 'after', 'cropland', 'hectares'))
        kind_of = change.kind_of
        for i, j in np.argwhere(change.hectares).tolist():
            writer.writerow(
                (
                    change.before_classes[i],
                    change.after_classes[j],
                    WORDS[kind_of[i, j]],
                    f'{change.hectares[i, j]:.4f}',
                )
            )
    return count


def format_change(change: Change) -> str:
    """Lay out what became of the cropland as a table of text."""
    before, after = change.cropland
    _, kept, lost, gained, *unsure = change.kinds().values()
    sure = np.where(change.kind_of == OPEN, 0, change.hectares)
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
    wide = max(len(name) for name, _ in rows)
    return '\n'.join(f'{n:<{wide}}  {value:>14,.2f} ha' for n, value in rows)
