"""A report as one page: estimate, accuracies, counts and picture."""

import base64
from pathlib import Path
from typing import Sequence, Union

import jinja2

from .tables import read_table

__all__ = ['render', 'write_report']

TEMPLATES = Path(__file__).with_name('templates')
# What `change` and `map` write beside a map, by the end of the map's name.
_BESIDE = {
    '_change': ('{}_change.png', '{}_change.csv'),
    '_classes': ('{}_quicklook.png', '{}_hectares.csv'),
}

Rows = Sequence[Sequence[str]]


def render(template: str, **values: object) -> str:
    """Fill in one of the package's pages.

    Args:
        template: File name.
        values: What it names; texts are escaped.
    """
    loader = jinja2.FileSystemLoader(TEMPLATES)
    pages = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined
    )
    return pages.get_template(template).render(values)


def write_report(
    path: Union[str, Path],
    map_path: Path,
    areas: Rows,
    matrix: Rows,
    strata: Rows,
    sentences: Sequence[str],
) -> None:
    """Write the page; pictures are in it.

    Args:
        path: File to write.
        map_path: The map; what lies beside it is shown.
        areas: Table of estimates, a head and rows.
        matrix: The error matrix, likewise.
        strata: The strata, likewise.
        sentences: What to say above the tables.
    """
    picture, counts = '', []
    for ending, beside in _BESIDE.items():
        if map_path.stem.endswith(ending):
            stem = map_path.stem[: -len(ending)]
            image, table = (
                map_path.with_name(name.format(stem)) for name in beside
            )
            if image.is_file():
                data = base64.b64encode(image.read_bytes()).decode()
                picture = f'data:image/png;base64,{data}'
            if table.is_file():
                rows = read_table(table)
                for row in rows:  # rounded as the estimates are
                    row['hectares'] = f'{float(row["hectares"]):,.1f}'
                counts = [[*rows[0]], *(row.values() for row in rows)]
    page = render(
        'report.html',
        title=map_path.name,
        sentences=sentences,
        areas=areas,
        matrix=matrix,
        strata=strata,
        counts=counts,
        picture=picture,
    )
    Path(path).write_text(page, encoding='utf-8')
