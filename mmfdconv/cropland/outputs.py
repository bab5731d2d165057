"""Files that bear their names only once all of them are finished."""

import glob
import os
from pathlib import Path
from typing import Dict, Iterable, Union

__all__ = ['Outputs']

# What GDAL and SQLite leave beside a file; beside a new one it would be stale.
_SIDECARS = ('.aux.xml', '.ovr', '.msk', '-journal', '-wal', '-shm')


class Outputs:
    """Context that writes to temporary names beside the wanted ones.

    When the block ends well every file takes its name; on any error, and on
    Ctrl-C, everything it wrote is deleted and older files of the same names
    are as before. Should the process be killed, what is left is called
    ``<name>.unfinished-<process><suffix>``.

    Args:
        inputs: Files that no output may replace.
    """

    def __init__(self, inputs: Iterable[Union[str, Path]] = ()) -> None:
        self._inputs = [Path(path) for path in inputs]
        self._unfinished: Dict[Path, Path] = {}  # target: temporary name

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
        if not os.access(target.parent, os.W_OK):
            raise ValueError(f'the folder {target.parent} is not writable')
        name = f'{target.stem}.unfinished-{os.getpid()}{target.suffix}'
        self._unfinished[target] = target.with_name(name)
        return str(self._unfinished[target])

    def __enter__(self) -> 'Outputs':
        return self

    def __exit__(self, kind, error, traceback) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            self._clean()

    def _finish(self) -> None:
        for temporary in self._unfinished.values():
            temporary.stat()  # all are there before one takes its name
        for target, temporary in self._unfinished.items():
            os.replace(temporary, target)
            for suffix in _SIDECARS:
                Path(f'{target}{suffix}').unlink(missing_ok=True)
                beside = Path(f'{temporary}{suffix}')
                if beside.exists():
                    os.replace(beside, f'{target}{suffix}')

    def _clean(self) -> None:
        for temporary in self._unfinished.values():
            # Sidecars begin with the temporary name, with or without suffix.
            start = glob.escape(str(temporary.with_suffix('')))
            for left in glob.glob(f'{start}*'):
                Path(left).unlink(missing_ok=True)
