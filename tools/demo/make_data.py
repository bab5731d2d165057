"""Make the demo's dataset, or keep the one that is there already."""

import argparse
import sys

from mmfdconv.datasets import make_shapes


def parse_args() -> argparse.Namespace:
    """Read the command line; what is not given is left to the function."""
    parser = argparse.ArgumentParser(
        description=__doc__, argument_default=argparse.SUPPRESS
    )
    parser.add_argument('out_dir', help='folder of the dataset')
    parser.add_argument('--num-train', type=int, help='images to train on')
    parser.add_argument('--num-val', type=int, help='images to evaluate on')
    parser.add_argument('--image-size', type=int, help='side, in pixels')
    parser.add_argument('--seed', type=int, help='of all randomness')
    parser.add_argument(
        '--overwrite',
        action='store_true',
        help='replace a dataset of other settings in the same folder',
    )
    return parser.parse_args()


def main() -> None:
    """Make the dataset, or end with a message that names what is wrong."""
    try:
        make_shapes(**vars(parse_args()))
    except ValueError as error:
        sys.exit(f'make_data.py: error: {error}')


if __name__ == '__main__':
    main()
