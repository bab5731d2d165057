"""Make a scene of GID's tiles, to try map_scene.py and change.py on.

With --labels also the map of its true classes, OUT_classes.tif.
"""

import argparse
from pathlib import Path

from mmfdconv.cropland import options
from mmfdconv.cropland.mosaic import lay_out, make_mosaic


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument('data_root', help='folder with img_dir and ann_dir')
    parser.add_argument('out', help='GeoTIFF to write')
    parser.add_argument('--split', default='train', help='train or val')
    parser.add_argument('--rows', type=int, default=31, help='of tiles')
    parser.add_argument('--columns', type=int, default=33, help='of tiles')
    parser.add_argument('--seed', type=int, default=0, help='of the order')
    parser.add_argument(
        '--changed',
        type=float,
        default=0.0,
        metavar='SHARE',
        help='of the tiles that are others than without it: another date',
    )
    parser.add_argument(
        '--labels', action='store_true', help='write the true classes, too'
    )
    return parser.parse_args()


def main() -> None:
    """Make the scene, or say what is wrong."""
    args = parse_args()
    root = Path(args.data_root)
    with options.stoppable('mosaic.py'):
        layout = lay_out(
            root / 'img_dir' / args.split,
            args.rows,
            args.columns,
            args.seed,
            args.changed,
        )
        labels = root / 'ann_dir' / args.split if args.labels else None
        for file in make_mosaic(layout, args.out, labels).values():
            print(f'wrote {file}, {layout.width} x {layout.height} pixels')


if __name__ == '__main__':
    main()
