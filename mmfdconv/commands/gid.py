"""Cut the scenes of GID (Gaofen Image Dataset, five classes) into tiles.

RAW_DIR holds the published large-scale classification set: images NAME.tif and
label images NAME_label.tif whose colours are the classes, at any depth:

  RAW_DIR/image_RGB/GF2_PMS1__L1A0000564539-MSS1.tif
  RAW_DIR/label_5classes/GF2_PMS1__L1A0000564539-MSS1_label.tif

Labels NAME_5label, as PNG, with a palette, or as the classes' numbers in one
band (0 unlabelled, 1 built-up, 2 farmland, 3 forest, 4 meadow, 5 water) are
read, too.

OUT_DIR gets img_dir/{train,val}/*.png and ann_dir/{train,val}/*.png. A run
that was interrupted goes on when the same command is given again.
"""

import argparse

from ..datasets.gid import convert_gid
from . import plain_errors

#: What is not given is left to the function.
PARSER = dict(
    argument_default=argparse.SUPPRESS,
    formatter_class=argparse.RawDescriptionHelpFormatter,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command line takes."""
    parser.add_argument('raw_dir', help='folder of the published files')
    parser.add_argument('out_dir', help='folder of the tiles')
    parser.add_argument(
        '--images', help='folder of the images (default: RAW_DIR)'
    )
    parser.add_argument(
        '--labels', help='folder of the label images (default: RAW_DIR)'
    )
    parser.add_argument(
        '--tile-size', type=int, help='side of the tiles (default: 512)'
    )
    parser.add_argument(
        '--split',
        choices=('scene', 'tile'),
        help='draw whole scenes (default), or single tiles as the FADConv '
        'paper does, which leaks: neighbours meet in train and val',
    )
    parser.add_argument(
        '--fractions',
        type=float,
        nargs=2,
        metavar=('TRAIN', 'VAL'),
        help='what the splits get (default: 0.8 0.2)',
    )
    parser.add_argument('--seed', type=int, help='of the draw (default: 0)')
    parser.add_argument(
        '--workers', type=int, help='processes (default: one for each CPU)'
    )


def run(args: argparse.Namespace, prog: str) -> None:
    """Write the tiles, or end with a message that names what is wrong."""
    with plain_errors(prog):
        convert_gid(**vars(args))
