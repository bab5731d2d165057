"""Estimate the areas of a map from labels, and write a report."""

from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Tuple, Union

import numpy as np

from ..analysis.outputs import pretty_table, write_csv
from .area import PixelAreas
from .atomic import Outputs
from .estimate import (
    Estimate,
    Measure,
    estimate_areas,
    estimate_from_polygons,
)
from .files import name_files
from .raster import MapReader, environment
from .reference import Polygons, read_reference
from .report import write_report
from .strata import Strata, measure
from .tally import count_points, measure_polygons

__all__ = ['Assessment', 'assess', 'format_assessment']


class Assessment(NamedTuple):
    """How far a map is right.

    Attributes:
        files: Written files by kind: ``table``, ``report``.
        classes: Names of the map's K classes.
        counted: Hectares of each by the map's pixels, shape (K,).
        matrix: Points, or hectares of polygons, by class of the map and
            class that is there, shape (K, K).
        unit: What the matrix counts: ``points`` or ``hectares``.
        strata: Name, hectares and number of points of each stratum; of
            polygons there are none.
        estimate: Areas and accuracies.
        notes: Sentences on what to know of the sample.
    """

    files: Dict[str, Path]
    classes: List[str]
    counted: np.ndarray
    matrix: np.ndarray
    unit: str
    strata: List[Tuple[str, float, int]]
    estimate: Estimate
    notes: List[str]


def assess(
    path: Union[str, Path],
    labels: Union[str, Path],
    prefix: Union[str, Path],
    classes: Optional[Dict[int, str]] = None,
    field: str = 'label',
    drop: bool = False,
) -> Assessment:
    """Compare a map with what is there and estimate its classes' areas.

    The files are ``<prefix>_estimate.csv`` and ``<prefix>_report.html``, a
    page that needs no other file. In it is what lies beside the map and bears
    its name: the picture and the table of ``change`` or ``map``.

    Args:
        path: The map, one of changes or of classes.
        labels: Points or polygons, see :func:`read_reference`.
        prefix: Folder and beginning of the files' names.
        classes: Names of the map's classes, where it carries none.
        field: Column of the labels.
        drop: Leave out what has no label, instead of refusing.

    Raises:
        ValueError: Map or labels cannot be read or do not fit each other.
    """
    files = name_files(prefix, table='estimate.csv', report='report.html')
    notes = []
    with environment(), MapReader(path, classes) as grid:
        areas = PixelAreas(grid)
        reference = read_reference(labels, grid, field)
        counted, _ = measure(Strata(grid, beside=0), areas)
        if isinstance(reference, Polygons):
            found, left_out = measure_polygons(reference, grid, areas, drop)
            estimate = estimate_from_polygons(found, counted, grid.names)
            matrix, unit, strata = found.sum(0), 'hectares', []
            notes.append(
                f'{len(found)} polygons count as one observation each; the '
                'intervals hold if the polygons were drawn at random, not '
                'chosen'
            )
        else:
            found, names_of, sizes, left_out = count_points(
                reference, grid, counted, drop
            )
            estimate = estimate_areas(found, sizes, names_of, areas.largest)
            matrix, unit = found.sum(0), 'points'
            points = found.sum((1, 2)).tolist()
            strata = [*zip(names_of, sizes.tolist(), points)]
            if not reference.strata:
                notes.append(
                    "the labels tell no strata: those are the map's classes; "
                    'the intervals hold if the points were drawn at random'
                )
    if left_out:
        notes.append(
            f'{left_out} without a label were left out, as if they were like '
            'the others'
        )
    done = Assessment(
        files, grid.names, counted, matrix, unit, strata, estimate, notes
    )
    with Outputs(inputs=[path, labels]) as outputs:
        _write_table(outputs.add(files['table']), done)
        write_report(
            outputs.add(files['report']),
            Path(path),
            area_rows(done),
            matrix_rows(done),
            strata_rows(done),
            sentences(done),
        )
    return done


def sentences(done: Assessment) -> List[str]:
    """Say what there is of each class, then what to know of the sample."""
    area = done.estimate.hectares
    said = [
        f'{name}: {area.value[i]:,.1f} ± {area.margin[i]:,.1f} ha '
        f"(the map's pixels: {done.counted[i]:,.1f} ha)"
        for i, name in enumerate(done.classes)
    ]
    return [*said, *done.notes]


def area_rows(done: Assessment) -> List[List[str]]:
    """A table's rows: a head, the classes, and all of them together."""
    found = done.estimate
    rows = [['class', 'hectares', 'pixels say', "user's", "producer's"]]
    for i, name in enumerate(done.classes):
        rows.append(
            [
                name,
                f'{found.hectares.value[i]:,.1f} ± '
                f'{found.hectares.margin[i]:,.1f}',
                f'{done.counted[i]:,.1f}',
                _percent(found.users, i),
                _percent(found.producers, i),
            ]
        )
    overall = f'overall accuracy {_percent(found.overall, 0)}'
    rows.append([overall, '', f'{done.counted.sum():,.1f}', '', ''])
    return rows


def matrix_rows(done: Assessment) -> List[List[str]]:
    """The error matrix: rows are the map's classes, columns what is there."""
    number = '{:,.0f}' if done.unit == 'points' else '{:,.2f}'
    head = [f'map \\ reference ({done.unit})', *done.classes]
    return [head] + [
        [name, *(number.format(value) for value in row)]
        for name, row in zip(done.classes, done.matrix.tolist())
    ]


def strata_rows(done: Assessment) -> List[List[str]]:
    """The strata, their hectares and points; a head alone of polygons."""
    return [['stratum', 'hectares', 'points']] + [
        [name, f'{size:,.1f}', str(points)]
        for name, size, points in done.strata
    ]


def _percent(measure: Measure, i: int) -> str:
    value, margin = measure.value[i] * 100, measure.margin[i] * 100
    return '-' if np.isnan(value) else f'{value:.1f} ± {margin:.1f} %'


def format_assessment(done: Assessment) -> str:
    """Lay out areas, accuracies and the error matrix as text."""
    tables = [area_rows(done), matrix_rows(done)]
    parts = [str(pretty_table(rows[0], rows[1:])) for rows in tables]
    return '\n\n'.join([*parts, '\n'.join(sentences(done))])


def _write_table(path: str, done: Assessment) -> None:
    found = done.estimate
    columns = {
        'counted_hectares': done.counted,
        'hectares': found.hectares.value,
        'hectares_margin': found.hectares.margin,
        'users': found.users.value,
        'users_margin': found.users.margin,
        'producers': found.producers.value,
        'producers_margin': found.producers.margin,
    }
    overall = [found.overall.value[0], found.overall.margin[0]]
    rows = []
    for name, *values in zip(done.classes, *columns.values()):
        cells = ['' if np.isnan(v) else f'{v:.6g}' for v in values + overall]
        rows.append([name, *cells])
    head = ['class', *columns, 'overall', 'overall_margin']
    write_csv(path, head, rows)
