"""Draw what a dynamic model learned, from a config, weights and images."""

import argparse
import inspect
from functools import partial

from mmengine.logging import MMLogger
from tqdm import tqdm

from ..analysis.figures import FIGURES
from ..analysis.figures.canvas import check_picture
from ..analysis.figures.subject import Subject
from ..engine.options import add_config_options, load_config
from . import plain_errors


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command line takes."""
    common = argparse.ArgumentParser(add_help=False)
    add_config_options(common, 'val_dataloader.dataset.data_root=data/coco')
    common.add_argument(
        'checkpoint',
        nargs='?',
        help='checkpoint of that config (default: the untrained model)',
    )
    common.add_argument(
        '--out',
        required=True,
        help='picture to write (.png, .svg, .pdf)',
    )
    common.add_argument(
        '--layer',
        help='name of the layer, as `mmfdconv layers` prints it (default: the '
        'first that the figure can show; for gates, the layer whose gates '
        'depend most on the class)',
    )
    common.add_argument('--device', default='cpu', help='cpu or cuda')
    figures = parser.add_subparsers(dest='figure', required=True)
    sub = {}
    for name, draw in FIGURES.items():
        text = draw.__doc__
        sub[name] = figures.add_parser(
            name, help=text, description=text, parents=[common]
        )
    sub['responses'].add_argument(
        '--number',
        type=int,
        default=6,
        help='number of kernels to show (default: 6)',
    )
    sub['similarity'].add_argument(
        '--all',
        dest='every',
        action='store_true',
        help='also print the numbers of all layers',
    )
    for name in ('bands', 'attention'):
        sub[name].add_argument('--image', required=True, help='image file')
    sub['gates'].add_argument(
        '--split',
        choices=('train', 'val', 'test'),
        default='val',
        help='data set of the config (default: val)',
    )
    sub['gates'].add_argument(
        '--number',
        type=int,
        help='number of images, spread evenly (default: all)',
    )
    sub['gates'].add_argument(
        '--dead',
        dest='below',
        metavar='SHARE',
        type=float,
        default=0.1,
        help='a kernel is dead if its share is below this fraction of a '
        'uniform share (default: 0.1)',
    )


def options(args: argparse.Namespace) -> dict:
    """The figure's own options, by its function's names."""
    check_picture(args.out)
    number = getattr(args, 'number', None)
    if number is not None and number < 1:
        raise ValueError(f'--number: must be at least 1, got {number}')
    given = dict(vars(args))
    if args.figure == 'gates':
        given['progress'] = partial(tqdm, unit='image', dynamic_ncols=True)
    names = inspect.signature(FIGURES[args.figure]).parameters
    return {name: given[name] for name in names if name in given}


def run(args: argparse.Namespace, prog: str) -> None:
    """Draw and say what is seen, or say what is wrong."""
    # Without the tables and lines that building a model logs.
    MMLogger.get_instance('figures', log_level='WARNING')
    with plain_errors(prog):
        cfg = load_config(args)
        chosen = options(args)
        subject = Subject.load(cfg, args.checkpoint, args.device)
        lines = FIGURES[args.figure](subject, **chosen)
    print('\n'.join(lines))
    print(f'wrote {args.out}')
