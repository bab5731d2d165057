"""Time a layer against batch, channels and image side, and draw it."""

import argparse
import sys

from tqdm import tqdm

from mmfdconv.analysis import benchmark, scaling
from mmfdconv.analysis.canvas import check_picture
from mmfdconv.analysis.workloads import OPTIONS, LayerShape


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument('--out', required=True, help='picture to write (.png)')
    parser.add_argument(
        '--methods', nargs='+', default=['FDConv', 'FADConv', 'ODConv']
    )
    parser.add_argument(
        '--layer',
        default='128-128-3-28',
        help='C-O-k-side of the layer where it does not grow',
    )
    parser.add_argument('--batch', type=int, default=4, help='likewise')
    parser.add_argument(
        '--axes', nargs='+', choices=scaling.AXES, default=list(scaling.AXES)
    )
    parser.add_argument(
        '--sizes', nargs='+', type=int, default=(), help='along every axis'
    )
    parser.add_argument('--device', default='cpu', help='cpu or cuda')
    parser.add_argument('--rounds', type=int, default=5)
    return parser.parse_args()


def main() -> None:
    """Measure axis by axis, print the exponents, draw."""
    args = parse_args()
    found = []
    try:
        check_picture(args.out)
        shape = LayerShape.parse(args.layer)
        for axis in tqdm(args.axes, unit='axis'):
            found += scaling.measure_axis(
                axis,
                shape,
                args.batch,
                args.methods,
                OPTIONS,
                args.sizes,
                args.device,
                args.rounds,
            )
    except ValueError as error:
        sys.exit(f'scaling.py: error: {error}')
    print(scaling.to_text(found))
    env = benchmark.environment(args.device, 'float32', rounds=args.rounds)
    print('\n'.join(f'{key}: {value}' for key, value in env.items()))
    title = (
        f'{shape}, batch {args.batch}; {env["device"]}, threads: '
        f'{env["threads"]}, float32, torch {env["torch"]}'
    )
    scaling.draw(found, title, args.out)


if __name__ == '__main__':
    main()
