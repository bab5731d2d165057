"""Generate a landscape at two dates, with its true classes, to try the tools.

Writes 2016.tif and 2020.tif with their true classes, 2016_label.tif and
2020_label.tif. With --label it writes the true labels of the points of sample.
"""

import argparse
from pathlib import Path

from mmfdconv.cropland import options
from mmfdconv.cropland.landscape import (
    label_points,
    make_landscape,
    read_textures,
)


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument('out_dir', type=Path, help='folder to write to')
    parser.add_argument(
        '--size', type=int, default=7000, help='side in pixels'
    )
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument(
        '--changed',
        type=float,
        default=0.01,
        metavar='SHARE',
        help='share of the fields that change between the dates',
    )
    parser.add_argument(
        '--textures',
        nargs=2,
        metavar=('TILES', 'SPLIT'),
        help='take textures from the tiles of GID in TILES/img_dir/SPLIT, '
        'such as data/gid val (default: generated textures)',
    )
    parser.add_argument(
        '--label',
        nargs=2,
        metavar=('POINTS', 'TRUTH'),
        help='instead of a landscape, write OUT_DIR/labels.csv: the table '
        'POINTS with the classes of the map TRUTH as labels',
    )
    return parser.parse_args()


def main() -> None:
    """Make the landscape, or label, or say what is wrong."""
    args = parse_args()
    with options.stoppable('landscape.py'):
        if args.label:
            file = args.out_dir / 'labels.csv'
            label_points(*args.label, file)
            print(f'wrote {file}')
            return
        textures = args.textures and read_textures(*args.textures)
        files = make_landscape(
            args.out_dir, args.size, args.seed, args.changed, textures
        )
        for file in files.values():
            print(f'wrote {file}')


if __name__ == '__main__':
    main()
