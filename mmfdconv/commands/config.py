"""Write a short config that gives a stock one a method, for the stock tools.

It inherits from CONFIG and adds the backbone's block, the import of mmfdconv,
and, where the method needs it, the schedule of its temperature.
"""

import argparse
from pathlib import Path

from ..convert import short_config
from ..engine.options import add_conv_options, parse_rule
from . import plain_errors


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command line takes."""
    parser.add_argument(
        'config',
        help='stock config: a path, or the name of an installed one, as in '
        'mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py',
    )
    add_conv_options(parser)
    parser.add_argument(
        '--out', help='file to write (.py); default: print the text'
    )
    parser.add_argument(
        '--force', action='store_true', help='replace the file if it is there'
    )


def run(args: argparse.Namespace, prog: str) -> None:
    """Write or print the config, or say what is wrong."""
    with plain_errors(prog):
        if args.conv is None:
            raise ValueError('--conv: name a method, as in --conv fdconv')
        out = Path(args.out or 'my_config.py')
        if out.suffix != '.py':
            raise ValueError(f'--out: {args.out!r} must end with .py')
        text = short_config(
            args.config,
            args.conv,
            args.conv_options,
            parse_rule(args.conv_rule),
            out.parent,
        )
        if args.out is None:
            print(text, end='')
            return
        if out.exists() and not args.force:
            raise ValueError(
                f'--out: {args.out!r} exists already; --force replaces it'
            )
        out.write_text(text, encoding='utf-8')
    print(f'wrote {out}')
