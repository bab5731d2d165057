"""Cut the images and masks of Hi-CNA into tiles for train, val and test.

RAW_DIR should have one folder of images and one of masks for each of the two
dates. The four files of a place have the same NAME:

  RAW_DIR/image1/NAME.tif   first date: blue, green, red, near infrared,
                            8 or 16 bit
  RAW_DIR/mask1/NAME.tif    or .png: 0 non-cropland, 1 or 255 cropland
  RAW_DIR/image2/NAME.tif   second date
  RAW_DIR/mask2/NAME.tif

Options set other folders and values. Images larger than a tile are cut.

OUT_DIR gets img_dir/{train,val,test}/*.tif and
ann_dir/{train,val,test}/*.png, with the date as _t1 or _t2 in the name. If the
run is interrupted, run it again and it continues.
"""

import argparse

from ..datasets.hi_cna import convert_hi_cna
from . import gid, plain_errors

PARSER = gid.PARSER


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command line takes."""
    gid.add_tile_options(
        parser,
        dict(TRAIN=0.6, VAL=0.2, TEST=0.2),
        'split by place, with all dates together (default), or by tile',
    )
    parser.add_argument(
        '--images',
        nargs='+',
        metavar='FOLDER',
        help='folders of the images below RAW_DIR, one for each date '
        '(default: image1 image2)',
    )
    parser.add_argument(
        '--masks',
        nargs='+',
        metavar='FOLDER',
        help='folders of the masks, in the same order (default: mask1 mask2)',
    )
    parser.add_argument(
        '--cropland-values',
        type=int,
        nargs='+',
        metavar='VALUE',
        help='values of cropland in the masks (default: 1 255); 0 is never '
        'cropland',
    )
    parser.add_argument(
        '--group',
        metavar='REGEX',
        help='keep files together for which this matches the same text, such '
        "as '^(.+)_[0-9]+$' for the tiles of one larger image",
    )


def run(args: argparse.Namespace, prog: str) -> None:
    """Write the tiles, or end with a message that names what is wrong."""
    with plain_errors(prog):
        convert_hi_cna(**vars(args))
