"""Options that the command lines on configs share."""

import argparse

from mmengine.config import DictAction

__all__ = ['add_config_options', 'add_launcher_options']


def add_config_options(parser: argparse.ArgumentParser, example: str) -> None:
    """Add the config and what replaces its values.

    Args:
        parser: The command line's.
        example: A value to replace, ``KEY=VALUE``, for the help.
    """
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help=f'replace values of the config, as in {example} or '
        'key="[(a,b),(c,d)]" (no blanks inside)',
    )


def add_launcher_options(parser: argparse.ArgumentParser) -> None:
    """Add who started the process, one of several."""
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='who started the processes',
    )
    parser.add_argument(
        '--local_rank',
        '--local-rank',
        type=int,
        default=0,
        help='set by launchers that do not set the variable LOCAL_RANK',
    )
