"""The command lines: one module for each, of the subcommand's name.

A module has the description as its docstring, ``add_arguments(parser)`` and
``run(args, prog)``, and may have ``PARSER``, more arguments for the parser.
The files in ``tools/`` and the command ``mmfdconv`` both call :func:`main`.
"""

import argparse
import importlib
import sys
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Iterator, Optional, Sequence, Tuple, Type

__all__ = ['build_parser', 'main', 'plain_errors']

#: The part of the optional packages that a command needs, see setup.py.
_EXTRAS = dict(
    audit='figures',
    change='cropland',
    compare='figures',
    estimate='cropland',
    export_onnx='deploy',
    figures='figures',
    map='cropland',
    runs='figures',
    runtimes='deploy',
    sample='cropland',
)


def main(
    command: str,
    argv: Optional[Sequence[str]] = None,
    prog: Optional[str] = None,
) -> None:
    """Read a command line and run it.

    Args:
        command: Name of a module of this package.
        argv: The arguments; None takes the process's.
        prog: What the command is called in help and errors; None takes the
            name of the file that runs.
    """
    parser, module = build_parser(command, prog or Path(sys.argv[0]).name)
    module.run(parser.parse_args(argv), parser.prog)


def build_parser(
    command: str, prog: str
) -> Tuple[argparse.ArgumentParser, ModuleType]:
    """Return the parser of a command, and the command's module.

    Args:
        command: Name of a module of this package.
        prog: What the command is called in help and errors. The program ends
            with a message of it where an optional package is missing.
    """
    try:
        module = importlib.import_module(f'{__name__}.{command}')
    except ModuleNotFoundError as error:
        if command not in _EXTRAS or 'mmfdconv' in str(error.name):
            raise
        sys.exit(
            f'{prog}: error: the package {error.name!r} is not installed; '
            f"pip install 'mmfdconv[{_EXTRAS[command]}]' installs it"
        )
    options = getattr(module, 'PARSER', {})
    parser = argparse.ArgumentParser(
        prog=prog, description=module.__doc__, **options
    )
    module.add_arguments(parser)
    return parser, module


@contextmanager
def plain_errors(
    prog: str,
    kinds: Tuple[Type[Exception], ...] = (ImportError, OSError, ValueError),
) -> Iterator[None]:
    """End the program with one sentence where the input is wrong.

    Args:
        prog: Who says it.
        kinds: Of exceptions that are such an error.
    """
    try:
        yield
    except kinds as error:
        sys.exit(f'{prog}: error: {error}')
