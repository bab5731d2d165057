"""Write a short config that adds a method to a stock config.

The toolboxes' own tools can train it. It inherits from CONFIG, and adds the
dynamic backbone, the import of mmfdconv and, if the method needs one, the
schedule of its temperature.
"""

import argparse
from pathlib import Path

from ..analysis.outputs import check_output
from ..convert import short_config
from ..engine.options import add_conv_options, parse_rule
from . import plain_errors


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command line takes."""
    parser.add_argument(
        'config',
        help='stock config: a file, or the name of an installed config, such '
        'as mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py',
    )
    add_conv_options(parser)
    parser.add_argument(
        '--out', help='.py file to write (default: print the config)'
    )
    parser.add_argument(
        '--force', action='store_true', help='replace the file if it exists'
    )


def run(args: argparse.Namespace, prog: str) -> None:
    """Write or print the config, or say what is wrong."""
    with plain_errors(prog):
        if args.conv is None:
            raise ValueError('--conv: name a method, as in --conv fdconv')
        check_output(args.out, ('.py',), inputs=[args.config])
        out = Path(args.out or 'my_config.py')
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
