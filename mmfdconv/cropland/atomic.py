"""Write several files so that all of them appear, or none."""

import os
import shutil
import tempfile
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Dict, Iterable, Union

__all__ = ['Outputs']

# What GDAL and SQLite leave beside a file; beside a new one it would be stale.
_SIDECARS = ('.aux.xml', '.ovr', '.msk', '-journal', '-wal', '-shm')


class Outputs(AbstractContextManager):
    """Context that writes to a private folder beside the wanted files.

    When the block ends well every file takes its place; on any error, and on
    Ctrl-C, everything it wrote is deleted and older files of the same names
    are as before. Should the process be killed, what is left is a folder
    ``<name>.unfinished-<random>``. No other process writes or deletes there,
    whatever its number and its machine.

    Args:
        inputs: Files that no output may replace.
    """

    def __init__(self, inputs: Iterable[Union[str, Path]] = ()) -> None:
        self._inputs = [Path(path) for path in inputs]
        self._folders: Dict[Path, Path] = {}  # wanted folder: private one
        self._unfinished: Dict[Path, Path] = {}  # target: where it is written

    def add(self, target: Union[str, Path]) -> str:
        """Return the name to write to instead of ``target``.

        Raises:
            ValueError: ``target`` is an input or a folder, or its folder
                cannot be made or written to.
        """
        target = Path(target)
        for path in self._inputs:
            if path.exists() and target.exists() and path.samefile(target):
                raise ValueError(
                    f'{target} would replace the input {path}; choose '
                    'another folder for the results with --out-dir'
                )
        if target.is_dir():
            raise ValueError(f'{target} is a folder, not a file to write')
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(
                f'the folder {target.parent} cannot be made: {error.strerror}'
            ) from error
        if target.parent not in self._folders:
            self._folders[target.parent] = _private_folder(target)
        self._unfinished[target] = self._folders[target.parent] / target.name
        return str(self._unfinished[target])

    def __exit__(self, kind, error, traceback) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            for folder in self._folders.values():
                shutil.rmtree(folder, ignore_errors=True)

    def _finish(self) -> None:
        for unfinished in self._unfinished.values():
            unfinished.stat()  # all are there before one takes its place
        for target, unfinished in self._unfinished.items():
            os.replace(unfinished, target)
            for suffix in _SIDECARS:
                Path(f'{target}{suffix}').unlink(missing_ok=True)
                beside = Path(f'{unfinished}{suffix}')
                if beside.exists():
                    os.replace(beside, f'{target}{suffix}')
            style = unfinished.with_suffix('.qml')
            if style.exists():
                os.replace(style, target.with_suffix('.qml'))


def _private_folder(target: Path) -> Path:
    try:
        folder = tempfile.mkdtemp(
            prefix=f'{target.stem}.unfinished-', dir=target.parent
        )
    except OSError as error:
        raise ValueError(
            f'the folder {target.parent} cannot be written to: '
            f'{error.strerror}'
        ) from error
    return Path(folder)
