"""Cropland lost and gained between two maps."""

import contextlib
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

from ..analysis.outputs import write_csv
from .area import PixelAreas, count_hectares
from .atomic import Outputs
from .confidence import Confidence, check_min_confidence
from .files import name_files
from .legend import UNSURE, find_cropland
from .mapping_unit import sieve_pairs
from .overlay import Overlay
from .polygon_files import PolygonOptions
from .quicklook import write_quicklook
from .raster import NODATA, MapReader, RowWriter, environment, spans
from .vector import PolygonCount, write_polygons

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
    prefix: Union[str, Path],
    confidence: bool,
    polygon_format: str,
    zones: bool = False,
) -> Dict[str, Path]:
    """Return the files of a comparison by kind."""
    return name_files(
        prefix,
        map='change.tif',
        polygons=f'change.{polygon_format}',
        quicklook='change.png',
        table='change.csv',
        confidence=confidence and 'change_confidence.tif',
        zones=zones and 'change_zones.csv',
    )


def compare(
    before: Union[str, Path],
    after: Union[str, Path],
    prefix: Union[str, Path],
    cropland: Sequence[Optional[str]] = (None, None),
    classes: Optional[Classes] = None,
    overrides: Sequence[Optional[Classes]] = (None, None),
    options: Optional[PolygonOptions] = None,
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
        classes: Class names for maps that carry none.
        overrides: Class names for either map, whatever it carries.
        options: What becomes of small areas, and how polygons are written;
            ``None`` takes the defaults. With a ``min_unit`` the map is held
            in memory, some ten bytes a pixel.
        confidence: Rasters of either map's confidence, in percent, each on
            the grid of its map.
        min_confidence: Percent; where either map has less, or none, what
            became of the pixel is ``unsure``.
        tags: Tags to write into the map of changes, by name.
        progress: Called with the rows done since the last call, and with
            their total. Each row counts twice: it is compared, and later its
            polygons are made.

    Raises:
        ValueError: The maps cannot be read or compared, or an option is
            wrong.
    """
    options = PolygonOptions() if options is None else options
    options.check()
    check_min_confidence(min_confidence)
    if min_confidence is not None and confidence is None:
        raise ValueError('--min-confidence: needs the confidence of both maps')
    files = name_changes(prefix, confidence is not None, options.format)
    with contextlib.ExitStack() as stack:
        stack.enter_context(environment())
        maps = [
            stack.enter_context(MapReader(path, classes, override))
            for path, override in zip((before, after), overrides)
        ]
        flags = '--before-class', '--after-class'
        wanted = [
            find_cropland(source.classes, source.path, name, flag)
            for source, name, flag in zip(maps, cropland, flags)
        ]
        overlay = stack.enter_context(Overlay(*maps))
        areas = PixelAreas(maps[0])
        legends = overlay.before_classes, overlay.after_classes
        for legend in legends if min_confidence is not None else ():
            if _find(UNSURE, legend) is None:
                legend.append(UNSURE)
        change = Change(
            files,
            *legends,
            tuple(map(_find, wanted, legends)),
            np.zeros([*map(len, legends)]),
            unsure=tuple(_find(UNSURE, legend) for legend in legends),
            notes=tuple(filter(None, (overlay.describe(), areas.describe()))),
        )

        def heard(rows: int) -> None:
            progress(rows, 2 * maps[0].height)

        sure = confidence and stack.enter_context(
            Confidence(confidence, maps, overlay, min_confidence)
        )
        inputs = [before, after, *(confidence or ())]
        outputs = stack.enter_context(Outputs(inputs))
        paths = {kind: outputs.add(file) for kind, file in files.items()}
        least = int(np.ceil(options.min_unit / areas.mean))
        _write_map(
            paths, maps[0], overlay, areas, sure, change, least, tags, heard
        )
        count = _write_rest(paths, change, areas, options, heard)
    return change._replace(polygons=count)


def _find(name: str, names: List[str]) -> Optional[int]:
    """Return which class has a name, whatever its case, if one has."""
    keys = [n.casefold() for n in names]
    return keys.index(name.casefold()) if name.casefold() in keys else None


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
    pieces = [*spans(grid.height, max(1, PIXELS // (grid.width * cells)))]
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

        for top, bottom in pieces:
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
            for top, bottom in pieces:
                write(top, whole[top:bottom])
    if not change.hectares.any():
        raise ValueError(
            'the two maps have no place in common where both have data'
        )


def _write_rest(paths, change, areas, options, heard) -> PolygonCount:
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
            options,
            layer='change',
        )
        write_quicklook(
            paths['quicklook'], done, PALETTE, change.kinds(), title='Change'
        )
    kind_of = change.kind_of
    rows = (
        (
            change.before_classes[i],
            change.after_classes[j],
            WORDS[kind_of[i, j]],
            f'{change.hectares[i, j]:.4f}',
        )
        for i, j in np.argwhere(change.hectares).tolist()
    )
    head = 'before', 'after', 'cropland', 'hectares'
    write_csv(paths['table'], head, rows)
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
