"""Compare trainings: their curves, final and best metrics.

Takes work dirs of mmdet, mmseg and mmpretrain; resumed runs count as one.
"""

import argparse

from ..analysis.compare import curves, runs, table
from ..analysis.figures.canvas import check_picture
from ..analysis.outputs import check_suffix
from . import plain_errors


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command line takes."""
    parser.add_argument(
        'work_dirs', nargs='+', metavar='WORK_DIR', help='folder of a run'
    )
    parser.add_argument(
        '--names',
        nargs='+',
        metavar='NAME',
        help='one name for each run; runs with the same name, such as seeds, '
        'are drawn as one line, with mean and spread (default: the names of '
        'the folders)',
    )
    parser.add_argument(
        '--metrics',
        nargs='+',
        metavar='METRIC',
        help='metrics to show, such as coco/bbox_mAP (default: all that every '
        'run has)',
    )
    parser.add_argument(
        '--out',
        default='runs.png',
        help='picture to write (default: %(default)s)',
    )
    parser.add_argument(
        '--table', help='also write a table to this .md or .csv file'
    )


def run(args: argparse.Namespace, prog: str) -> None:
    """Draw and print, or say what is wrong."""
    with plain_errors(prog):
        check_picture(args.out)
        if args.table:
            check_suffix(args.table, table.SUFFIXES, 'table')
        names = args.names or [None] * len(args.work_dirs)
        if len(names) != len(args.work_dirs):
            raise ValueError(
                f'--names: must be {len(args.work_dirs)}, one for each '
                f'folder, got {len(names)}'
            )
        logs = [
            runs.read_run(folder, name)
            for folder, name in zip(args.work_dirs, names)
        ]
        metrics = runs.common_metrics(logs, args.metrics)
        groups = runs.group_runs(logs)
        curves.plot_runs(groups, metrics, args.out)
        summaries = table.summarise(groups, metrics)
        if args.table:
            table.write_summaries(summaries, args.table)
    print(table.summaries_to_markdown(summaries))
    for path in filter(None, (args.out, args.table)):
        print(f'wrote {path}')
