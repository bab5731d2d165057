"""Cut the scenes of GID (Gaofen Image Dataset, five classes) into tiles.

RAW_DIR holds the published large-scale classification set: images NAME.tif and
label images NAME_label.tif whose colours are the classes, at any depth:

  RAW_DIR/image_RGB/GF2_PMS1__L1A0000564539-MSS1.tif
  RAW_DIR/label_5classes/GF2_PMS1__L1A0000564539-MSS1_label.tif

Labels may also be named NAME_5label, be PNG files, have a palette, or have the
numbers of the classes in one band (0 unlabelled, 1 built-up, 2 farmland,
3 forest, 4 meadow, 5 water).

OUT_DIR gets img_dir/{train,val}/*.png and ann_dir/{train,val}/*.png. If the
run is interrupted, run it again and it continues.
"""

import argparse
from typing import Dict

from ..datasets.gid import convert_gid
from . import plain_errors

#: What is not given is left to the function.
PARSER = dict(
    argument_default=argparse.SUPPRESS,
    formatter_class=argparse.RawDescriptionHelpFormatter,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command line takes."""
    add_tile_options(
        parser,
        dict(TRAIN=0.8, VAL=0.2),
        'split by scene (default), or by tile as in the FADConv paper; by '
        'tile, scores are too high, because training and validation tiles '
        'are neighbours',
    )
    parser.add_argument(
        '--images', help='folder of the images (default: RAW_DIR)'
    )
    parser.add_argument(
        '--labels', help='folder of the label images (default: RAW_DIR)'
    )


def add_tile_options(
    parser: argparse.ArgumentParser, fractions: Dict[str, float], split: str
) -> None:
    """Add the folders, and how scenes of any data set are cut.

    Args:
        parser: The command line's.
        fractions: Default share of each split, for the help.
        split: Help of ``--split``.
    """
    parser.add_argument('raw_dir', help='folder of the published files')
    parser.add_argument('out_dir', help='folder to write the tiles to')
    parser.add_argument(
        '--tile-size', type=int, help='side of a tile in pixels (default: 512)'
    )
    parser.add_argument('--split', choices=('scene', 'tile'), help=split)
    parser.add_argument(
        '--fractions',
        type=float,
        nargs=len(fractions),
        metavar=tuple(fractions),
        help='shares of the splits (default: '
        f'{" ".join(map(str, fractions.values()))})',
    )
    parser.add_argument(
        '--seed', type=int, help='random seed of the split (default: 0)'
    )
    parser.add_argument(
        '--workers',
        type=int,
        help='number of processes (default: one per CPU)',
    )


def run(args: argparse.Namespace, prog: str) -> None:
    """Write the tiles, or end with a message that names what is wrong."""
    with plain_errors(prog):
        convert_gid(**vars(args))
