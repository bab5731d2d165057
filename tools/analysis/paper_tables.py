"""Count the papers' cost columns on models that are really built.

Ours stand beside the papers', with the difference; one multiply-add is one
FLOP.
"""

import argparse
import sys
from pathlib import Path

from mmengine.logging import MMLogger

from mmfdconv.analysis import table_text, tables
from mmfdconv.analysis.outputs import check_folder


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--format', choices=table_text.FORMATS, default='markdown'
    )
    parser.add_argument('--out', help='write to this file, not to the screen')
    return parser.parse_args()


def main() -> None:
    """Print or write all tables."""
    args = parse_args()
    try:
        if args.out:
            check_folder(args.out)
    except ValueError as error:
        sys.exit(f'paper_tables.py: error: {error}')
    MMLogger.get_instance('paper_tables', log_level='ERROR')
    text = table_text.FORMATS[args.format](tables.paper_tables())
    if args.out:
        Path(args.out).write_text(text, encoding='utf-8')
    else:
        print(text, end='')


if __name__ == '__main__':
    main()
