"""Cropland lost and gained between two maps."""

import csv
from pathlib import Path
from typing import (
    Any,
    Callable,
    Dict,
    List,
    NamedTuple,
    Sequence,
    Tuple,
    Union,
)

import numpy as np
from rasterio import warp
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from .area import PixelAreas
from .outputs import Outputs
from .quicklook import write_quicklook
from .raster import NODATA, MapReader, RowWriter, environment
from .scene import read_window
from .vector import PolygonCount, polygonise, write_polygons

__all__ = ['Change', 'compare', 'cropland_class', 'format_change']

ROWS = 512
# Called with rows done since the last call, and rows in all.
Progress = Callable[[int, int], Any]
CROPLAND = ('cropland', 'farmland')
NEVER, KEPT, LOST, GAINED = range(4)
KINDS = ('no cropland', 'cropland kept', 'cropland lost', 'cropland gained')
PALETTE = ((225, 225, 220), (120, 180, 90), (215, 40, 40), (40, 90, 200))


class Change(NamedTuple):
    """What two maps say of the cropland where both have data.

    Attributes:
        files: Written files by kind: ``map``, ``polygons``, ``quicklook``,
            ``table``.
        cropland: Name of the class.
        classes: Names of all classes of both maps.
        hectares: Shape (K, K), from the row's class to the column's.
        polygons: Count of the polygons.
    """

    files: Dict[str, Path]
    cropland: str
    classes: List[str]
    hectares: np.ndarray
    polygons: PolygonCount

    def kinds(self) -> Dict[str, float]:
        """Return hectares that never were cropland, kept, lost, gained."""
        c = self.classes.index(self.cropland)
        kept = self.hectares[c, c]
        lost = self.hectares[c].sum() - kept
        gained = self.hectares[:, c].sum() - kept
        never = self.hectares.sum() - kept - lost - gained
        return dict(zip(KINDS, (never, kept, lost, gained)))


def cropland_class(classes: Sequence[str], wanted: str = None) -> str:
    """Return the class that is cropland.

    Raises:
        ValueError: It is not among the classes.
    """
    for name in CROPLAND if wanted is None else (wanted,):
        for known in classes:
            if known.lower() == name.lower():
                return known
    asked = wanted or ' or '.join(CROPLAND)
    raise ValueError(
        f'--cropland-class: no class is called {asked}; the classes are '
        f'{", ".join(classes)}'
    )


class _Aligned:
    """Rows of both maps on the grid of ``before``, as joint class numbers.

    Neighbours of another grid are taken as they are (nearest): classes have
    no mean.
    """

    def __init__(self, before: MapReader, after: MapReader) -> None:
        self.classes = [*before.classes]
        self.classes += [n for n in after.classes if n not in self.classes]
        if len(self.classes) > NODATA:
            raise ValueError(f'{len(self.classes)} classes do not fit 8 bits')
        self._before, self._after = before, after
        _check_overlap(before, after)
        self._warped = WarpedVRT(
            after.dataset,
            crs=before.crs,
            transform=before.transform,
            width=before.width,
            height=before.height,
            resampling=Resampling.nearest,
            src_nodata=after.nodata,
            nodata=after.nodata,
            warp_mem_limit=64,
        )

    def read(self, start: int, stop: int) -> Tuple[np.ndarray, np.ndarray]:
        window = Window(0, start, self._before.width, stop - start)
        return (
            self._number(self._before, self._before.read(start, stop)),
            self._number(self._after, read_window(self._warped, 1, window)),
        )

    def _number(self, source: MapReader, values: np.ndarray) -> np.ndarray:
        out = np.full(values.shape, NODATA, np.uint8)
        known = values == source.nodata
        for number, name in enumerate(source.classes):
            if number == source.nodata:
                continue
            here = values == number
            out[here] = self.classes.index(name)
            known |= here
        if not known.all():
            raise ValueError(
                f'{source.path}: there is no class name for the value '
                f'{values[~known][0]}; its classes are '
                f'{", ".join(source.classes)}'
            )
        return out

    def close(self) -> None:
        self._warped.close()


def _check_overlap(before: MapReader, after: MapReader) -> None:
    """Both maps must show some of the same ground."""
    box = warp.transform_bounds(
        after.crs, before.crs, *after.dataset.bounds, densify_pts=21
    )
    own = before.dataset.bounds
    if (
        box[0] >= own.right
        or box[2] <= own.left
        or box[1] >= own.top
        or box[3] <= own.bottom
    ):
        raise ValueError(
            f'{before.path} and {after.path} do not overlap: they show '
            'different places'
        )


def compare(
    before: Union[str, Path],
    after: Union[str, Path],
    prefix: Union[str, Path],
    cropland: str = None,
    classes: Sequence[str] = None,
    min_area: float = 0.1,
    progress: Progress = lambda rows, total: None,
) -> Change:
    """Compare two maps on the grid of the first and write what changed.

    The files are ``<prefix>_change.tif`` (0 never cropland, 1 kept, 2 lost,
    3 gained, 255 without data in either map), ``_change.gpkg`` (lost and
    gained), ``_change.png`` and ``_change.csv`` (hectares from class to
    class). All of them or none appear.

    Args:
        before: The earlier map.
        after: The later one, on any grid in any coordinate system. Classes
            of equal name are the same, whatever their numbers.
        prefix: Folder and beginning of the files' names.
        cropland: Name of the class; ``None`` takes ``cropland`` or
            ``farmland``.
        classes: Names by value, for maps that carry none.
        min_area: Hectares of the smallest polygon. Map and table count every
            pixel.
        progress: Hears of every row twice, when it is compared and when it
            is made polygons, and of the number of both together.

    Raises:
        ValueError: The maps cannot be read or compared.
    """
    prefix = Path(prefix)
    endings = dict(map='tif', polygons='gpkg', quicklook='png', table='csv')
    files = {
        kind: prefix.with_name(f'{prefix.name}_change.{ending}')
        for kind, ending in endings.items()
    }
    with environment(), MapReader(before, classes) as first:
        with MapReader(after, classes) as second:
            areas = PixelAreas(first.crs, first.transform, first.height)
            aligned = _Aligned(first, second)

            def heard(rows: int) -> None:
                progress(rows, 2 * first.height)

            try:
                name = cropland_class(aligned.classes, cropland)
                with Outputs(inputs=[before, after]) as outputs:
                    paths = {k: outputs.add(f) for k, f in files.items()}
                    hectares = _write_map(
                        paths['map'], first, aligned, areas, name, heard
                    )
                    change = Change(
                        files, name, aligned.classes, hectares, None
                    )
                    count = _write_rest(paths, change, areas, min_area, heard)
            finally:
                aligned.close()
    return change._replace(polygons=count)


def _write_map(path, grid, aligned, areas, cropland, heard) -> np.ndarray:
    """Write the map of changes; return hectares from class to class."""
    k = len(aligned.classes)
    crop = aligned.classes.index(cropland)
    hectares = np.zeros((k, k))
    with RowWriter(path, grid, KINDS, PALETTE) as file:
        for top in range(0, grid.height, ROWS):
            bottom = min(top + ROWS, grid.height)
            old, new = aligned.read(top, bottom)
            known = (old != NODATA) & (new != NODATA)
            kinds = np.full(old.shape, NEVER, np.uint8)
            kinds[old == crop] = LOST
            kinds[new == crop] = GAINED
            kinds[(old == crop) & (new == crop)] = KEPT
            kinds[~known] = NODATA
            file.write(top, kinds)
            for row, pixel in enumerate(areas.rows(top, bottom)):
                here = known[row]
                pairs = old[row][here].astype(int) * k + new[row][here]
                counts = np.bincount(pairs, minlength=k * k)
                hectares += counts.reshape(k, k) * pixel
            heard(bottom - top)
    if not hectares.any():
        raise ValueError(
            'the two maps have no place in common where both have data'
        )
    return hectares


def _write_rest(paths, change, areas, min_area, heard) -> PolygonCount:
    with MapReader(paths['map']) as done:

        def read(start: int, stop: int) -> np.ndarray:
            heard(stop - start)
            return done.read(start, stop)

        count = write_polygons(
            paths['polygons'],
            polygonise(read, done.height, (LOST, GAINED)),
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
            change.kinds(),
            title='Change',
        )
    with open(paths['table'], 'w', newline='', encoding='utf-8') as file:
        writer = csv.writer(file)
        writer.writerow(('before', 'after', 'cropland', 'hectares'))
        for i, old in enumerate(change.classes):
            for j, new in enumerate(change.classes):
                if change.hectares[i, j]:
                    kind = _kind(old, new, change.cropland)
                    value = f'{change.hectares[i, j]:.4f}'
                    writer.writerow((old, new, kind, value))
    return count


def _kind(old: str, new: str, cropland: str) -> str:
    if old == new == cropland:
        return 'kept'
    if cropland in (old, new):
        return 'lost' if old == cropland else 'gained'
    return ''


def format_change(change: Change) -> str:
    """Lay out what became of the cropland as a table of text."""
    c = change.classes.index(change.cropland)
    _, kept, lost, gained = change.kinds().values()
    rows = [
        ('compared, where both maps have data', change.hectares.sum()),
        (f'{change.cropland} before', kept + lost),
        (f'{change.cropland} after', kept + gained),
        ('kept', kept),
        ('lost', lost),
    ]
    others = [i for i in range(len(change.classes)) if i != c]

    def partners(word, hectares):
        for i in sorted(others, key=lambda i: -hectares[i]):
            if hectares[i]:
                rows.append((f'  {word} {change.classes[i]}', hectares[i]))

    partners('to', change.hectares[c])
    rows.append(('gained', gained))
    partners('from', change.hectares[:, c])
    wide = max(len(name) for name, _ in rows)
    return '\n'.join(f'{n:<{wide}}  {value:>14,.2f} ha' for n, value in rows)
