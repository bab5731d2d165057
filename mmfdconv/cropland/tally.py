"""Count the classes of a map at places whose true class is known."""

import csv
from pathlib import Path
from typing import Any, Dict, Iterator, List, Sequence, Tuple, Union

import numpy as np
import shapely
from affine import Affine
from rasterio import features
from rasterio.windows import Window

from .area import PixelAreas, count_hectares, transform_points
from .atomic import Outputs
from .files import read_window
from .legend import number_classes
from .overlay import number_pixels
from .raster import NODATA, MapReader
from .reference import Points, Polygons, read_reference

__all__ = [
    'class_hectares',
    'count_points',
    'measure_polygons',
    'write_zones',
]

PIXELS = 1 << 22  # of the map, read at once
_SHOWN = 10  # of the many that an error may name
_OVERLAP = 1e-6  # of the smaller polygon, which rounding explains


def _few(names: Sequence[str]) -> str:
    more = ', ...' if len(names) > _SHOWN else ''
    return ', '.join(names[:_SHOWN]) + more


def _numbers(
    names: Sequence[str], labels: Sequence[str], classes: Sequence[str]
) -> np.ndarray:
    """Class numbers of labels; case does not matter.

    Raises:
        ValueError: A label is no class of the map.
    """
    known = {name.casefold(): i for i, name in enumerate(classes)}
    unknown = {
        label: name
        for name, label in zip(names, labels)
        if label.casefold() not in known
    }
    if unknown:
        first = [f'{label!r} (of {name})' for label, name in unknown.items()]
        raise ValueError(
            f'labels: {_few(first)} are no classes of the map, which has '
            f'{", ".join(classes)}'
        )
    return np.array([known[label.casefold()] for label in labels], int)


def _labelled(found: Any, drop: bool) -> Tuple[np.ndarray, int]:
    """Indices of what has a label, and how many have none.

    Raises:
        ValueError: Some have none, and shall not be left out.
    """
    has = np.array([bool(label) for label in found.labels])
    missing = [found.names[i] for i in np.flatnonzero(~has)]
    if missing and not drop:
        raise ValueError(
            f'{len(missing)} of {len(has)} have no label: {_few(missing)}; '
            'label them, or leave them out with --drop-missing'
        )
    return np.flatnonzero(has), len(missing)


def count_points(
    points: Points, grid: MapReader, hectares: np.ndarray, drop: bool = False
) -> Tuple[np.ndarray, List[str], np.ndarray, int]:
    """Count points by stratum, class of the map, and label.

    Args:
        points: The points.
        grid: The map.
        hectares: Of the map's classes, shape (K,).
        drop: Leave out points without a label.

    Returns:
        Counts (H, K, K); the strata's names; their hectares (H,); and how
        many points were left out.

    Raises:
        ValueError: Points lie outside the map or where it has no data, labels
            are missing or no classes, or strata are not those of this map.
    """
    classes, values = number_classes(grid.classes)
    at, left_out = _labelled(points, drop)
    names = [points.names[i] for i in at]
    pixels = np.floor(transform_points(~grid.transform, points.places[at]))
    inside = (pixels >= 0) & (pixels < [grid.width, grid.height])
    outside = [names[i] for i in np.flatnonzero(~inside.all(1))]
    if outside:
        raise ValueError(
            f'{len(outside)} points lie outside the map: {_few(outside)}; are '
            'their coordinates of its coordinate system?'
        )
    found = [
        read_window(grid.dataset, 1, Window(column, row, 1, 1))[0, 0]
        for column, row in pixels.astype(int)
    ]
    mapped = number_pixels(grid, np.array(found), values).astype(int)
    unknown = [names[i] for i in np.flatnonzero(mapped == NODATA)]
    if unknown:
        raise ValueError(
            f'{len(unknown)} points lie where the map has no data: '
            f'{_few(unknown)}'
        )
    labels = _numbers(names, [points.labels[i] for i in at], classes)
    if points.strata:
        strata = dict(points.strata)  # all rows: those left out count, too
        _check_strata(strata, points.strata, hectares.sum())
        order = {name: i for i, name in enumerate(strata)}
        stratum = np.array([order[points.strata[i][0]] for i in at], int)
        sizes = np.array([*strata.values()])
        strata_names = [*strata]
    else:
        stratum, sizes, strata_names = mapped, hectares, classes
    count = len(classes)
    counts = np.zeros((len(sizes), count, count), int)
    np.add.at(counts, (stratum, mapped, labels), 1)
    few = [
        f'{name} ({int(n)})'
        for name, n, size in zip(strata_names, counts.sum((1, 2)), sizes)
        if n < 2 and size > 0
    ]
    if few:
        raise ValueError(
            'each stratum needs two labelled points or more; these have '
            f'fewer: {_few(few)}'
        )
    return counts, strata_names, sizes, left_out


def _check_strata(strata, rows, total) -> None:
    torn = sorted({name for name, size in rows if size != strata[name]})
    if torn:
        raise ValueError(
            f'labels: the stratum {_few(torn)} has different hectares in '
            'different rows'
        )
    if not np.isclose(sum(strata.values()), total, rtol=1e-3):
        raise ValueError(
            f'labels: the strata have {sum(strata.values()):,.2f} hectares '
            f'and the map {total:,.2f}: the points were drawn from another '
            'map, or all rows of a stratum are missing'
        )


def measure_polygons(
    polygons: Polygons, grid: MapReader, areas: PixelAreas, drop: bool = False
) -> Tuple[np.ndarray, int]:
    """Measure what the map says inside of polygons.

    A pixel belongs to the polygon that its middle is in.

    Args:
        polygons: The polygons.
        grid: The map.
        areas: Of its pixels.
        drop: Leave out polygons without a label.

    Returns:
        Hectares by polygon, class of the map, and label, shape (C, K, K), and
        how many polygons were left out.

    Raises:
        ValueError: Polygons overlap or hold no pixel of the map, or labels
            are missing or no classes.
    """
    classes, _ = number_classes(grid.classes)
    at, left_out = _labelled(polygons, drop)
    names = [polygons.names[i] for i in at]
    shapes = [polygons.shapes[i] for i in at]
    labels = _numbers(names, [polygons.labels[i] for i in at], classes)
    _check_overlap(names, shapes)
    count = len(classes)
    found = np.zeros((len(at), count, count))
    for i, shape in enumerate(shapes):
        found[i, :, labels[i]] = _hectares_inside(shape, grid, areas)
    empty = [names[i] for i in np.flatnonzero(found.sum((1, 2)) == 0)]
    if empty:
        raise ValueError(
            f'{len(empty)} polygons hold no pixel that the map has data of: '
            f'{_few(empty)}; they are outside, or smaller than a pixel'
        )
    return found, left_out


def _hectares_inside(
    shape: shapely.Geometry, grid: MapReader, areas: PixelAreas
) -> np.ndarray:
    """Return the hectares of the map's classes inside a shape, (K,).

    A pixel is inside if its middle is.
    """
    classes, values = number_classes(grid.classes)
    total = np.zeros(len(classes))
    pixels = shapely.transform(
        shape, lambda points: transform_points(~grid.transform, points)
    )
    for inside, (top, left), (bottom, right) in _cut(pixels, grid):
        own = grid.read(top, bottom)[:, left:right]
        own = number_pixels(grid, own, values)[inside]
        size = areas.pixels(top, bottom)[:, left:right][inside]
        total += count_hectares(own, size, len(classes))
    return total


def write_zones(
    path: Union[str, Path],
    zones: Union[str, Path],
    map_path: Union[str, Path],
    field: str = 'name',
) -> int:
    """Write the hectares of a map's classes by zone, such as districts.

    Args:
        path: CSV to write.
        zones: Polygons, in any coordinate system. Those of one name are one
            zone; what lies in two counts in both.
        map_path: The map.
        field: Column of the zones' names.

    Returns:
        How many zones there are.

    Raises:
        ValueError: There are no polygons, one has no name, or none of them
            lies on the map.
    """
    with MapReader(map_path) as grid:
        areas = PixelAreas(grid)
        classes, _ = number_classes(grid.classes)
        found = read_reference(zones, grid.crs, field)
        if not isinstance(found, Polygons):
            raise ValueError(f'--zones: {zones} holds points, not polygons')
        _labelled(found, drop=False)
        total: Dict[str, np.ndarray] = {}
        for name, shape in zip(found.labels, found.shapes):
            inside = _hectares_inside(shape, grid, areas)
            total[name] = total.get(name, 0) + inside
    if not any(hectares.any() for hectares in total.values()):
        raise ValueError(f'--zones: no zone of {zones} lies on the map')
    with Outputs(inputs=[zones, map_path]) as outputs:
        target = outputs.add(path)
        with open(target, 'w', newline='', encoding='utf-8') as file:
            writer = csv.writer(file)
            writer.writerow(('zone', 'class', 'hectares'))
            for name, hectares in total.items():
                for kind, value in zip(classes, hectares.tolist()):
                    writer.writerow((name, kind, f'{value:.4f}'))
    return len(total)


def _cut(
    shape: shapely.Geometry, grid: MapReader
) -> Iterator[Tuple[np.ndarray, Tuple[int, int], Tuple[int, int]]]:
    """Yield which pixels are in a shape, piece by piece of its box."""
    if shape.is_empty:
        return
    west, north, east, south = shape.bounds
    left, right = max(0, int(west)), min(grid.width, int(east) + 1)
    first, last = max(0, int(north)), min(grid.height, int(south) + 1)
    if left >= right:
        return
    rows = max(1, PIXELS // grid.width)
    for top in range(first, last, rows):
        bottom = min(top + rows, last)
        inside = features.geometry_mask(
            [shape],
            (bottom - top, right - left),
            Affine.translation(left, top),
            invert=True,
        )
        yield inside, (top, left), (bottom, right)


def _check_overlap(names: List[str], shapes: Sequence[Any]) -> None:
    tree = shapely.STRtree(shapes)
    one, other = tree.query(shapes, predicate='intersects')
    for i, j in zip(one[one < other], other[one < other]):
        common = shapely.area(shapely.intersection(shapes[i], shapes[j]))
        if common > _OVERLAP * min(shapes[i].area, shapes[j].area):
            raise ValueError(
                f'the polygons {names[i]} and {names[j]} overlap; a place '
                'must have one label and count once'
            )


def class_hectares(grid: MapReader, areas: PixelAreas) -> np.ndarray:
    """Return the hectares of a map's classes by its pixels, shape (K,)."""
    classes, values = number_classes(grid.classes)
    total = np.zeros(len(classes))
    rows = max(1, PIXELS // grid.width)
    for top in range(0, grid.height, rows):
        bottom = min(top + rows, grid.height)
        found = number_pixels(grid, grid.read(top, bottom), values)
        pixels = areas.pixels(top, bottom)
        total += count_hectares(found, pixels, len(classes))
    return total
