"""Time what an entry of DynamicConvLogHook adds to a training step.

Plain and recorded steps of a torchvision ResNet take turns in one process.
"""

import argparse
import sys

import torch

from mmfdconv.analysis import workloads
from mmfdconv.analysis.hook_cost import measure_hook


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--model', default='resnet50', help='a ResNet')
    parser.add_argument('--method', default='FDConv', help='conv_cfg type')
    parser.add_argument('--shape', default='256x416', help='HxW')
    parser.add_argument('--batch', type=int, default=2)
    parser.add_argument('--device', default='cpu', help='cpu or cuda')
    parser.add_argument('--rounds', type=int, default=10)
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    args = parse_args()
    try:
        side = workloads.parse_side(args.shape)
        built = workloads.resnets(args.model, [args.method], {}, {})
        model = built[args.method].to(args.device)
        x = torch.randn(args.batch, 3, *side, device=args.device)
        cost = measure_hook(model, x, args.rounds)
    except ValueError as error:
        sys.exit(f'hook_cost.py: error: {error}')
    print(
        f'{args.method} {args.model} at {args.batch}x{args.shape} on '
        f'{args.device}, torch {torch.__version__}, medians of '
        f'{args.rounds}\n'
        f'step                           {cost.step * 1e3:9.1f} ms\n'
        f'entry, every {cost.interval:4} iterations   '
        f'{cost.entry * 1e3:+9.1f} ms\n'
        f'pictures, every {cost.figure_interval:4}           '
        f'{cost.pictures * 1e3:+9.1f} ms\n'
        f'on average                     {100 * cost.share:+9.2f} % of a '
        'step'
    )


if __name__ == '__main__':
    main()
