"""Tables of our costs beside the papers', in Markdown, CSV and LaTeX."""

import csv
import io
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from mmengine.registry import DefaultScope

from ...engine.launch import load_config
from ..outputs import pretty_table
from .model_cost import Cost, cost_of_config


class Row(NamedTuple):
    """One line of a table, in millions; a dash in print for None."""

    model: str
    method: str
    params: Optional[float]
    paper_params: Optional[float]
    madds: Optional[float] = None
    paper_madds: Optional[float] = None
    note: str = ''


class Table(NamedTuple):
    """Rows under one title, and what holds for all of them.

    Attributes:
        title: Above the table.
        rows: Its lines.
        notes: Below the table.
        added: Whether the numbers are what is added to a stock model.
    """

    title: str
    rows: Sequence[Row]
    notes: Sequence[str] = ()
    added: bool = True


def count_config(name: str, shape: Tuple[int, int]) -> Cost:
    """Count the model of an installed config, for an image ``(H, W)``."""
    cfg = load_config(name)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        return cost_of_config(cfg, shape)


# -------------------------------------------------------------------- text

_HEAD = (
    'model',
    'method',
    'parameters',
    "paper's",
    'difference',
    'FLOPs',
    "paper's FLOPs",
    'difference of FLOPs',
)


def _lines(table: Table) -> List[List[str]]:
    """Numbers as text; FLOPs in G where one of them is that large."""
    rows, sign = table.rows, '+' if table.added else ''
    flops = [f for row in rows for f in (row.madds, row.paper_madds) if f]
    unit = 'G' if any(abs(f) >= 1e3 for f in flops) else 'M'
    digits = 3 if unit == 'G' else 2
    return [
        [
            row.model,
            row.method,
            _number(row.params, sign, 3),
            _number(row.paper_params, sign, 2),
            _difference(row.params, row.paper_params),
            _number(row.madds, sign, digits, unit),
            _number(row.paper_madds, sign, 2, unit),
            _difference(row.madds, row.paper_madds),
        ]
        for row in rows
    ]


def _number(
    millions: Optional[float], sign: str, digits: int, unit: str = 'M'
) -> str:
    if millions is None:
        return '-'
    number = millions / 1e3 if unit == 'G' else millions
    return f'{number:{sign}.{digits}f} {unit}'


def _difference(ours: Optional[float], paper: Optional[float]) -> str:
    """In per cent of the paper's figure."""
    if ours is None or paper is None:
        return '-'
    # So that nothing is printed as -0.0 %.
    return f'{round(100 * (ours / paper - 1), 1) + 0.0:+.1f} %'


def _notes(table: Table) -> List[str]:
    rows = [f'{r.model}, {r.method}: {r.note}.' for r in table.rows if r.note]
    return [*rows, *table.notes]


def _markdown(tables: Sequence[Table]) -> str:
    blocks = []
    for table in tables:
        text = pretty_table(_HEAD, _lines(table), left=2).get_string()
        notes = [f'- {note}' for note in _notes(table)]
        blocks += [f'## {table.title}', text, '\n'.join(notes)]
    return '\n\n'.join(filter(None, blocks)) + '\n'


def _csv(tables: Sequence[Table]) -> str:
    """All tables as one, numbers in millions."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator='\n')
    writer.writerow(('table', *Row._fields))
    for table in tables:
        writer.writerows((table.title, *row) for row in table.rows)
    return file.getvalue()


def _latex(tables: Sequence[Table]) -> str:
    """A ``table`` environment each."""
    blocks = []
    for table in tables:
        rows = [[_escape(cell) for cell in line] for line in _lines(table)]
        tabular = pretty_table(_HEAD, rows, left=2).get_latex_string()
        notes = [rf'\par\small {_escape(note)}' for note in _notes(table)]
        caption = rf'\caption{{{_escape(table.title)}}}'
        lines = [r'\begin{table}', r'\centering', caption]
        lines += [*tabular.splitlines(), *notes, r'\end{table}']
        blocks.append('\n'.join(lines))
    return '\n\n'.join(blocks) + '\n'


def _escape(text: str) -> str:
    for character in '&%#_':
        text = text.replace(character, f'\\{character}')
    return text


#: Writers of several tables, by the name that a command line gives.
FORMATS: Dict[str, Callable[[Sequence[Table]], str]] = {
    'markdown': _markdown,
    'csv': _csv,
    'latex': _latex,
}
