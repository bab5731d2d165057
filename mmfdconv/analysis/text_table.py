"""Tables in Markdown."""

from typing import List, Sequence

__all__ = ['markdown']


def markdown(
    rows: Sequence[Sequence[str]], rule: Sequence[str], pad: bool = True
) -> str:
    """Write rows of cells, the first one the head.

    Args:
        rows: At least the head.
        rule: What stands below the head, a cell for each column: one that
            ends with a colon puts its column to the right.
        pad: Whether to make the cells of a column equally wide, so that the
            table reads well as text, too.
    """
    lines = [rows[0], rule, *rows[1:]]
    if pad:
        widths = [max(map(len, column)) for column in zip(*lines)]
        lines = [_padded(line, rule, widths) for line in lines]
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def _padded(
    line: Sequence[str], rule: Sequence[str], widths: Sequence[int]
) -> List[str]:
    return [
        cell.rjust(width) if mark.endswith(':') else cell.ljust(width)
        for cell, mark, width in zip(line, rule, widths)
    ]
