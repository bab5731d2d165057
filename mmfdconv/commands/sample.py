"""Draw a stratified sample of points from a map, to label by eye.

Writes <map>_points.csv and .gpkg, with a column for the label. With --scenes
it also writes pictures and <map>_sheet.html, a page to label them with the
keyboard. The command estimate reads the labels.
"""

import argparse
from pathlib import Path
from typing import Any, Callable, Dict, Optional, Sequence

from tqdm import tqdm

from ..cropland import options
from ..cropland.files import result_name
from ..cropland.legend import parse_classes
from ..cropland.sample import Design, draw_sample, format_sample


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command line takes."""
    default = Design()
    options.add_map_options(parser)
    parser.add_argument(
        '--scenes',
        nargs='+',
        default=[],
        metavar='SCENE',
        help='scenes for the pictures: the earlier and the later one for a '
        'map of change, one for a map of a single date',
    )
    parser.add_argument(
        '--standard-error',
        type=float,
        default=default.error,
        metavar='SHARE',
        help='wanted standard error of the overall accuracy, which sets the '
        'number of points (default: %(default)s)',
    )
    parser.add_argument(
        '--expected',
        nargs='+',
        metavar='STRATUM=SHARE',
        help="expected user's accuracies, such as 'cropland lost=0.6' "
        '(default: 0.7 for change, 0.8 near change, otherwise 0.9)',
    )
    parser.add_argument(
        '--min-points',
        type=int,
        default=default.least,
        metavar='N',
        help='smallest number of points in a stratum (default: %(default)s)',
    )
    parser.add_argument(
        '--points',
        nargs='+',
        metavar='STRATUM=N',
        help='set the number of points of a stratum',
    )
    parser.add_argument(
        '--buffer',
        type=int,
        default=default.beside,
        metavar='PIXELS',
        help='pixels up to this distance from change are a separate stratum; '
        '0 for none (default: %(default)s)',
    )
    parser.add_argument(
        '--seed',
        type=int,
        default=default.seed,
        help='random seed (default: %(default)s)',
    )


def run(args: argparse.Namespace, prog: str) -> None:
    """Draw the sample, or say what is wrong."""
    with options.stoppable(prog):
        if len(args.scenes) > 2:
            raise ValueError(
                f'--scenes: one or two, not {len(args.scenes)}: '
                f'{", ".join(args.scenes)}'
            )
        design = Design(
            args.standard_error,
            _by_stratum(args.expected, '--expected', float),
            _by_stratum(args.points, '--points', int),
            args.min_points,
            args.buffer,
            args.seed,
        )
        with tqdm(unit='picture', disable=not args.scenes) as bar:

            def progress(total: int) -> None:
                bar.total = total
                bar.update()

            sample = draw_sample(
                args.map,
                Path(args.out_dir, result_name(args.map)),
                args.scenes,
                design,
                args.classes and parse_classes(args.classes),
                progress,
            )
        print(format_sample(sample))
        for file in sample.files.values():
            print(f'wrote {file}')


def _by_stratum(
    words: Optional[Sequence[str]],
    option: str,
    kind: Callable[[str], Any],
) -> Dict[str, Any]:
    """Read NAME=NUMBER."""
    found = {}
    for word in words or ():
        name, _, number = word.rpartition('=')
        try:
            found[name] = kind(number)
        except ValueError:
            name = ''
        if not name:
            raise ValueError(
                f"{option}: {word!r} is not like 'cropland lost=100', a "
                'stratum and a number'
            )
    return found
