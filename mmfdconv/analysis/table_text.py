"""Tables of ours beside the papers', in Markdown, CSV and LaTeX."""

import csv
import io
from typing import Callable, Dict, List, Optional, Sequence

from .table_rows import Row, Table
from .text_table import markdown

__all__ = ['FORMATS', 'to_csv', 'to_latex', 'to_markdown']

_HEAD = (
    'model',
    'method',
    'parameters',
    'paper',
    'difference',
    'FLOPs',
    'paper',
    'difference',
    'note',
)
_TEXT_COLUMNS = (0, 1, 8)


def _lines(rows: Sequence[Row], sign: str) -> List[List[str]]:
    """Numbers as text; FLOPs in G where one of them is that large."""
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
            row.note,
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


def to_markdown(rows: Sequence[Row], sign: str = '+') -> str:
    """A table in Markdown.

    Args:
        rows: Of the table.
        sign: ``'+'`` where the numbers are additions, ``''`` where not.
    """
    rule = ['--'] * len(_HEAD)
    return markdown([_HEAD, *_lines(rows, sign)], rule, pad=False)


def _signs(table: Table) -> str:
    return '+' if table.added else ''


def _markdown(tables: Sequence[Table]) -> str:
    blocks = []
    for table in tables:
        blocks.append(f'## {table.title}')
        blocks.append(to_markdown(table.rows, _signs(table)))
        blocks += table.notes
    return '\n\n'.join(blocks) + '\n'


def to_csv(tables: Sequence[Table]) -> str:
    """All tables as one, numbers in millions."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator='\n')
    writer.writerow(('table', *Row._fields))
    for table in tables:
        for row in table.rows:
            writer.writerow((table.title, *row))
    return file.getvalue()


def to_latex(tables: Sequence[Table]) -> str:
    """A ``table`` environment each; needs the package booktabs."""
    blocks = []
    for table in tables:
        columns = ''.join(
            'l' if i in _TEXT_COLUMNS else 'r' for i in range(len(_HEAD) - 1)
        )
        lines = [
            r'\begin{table}',
            r'  \centering',
            rf'  \caption{{{_escape(table.title)}}}',
            rf'  \begin{{tabular}}{{{columns}}}',
            r'    \toprule',
            f'    {" & ".join(_HEAD[:-1])} \\\\',
            r'    \midrule',
        ]
        for line in _lines(table.rows, _signs(table)):
            cells = map(_escape, line[:-1])
            lines.append(f'    {" & ".join(cells)} \\\\')
        lines += [r'    \bottomrule', r'  \end{tabular}']
        # A note is too long for a column.
        notes = [
            f'{row.model}, {row.method}: {row.note}.'
            for row in table.rows
            if row.note
        ]
        lines += [
            f'  \\par\\small {_escape(n)}' for n in (*notes, *table.notes)
        ]
        blocks.append('\n'.join([*lines, r'\end{table}']))
    return '\n\n'.join(blocks) + '\n'


def _escape(text: str) -> str:
    for character in '&%#_':
        text = text.replace(character, f'\\{character}')
    return text


#: Writers of several tables, by the name that a command line gives.
FORMATS: Dict[str, Callable[[Sequence[Table]], str]] = {
    'markdown': _markdown,
    'csv': to_csv,
    'latex': to_latex,
}
