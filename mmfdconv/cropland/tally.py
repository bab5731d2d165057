"""Count the classes of a map at places whose true class is known."""

from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple, Union

import numpy as np
import shapely
from affine import Affine
from rasterio import features
from rasterio.windows import Window

from ..analysis.outputs import write_csv
from .area import PixelAreas, count_hectares, transform_points
from .atomic import Outputs
from .files import read_window
from .raster import NODATA, PIXELS, MapReader, spans
from .reference import Points, Polygons, read_reference

__all__ = ['count_points', 'measure_polygons', 'write_zones']

_SHOWN = 10  # of the many that an error may name
_OVERLAP = 1e-6  # of the smaller polygon, which rounding explains


def _few(names: Sequence[str]) -> str:
    more = ', ...' if len(names) > _SHOWN else ''
    return ', '.join(names[:_SHOWN]) + more


def _numbers(
    names: Sequence[str], labels: Sequence[str], classes: Sequence[str]
) -> np.ndarray:
    """Return the class numbers of labels; case does not matter.

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
    """Return which ones have a label, and how many have none.

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
        hectares: Areas of the map's classes, shape (K,).
        drop: Leave out points without a label.

    Returns:
        Counts (H, K, K); the strata's names; their hectares (H,); and how
        many points were left out.

    Raises:
        ValueError: Points lie outside the map or where it has no data, labels
            are missing or no classes, or strata are not those of this map.
    """
    classes = grid.names
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
    mapped = grid.number(np.array(found)).astype(int)
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
        areas: Areas of its pixels.
        drop: Leave out polygons without a label.

    Returns:
        Hectares by polygon, class of the map, and label, shape (C, K, K), and
        how many polygons were left out.

    Raises:
        ValueError: Polygons overlap or hold no pixel of the map, or labels
            are missing or no classes.
    """
    at, left_out = _labelled(polygons, drop)
    names = [polygons.names[i] for i in at]
    shapes = [polygons.shapes[i] for i in at]
    labels = _numbers(names, [polygons.labels[i] for i in at], grid.names)
    _check_overlap(names, shapes)
    count = len(grid.names)
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
    total = np.zeros(len(grid.names))
    if shape.is_empty:
        return total
    pixels = shapely.transform(
        shape, lambda points: transform_points(~grid.transform, points)
    )
    west, north, east, south = map(int, pixels.bounds)
    columns = slice(max(0, west), max(0, east + 1))
    width = len(range(grid.width)[columns])
    first, last = max(0, north), min(grid.height, south + 1)
    step = max(1, PIXELS // grid.width)
    for top, bottom in spans(last - first, step) if width else ():
        rows = first + top, first + bottom
        inside = features.geometry_mask(
            [pixels],
            (bottom - top, width),
            Affine.translation(columns.start, rows[0]),
            invert=True,
        )
        total += count_hectares(
            grid.number(grid.read(*rows)[:, columns][inside]),
            areas.pixels(*rows)[:, columns][inside],
            len(total),
        )
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
        found = read_reference(zones, grid, field)
        if not isinstance(found, Polygons):
            raise ValueError(f'--zones: {zones} holds points, not polygons')
        _labelled(found, drop=False)
        total: Dict[str, np.ndarray] = {}
        for name, shape in zip(found.labels, found.shapes):
            inside = _hectares_inside(shape, grid, areas)
            total[name] = total.get(name, 0) + inside
    if not any(hectares.any() for hectares in total.values()):
        raise ValueError(f'--zones: no zone of {zones} lies on the map')
    rows = (
        (name, kind, f'{value:.4f}')
        for name, hectares in total.items()
        for kind, value in zip(grid.names, hectares.tolist())
    )
    with Outputs(inputs=[zones, map_path]) as outputs:
        write_csv(outputs.add(path), ('zone', 'class', 'hectares'), rows)
    return len(total)


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
