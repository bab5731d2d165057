"""Train stock, dynamic and FAT convolutions alike on GID, and compare them.

A U-Net on ResNet-18 of quarter width, one recipe, several seeds each. Writes
methods.md, methods.csv and curves.png. The same command again goes on where
it was stopped; what is finished stays.
"""

import argparse
import signal
import sys
from pathlib import Path

from tqdm import tqdm

from mmfdconv.cropland import comparison, comparison_table

NAME = 'compare_methods.py'


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    default = comparison.Recipe('data/gid')
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        '--data-root',
        default=default.data_root,
        help='GID: img_dir/{train,val}, ann_dir/{train,val}',
    )
    parser.add_argument(
        '--work-dir',
        default='work_dirs/compare_methods',
        help='a folder for each method and seed, table and curves',
    )
    parser.add_argument(
        '--methods',
        nargs='+',
        choices=comparison.METHODS,
        default=list(comparison.METHODS),
        metavar='METHOD',
        help='in the order to run them in',
    )
    parser.add_argument('--seeds', type=int, default=3, help='0 to this - 1')
    parser.add_argument('--epochs', type=int, default=default.epochs)
    parser.add_argument('--batch-size', type=int, default=default.batch_size)
    parser.add_argument('--lr', type=float, default=default.lr)
    parser.add_argument(
        '--schedule',
        choices=comparison.SCHEDULES,
        default=default.schedule,
        help="of the learning rate: the paper's constant one, or to zero",
    )
    parser.add_argument(
        '--resize',
        type=int,
        default=default.resize,
        metavar='PIXELS',
        help='shrink images to this side, in training and validation; 0: not',
    )
    parser.add_argument(
        '--crop',
        type=int,
        default=default.crop,
        metavar='PIXELS',
        help='train on random squares of this side; 0: on whole images',
    )
    parser.add_argument(
        '--dtype',
        choices=comparison.DTYPES,
        default=default.dtype,
        help='below float32: by autocast, in training and validation',
    )
    parser.add_argument(
        '--val-interval',
        type=int,
        default=default.val_interval,
        metavar='EPOCHS',
        help='from one validation to the next; the last epoch always has one',
    )
    parser.add_argument(
        '--workers',
        type=int,
        default=default.workers,
        help='processes that load training images',
    )
    parser.add_argument(
        '--time-rounds',
        type=int,
        default=10,
        metavar='ROUNDS',
        help='turns in which all methods are timed at the end, at least 2; '
        '0: none',
    )
    return parser.parse_args()


def main() -> None:
    """Train what is not finished, then compare all that is."""
    args = parse_args()
    recipe = comparison.Recipe(
        data_root=args.data_root,
        epochs=args.epochs,
        batch_size=args.batch_size,
        lr=args.lr,
        schedule=args.schedule,
        resize=args.resize,
        crop=args.crop,
        dtype=args.dtype,
        val_interval=args.val_interval,
        workers=args.workers,
    )
    # So that a terminated tool ends the training, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if args.time_rounds == 1 or args.time_rounds < 0:
            raise ValueError(
                f'time-rounds must be 0 or at least 2, got {args.time_rounds}'
            )
        runs = comparison.plan_runs(
            recipe, args.methods, args.seeds, args.work_dir
        )
        failed = train_all(runs, recipe)
    except ValueError as error:
        sys.exit(f'{NAME}: error: {error}')
    except KeyboardInterrupt:
        sys.exit(f'{NAME}: stopped; the same command goes on')
    finished = [run for run in runs if run.is_finished(recipe)]
    if finished:
        folder = Path(args.work_dir)
        print(
            comparison_table.write(recipe, finished, folder, args.time_rounds)
        )
        print(f'wrote methods.md, methods.csv and curves.png to {folder}')
    if failed:
        sys.exit('\n'.join(f'{NAME}: {error}' for error in failed))


def train_all(runs, recipe):
    """Train run by run; return the errors of those that failed."""
    failed = []
    steps = recipe.epochs * recipe.steps()
    with tqdm(total=steps * len(runs), unit='step', dynamic_ncols=True) as bar:
        for number, run in enumerate(runs):
            bar.set_description(f'{number + 1}/{len(runs)} {run}')

            def heard(step, before=number * steps):
                bar.update(max(0, before + step - bar.n))

            try:
                comparison.train(run, recipe, heard)
            except RuntimeError as error:
                failed.append(error)
                bar.write(str(error))
            heard(steps)
            if run.is_finished(recipe):
                bar.write(comparison_table.line(run))
    return failed


if __name__ == '__main__':
    main()
