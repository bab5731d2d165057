"""Refuses names of files to write, before the work is done."""

import os
from pathlib import Path
from typing import Iterable, Union

__all__ = ['PathLike', 'check_folder', 'check_suffix']

PathLike = Union[str, os.PathLike]


def check_suffix(
    path: PathLike, suffixes: Iterable[str], option: str = 'out'
) -> None:
    """Refuse a file of another kind.

    Args:
        path: The file.
        suffixes: What it may end with, such as ``'.csv'``.
        option: What the file's name is called where it was given.

    Raises:
        ValueError: It ends with something else.
    """
    *others, last = suffixes
    if Path(path).suffix.lower() not in (*others, last):
        may = f'{", ".join(others)} or {last}' if others else last
        raise ValueError(f'{option}: {str(path)!r} must end with {may}')


def check_folder(path: PathLike, option: str = 'out') -> None:
    """Refuse a file whose folder is not there.

    Raises:
        ValueError: It is not.
    """
    folder = Path(path).parent
    if not folder.is_dir():
        raise ValueError(
            f'{option}: the folder {str(folder)!r} does not exist'
        )
