"""Time what an entry of DynamicConvLogHook adds to a training step.

Plain and recorded steps of a torchvision ResNet take turns in one process.
"""

import argparse
import statistics
import sys
import time

import torch
from torch import nn

from mmfdconv.analysis import benchmark, workloads
from mmfdconv.hooks import DynamicConvLogHook


class Training:
    """As much of a runner as the hook looks at."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.visualizer = self
        self.iter = 0

    def add_scalars(self, scalars: dict, step: int) -> None:
        """Take what a visualizer would write."""

    def add_image(self, name: str, image, step: int) -> None:
        """Take what a visualizer would write."""


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
    except ValueError as error:
        sys.exit(f'hook_cost.py: error: {error}')
    model = built[args.method].to(args.device)
    x = torch.randn(args.batch, 3, *side, device=args.device)
    candidate = benchmark.Candidate(model, x, torch.float32)
    hook = DynamicConvLogHook()
    # Entries with and without pictures, and plain steps between them.
    iterations = dict(
        plain=0,
        entry=hook.interval - 1,
        pictures=hook.figure_interval - 1,
    )
    training = Training(model)
    times = {name: [] for name in iterations}
    for turn in range(args.rounds + 1):
        for name, training.iter in iterations.items():
            start = time.perf_counter()
            hook.before_train_iter(training, training.iter)
            candidate.step()
            hook.after_train_iter(training, training.iter)
            if args.device.startswith('cuda'):
                torch.cuda.synchronize()
            if turn:  # the first one warms up
                times[name].append(time.perf_counter() - start)
    step, entry, pictures = (statistics.median(t) for t in times.values())
    every, rarely = hook.interval, hook.figure_interval
    share = (entry - step) / every + (pictures - entry) / rarely
    print(
        f'{args.method} {args.model} at {args.batch}x{args.shape} on '
        f'{args.device}, torch {torch.__version__}, medians of '
        f'{args.rounds}\n'
        f'step                           {step * 1e3:9.1f} ms\n'
        f'entry, every {every:4} iterations   {(entry - step) * 1e3:+9.1f} '
        'ms\n'
        f'pictures, every {rarely:4}           '
        f'{(pictures - entry) * 1e3:+9.1f} ms\n'
        f'on average                     {100 * share / step:+9.2f} % of a '
        'step'
    )


if __name__ == '__main__':
    main()
