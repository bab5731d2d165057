"""Estimate hectares and accuracies of a map from labelled points.

Writes <map>_estimate.csv and <map>_report.html, a single file. The labels are
a table or GeoPackage of the command sample, other points, or polygons.
Intervals are 95 % intervals.
"""

import argparse
from pathlib import Path

from ..cropland import options
from ..cropland.assess import assess, format_assessment
from ..cropland.files import result_name
from ..cropland.legend import parse_classes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command line takes."""
    options.add_map_options(parser)
    parser.add_argument(
        'labels',
        help='.csv, GeoPackage or any vector file: points or polygons with '
        'their true classes',
    )
    parser.add_argument(
        '--label-field',
        default='label',
        metavar='NAME',
        help='column with the labels (default: %(default)s)',
    )
    parser.add_argument(
        '--drop-missing',
        action='store_true',
        help='ignore points without a label (default: an error)',
    )


def run(args: argparse.Namespace, prog: str) -> None:
    """Estimate, or say what is wrong with map or labels."""
    with options.stoppable(prog):
        done = assess(
            args.map,
            args.labels,
            Path(args.out_dir, result_name(args.map)),
            args.classes and parse_classes(args.classes),
            args.label_field,
            args.drop_missing,
        )
        print(format_assessment(done))
        for file in done.files.values():
            print(f'wrote {file}')
