"""Read labelled points or polygons."""

import functools
from pathlib import Path
from typing import Any, List, Mapping, NamedTuple, Sequence, Tuple, Union

import fiona
import numpy as np
import shapely
from rasterio.crs import CRS

from .area import reproject_points, transform_points
from .files import crs_label
from .tables import read_table

__all__ = ['WGS84', 'Points', 'Polygons', 'read_reference']

WGS84 = CRS.from_epsg(4326)
LATTICE = 33  # points along either side, to see where a map lies


class Points(NamedTuple):
    """Labelled points.

    Attributes:
        names: What each is called in errors.
        places: Coordinates in the map's system, shape (N, 2).
        labels: Class names as they stand in the file, empty where missing.
        strata: Stratum of each point, and hectares of that stratum; empty
            where the file does not tell, and the map's classes are the
            strata.
    """

    names: List[str]
    places: np.ndarray
    labels: List[str]
    strata: List[Tuple[str, float]]


class Polygons(NamedTuple):
    """Labelled polygons, in the map's coordinate system."""

    names: List[str]
    shapes: List[shapely.Geometry]
    labels: List[str]


def read_reference(
    path: Union[str, Path], grid: Any, field: str = 'label'
) -> Union[Points, Polygons]:
    """Read labels from CSV, or from any vector file that GDAL reads.

    A table has columns ``x`` and ``y`` in the map's coordinate system, or
    ``longitude`` and ``latitude`` in degrees (WGS 84). With ``stratum`` and
    ``stratum_hectares``, as ``sample`` writes them, strata need not be the
    map's classes.

    Args:
        path: The file.
        grid: The map: has ``crs``, ``transform``, ``width`` and ``height``.
        field: Column of the labels.

    Raises:
        ValueError: There is nothing in it, a column is missing, or geometries
            are neither points nor polygons.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f'{path} is not a file')
    if path.suffix.lower() == '.csv':
        rows = read_table(path)
        places = _table_places(path, rows, grid.crs)
        return _points(path, rows, places, field)
    with fiona.open(path) as file:
        found = [(dict(f.properties), f.geometry) for f in file]
        own = CRS.from_wkt(file.crs_wkt) if file.crs_wkt else None
    if own is None:
        raise ValueError(f'{path} has no coordinate system; give it one')
    rows = [row for row, _ in found]
    shapes = [
        shapely.force_2d(shapely.geometry.shape(geometry))
        for _, geometry in found
        if geometry is not None
    ]
    kinds = {shape.geom_type.replace('Multi', '') for shape in shapes}
    if len(shapes) < len(rows) or kinds not in ({'Point'}, {'Polygon'}):
        raise ValueError(
            f'{path}: reference data are points or polygons, all of one kind; '
            f'it holds {", ".join(sorted(kinds)) or "no geometry"}'
        )
    if kinds == {'Point'}:
        places = np.array([shape.centroid.coords[0] for shape in shapes])
        places = reproject_points(own, grid.crs, places)
        return _points(path, rows, places, field)
    labels = _column(path, rows, field)
    return Polygons(_names(rows), _on_the_map(shapes, own, grid), labels)


def _on_the_map(
    shapes: List[shapely.Geometry], own: CRS, grid: Any
) -> List[shapely.Geometry]:
    """Return polygons in the map's coordinate system.

    Far from the map they are cut off: a projection sends what lies on the
    other side of the Earth anywhere, perhaps onto the map. Longitudes of 181
    and -179 degrees are one.
    """
    side = np.linspace(0, 1, LATTICE)
    pixels = np.stack(np.meshgrid(side * grid.width, side * grid.height), -1)
    places = transform_points(grid.transform, pixels.reshape(-1, 2))
    places = reproject_points(grid.crs, own, places)
    places = places[np.isfinite(places).all(1)]
    if not len(places):
        raise ValueError(
            f'the map lies outside of {crs_label(own)}, the coordinate system '
            'of the polygons; reproject them with ogr2ogr -t_srs'
        )
    low, high = places.min(0), places.max(0)
    reach = high - low
    turns = [0.0]
    if own.is_geographic and grid.crs.is_geographic:
        circle = round(2 * np.pi / own.units_factor[1], 6)
        turns += [circle, -circle]
    # Drawn by hand, an outline may cross itself; and so may one that is cut.
    tidy = functools.partial(
        shapely.make_valid, method='structure', keep_collapsed=False
    )
    whole = tidy(shapes)
    turned = [
        shapely.clip_by_rect(
            shapely.transform(whole, lambda p, east=east: p + [east, 0]),
            *(low - reach),
            *(high + reach),
        )
        for east in turns
    ]
    near = shapely.union_all(tidy(turned), axis=0)
    return [
        shapely.transform(
            shape, lambda points: reproject_points(own, grid.crs, points)
        )
        for shape in near
    ]


def _table_places(path, rows, crs) -> np.ndarray:
    has = rows[0].keys() if rows else ()
    for columns, own in (
        (('x', 'y'), crs),
        (('longitude', 'latitude'), WGS84),
    ):
        if not {*columns} <= {*has}:
            continue
        try:
            places = [[float(row[name]) for name in columns] for row in rows]
        except (TypeError, ValueError) as error:
            raise ValueError(
                f'{path}: {" and ".join(columns)} must be numbers: {error}'
            ) from error
        return reproject_points(own, crs, np.array(places))
    raise ValueError(
        f'{path}: columns x and y, or longitude and latitude, must tell where '
        f'the points are; it has {", ".join(has) or "no rows"}'
    )


def _points(path, rows, places, field) -> Points:
    names, strata = _names(rows), []
    if rows and {'stratum', 'stratum_hectares'} <= rows[0].keys():
        for name, row in zip(names, rows):
            stratum, size = row['stratum'], row['stratum_hectares']
            try:
                strata.append((str(stratum), float(size)))
            except (TypeError, ValueError):
                raise ValueError(
                    f'{path}: the point {name} has the stratum {stratum!r} '
                    f'and stratum_hectares {size!r}; all points need those '
                    'that sample wrote'
                ) from None
    return Points(names, places, _column(path, rows, field), strata)


def _column(path, rows: Sequence[Mapping[str, Any]], field) -> List[str]:
    if not rows:
        raise ValueError(f'{path} holds no rows')
    if field not in rows[0]:
        has = ', '.join(map(str, rows[0]))
        raise ValueError(
            f'{path} has no column {field!r}; name another with '
            f'--label-field, of zones with --zone-field: it has {has}'
        )
    return [str(row[field] or '').strip() for row in rows]


def _names(rows: Sequence[Mapping[str, Any]]) -> List[str]:
    return [str(row.get('point') or i) for i, row in enumerate(rows, 1)]
