"""What the tools write: names that are refused early, and tables."""

import csv
import os
from pathlib import Path
from typing import Any, Iterable, Optional, Sequence, Union

import prettytable

PathLike = Union[str, os.PathLike]

# Older versions, all that Python 3.8 has, keep it in the package itself.
_MARKDOWN = getattr(prettytable, 'TableStyle', prettytable).MARKDOWN


def check_suffix(
    path: PathLike, suffixes: Sequence[str], option: str = 'out'
) -> None:
    """Refuse a file of another kind, or a folder.

    Args:
        path: The file.
        suffixes: What it may end with, such as ``'.csv'``; none: anything.
        option: What the file's name is called where it was given.

    Raises:
        ValueError: It ends with something else, or is a folder.
    """
    if suffixes and Path(path).suffix.lower() not in suffixes:
        *others, last = suffixes
        may = f'{", ".join(others)} or {last}' if others else last
        raise ValueError(f'{option}: {str(path)!r} must end with {may}')
    if Path(path).is_dir():
        raise ValueError(
            f'{option}: {str(path)!r} is a folder, not a file to write'
        )


def check_output(
    path: Optional[PathLike],
    suffixes: Sequence[str] = (),
    option: str = 'out',
    inputs: Iterable[PathLike] = (),
) -> None:
    """Refuse a file of another kind, or one that must not be written.

    Args:
        path: The file; None, where none is asked for, passes.
        suffixes: What it may end with; none: anything.
        option: What the file's name is called where it was given.
        inputs: Files that are read, and must not be replaced.

    Raises:
        ValueError: It cannot be written, or is an input.
    """
    if path is None:
        return
    check_suffix(path, suffixes, option)
    path = Path(path)
    if not path.parent.is_dir():
        raise ValueError(
            f'{option}: the folder {str(path.parent)!r} does not exist'
        )
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise ValueError(
            f'{option}: {str(path)!r} cannot be written, for lack of '
            'permission'
        )
    for other in map(Path, inputs):
        if path.exists() and other.exists() and path.samefile(other):
            raise ValueError(
                f'{option}: {str(path)!r} would replace what is read; give '
                'another name'
            )


def pretty_table(
    head: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1
) -> prettytable.PrettyTable:
    """A table that prints as Markdown and reads well as text, too.

    Args:
        head: Names of the columns, all different.
        rows: Their cells.
        left: How many of the first columns are words; numbers stand to the
            right.
    """
    table = prettytable.PrettyTable(head)
    table.set_style(_MARKDOWN)
    for number, name in enumerate(head):
        table.align[name] = 'l' if number < left else 'r'
    table.add_rows(list(rows))
    return table


def write_csv(
    path: PathLike, head: Iterable[str], rows: Iterable[Iterable[Any]]
) -> None:
    """Write a table with its names of columns; None is an empty cell."""
    with Path(path).open('w', newline='', encoding='utf-8') as file:
        writer = csv.writer(file)
        writer.writerow(head)
        writer.writerows(rows)
