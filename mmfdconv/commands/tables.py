"""Compare parameters and FLOPs with the papers' tables.

The models are built and counted. The table has our value, the paper's and the
difference; one multiply-add is one FLOP.
"""

import argparse
from pathlib import Path

from mmengine.logging import MMLogger

from ..analysis.cost.fadconv_tables import fadconv_tables
from ..analysis.cost.fdconv_tables import fdconv_tables
from ..analysis.cost.paper_tables import FORMATS
from ..analysis.outputs import check_output
from . import plain_errors


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command line takes."""
    parser.add_argument(
        '--format',
        choices=FORMATS,
        default='markdown',
        help='format of the tables (default: %(default)s)',
    )
    parser.add_argument(
        '--out', help='file to write (default: print the tables)'
    )


def run(args: argparse.Namespace, prog: str) -> None:
    """Print or write all tables."""
    with plain_errors(prog):
        check_output(args.out)
    MMLogger.get_instance('paper_tables', log_level='ERROR')
    text = FORMATS[args.format]([*fdconv_tables(), *fadconv_tables()])
    if args.out:
        Path(args.out).write_text(text, encoding='utf-8')
    else:
        print(text, end='')
