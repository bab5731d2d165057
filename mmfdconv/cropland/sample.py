"""Draw the sample that an estimate of a map's areas needs."""

from pathlib import Path
from typing import (
    Any,
    Callable,
    Dict,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    Union,
)

import fiona
import numpy as np

from ..analysis.outputs import pretty_table
from . import sheet
from .area import PixelAreas, transform_points
from .atomic import Outputs
from .files import name_files
from .legend import UNSURE
from .raster import MapReader, environment
from .strata import Strata, allocate, draw, measure, sample_size
from .tables import read_table

__all__ = ['Design', 'Sample', 'draw_sample', 'format_sample']

# Called after every picture with how many there will be.
Progress = Callable[[int], Any]


class Design(NamedTuple):
    """What sample is wanted.

    Attributes:
        error: Standard error of the overall accuracy, as a share.
        expected: User's accuracies by stratum, in place of the usual ones.
        points: Numbers of points by stratum, in place of those that follow
            from the standard error.
        least: Smallest number of points of a stratum that is on the map.
        beside: Distance from change, in pixels, up to which pixels are a
            stratum of their own.
        seed: Seed of the random numbers.
    """

    error: float = 0.01
    expected: Mapping[str, float] = {}
    points: Mapping[str, int] = {}
    least: int = 50
    beside: int = 3
    seed: int = 0


class Sample(NamedTuple):
    """What was drawn.

    Attributes:
        files: Written files by kind: ``table``, ``points``, and with scenes
            ``sheet``.
        strata: Name, hectares, expected user's accuracy and number of points
            of each stratum.
        size: Points that follow from the standard error.
        error: The standard error that was wanted.
    """

    files: Dict[str, Path]
    strata: List[Tuple[str, float, float, int]]
    size: int
    error: float


def draw_sample(
    path: Union[str, Path],
    prefix: Union[str, Path],
    scenes: Sequence[str] = (),
    design: Optional[Design] = None,
    classes: Optional[Dict[int, str]] = None,
    progress: Progress = lambda total: None,
) -> Sample:
    """Draw points within the strata of a map and write what labelling needs.

    The files are ``<prefix>_points.csv`` and ``_points.gpkg``, with a column
    for the label, and of scenes ``_chips/`` (PNG) and ``_sheet.html``, a page
    to go through them by the keyboard.

    Args:
        path: The map, of changes or of classes.
        prefix: Folder and beginning of the files' names.
        scenes: What the map was made of: of two dates, the earlier one first.
        design: Which sample; ``None`` takes the defaults.
        classes: Names of the map's classes, where it carries none.
        progress: Called after each picture with the number of all pictures.

    Raises:
        ValueError: The map or a scene cannot be read, the design is none, or
            labels would be replaced.
    """
    design = Design() if design is None else design
    prefix = Path(prefix)
    files = name_files(
        prefix,
        table='points.csv',
        points='points.gpkg',
        sheet=bool(scenes) and 'sheet.html',
    )
    _keep_labels(files['table'], files['points'])
    with environment(), MapReader(path, classes) as grid:
        strata = Strata(grid, design.beside)
        areas = PixelAreas(grid)
        hectares, pixels = measure(strata, areas)
        if not pixels.any():
            raise ValueError(f'{path} has no pixel with data')
        expected = _override(
            strata.expected, design.expected, strata.names, '--expected'
        )
        size = sample_size(hectares, expected, design.error)
        points = allocate(size, hectares, pixels, design.least)
        points = _override(points, design.points, strata.names, '--points')
        _check_points(points, pixels, strata.names)
        drawn = draw(strata, areas, points, design.seed)
        places = transform_points(grid.transform, drawn.pixels + 0.5)
        rows = sheet.records(
            places,
            grid.crs,
            [strata.names[h] for h in drawn.stratum],
            [round(hectares[h], 6) for h in drawn.stratum],
        )
        with Outputs(inputs=[path, *scenes]) as outputs:
            sheet.write_points(
                outputs.add(files['table']),
                outputs.add(files['points']),
                rows,
                grid.crs,
            )
            if scenes:
                folder = prefix.with_name(f'{prefix.name}_chips')
                pictures = _write_chips(
                    outputs, folder, scenes, places, grid, progress
                )
                sheet.write_sheet(
                    outputs.add(files['sheet']),
                    prefix.name,
                    rows,
                    [name for name in grid.names if name != UNSURE],
                    pictures,
                )
    table = [*zip(strata.names, hectares, expected, points.tolist())]
    return Sample(files, table, size, design.error)


def _keep_labels(table: Path, points: Path) -> None:
    """Refuse to replace hours of somebody's work."""
    found = {table: [], points: []}
    if table.is_file():
        found[table] = read_table(table)
    if points.is_file():
        with fiona.open(points) as file:
            found[points] = [feature.properties for feature in file]
    for path, rows in found.items():
        labels = sum(bool(row.get('label')) for row in rows)
        if labels:
            raise ValueError(
                f'{path} holds {labels} labels, which a new sample would '
                'replace; choose another folder with --out-dir'
            )


def _override(values, given, names, option) -> np.ndarray:
    """Replace values of strata by those given by name; case is the same.

    Raises:
        ValueError: A name is no stratum.
    """
    order = {name.casefold(): i for i, name in enumerate(names)}
    values = values.copy()
    for name, value in given.items():
        if name.casefold() not in order:
            raise ValueError(
                f'{option}: {name!r} is no stratum of the map; they are '
                f'{", ".join(names)}'
            )
        values[order[name.casefold()]] = value
    return values


def _check_points(points, pixels, names) -> None:
    for name, wanted, there in zip(names, points, pixels):
        # A stratum of one pixel is known from it.
        if there and not min(2, there) <= wanted <= there:
            raise ValueError(
                f'--points: {name} needs between {min(2, there)} and {there} '
                f'points, as many as it has pixels, not {wanted}; a stratum '
                'without a sample has no estimate'
            )
        if wanted and not there:
            raise ValueError(f'--points: the map has no pixel of {name}')


def _write_chips(
    outputs, folder, scenes, places, grid, progress
) -> List[Dict[str, str]]:
    """Write the pictures of all points; return their names by date."""
    titles = ['scene'] if len(scenes) == 1 else ['before', 'after']
    pictures: List[Dict[str, str]] = [{} for _ in places]
    for title, scene in zip(titles, scenes):
        with sheet.ChipReader(scene) as reader:
            chips = reader.read(places, grid.crs)
            for i, picture in enumerate(chips):
                name = f'{i + 1:05}_{title}.png'
                sheet.write_chip(outputs.add(folder / name), picture)
                pictures[i][title] = f'{folder.name}/{name}'
                progress(len(scenes) * len(places))
    return pictures


def format_sample(sample: Sample) -> str:
    """Lay out the strata and their points as text."""
    rows = [
        [name, f'{size:,.1f}', f'{accuracy:g}', str(points)]
        for name, size, accuracy, points in sample.strata
    ]
    total = sum(points for *_, points in sample.strata)
    area = sum(size for _, size, *_ in sample.strata)
    rows.append(['all', f'{area:,.1f}', '', str(total)])
    head = ['stratum', 'hectares', "expected user's", 'points']
    return (
        f'{pretty_table(head, rows)}\n'
        f'A standard error of {sample.error:g} takes {sample.size} points, by '
        "Cochran's formula; rare strata have more than their part"
    )
