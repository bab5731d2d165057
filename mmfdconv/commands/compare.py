"""Train a config with several methods and seeds, and compare the results.

Writes comparison.md, .csv and .png, gates.csv and, for detectors and
segmentors, predictions.png. If it is interrupted, run it again and it
continues.
"""

import argparse
import logging
import signal
import sys
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner, set_random_seed
from tqdm import tqdm

from ..analysis import speed
from ..analysis.compare import predictions, results, training
from ..analysis.cost import cost_of_config
from ..analysis.cost.run import parse_shape
from ..analysis.figures.data import build_data
from ..analysis.figures.gates import gate_movements
from ..engine import launch
from ..engine.options import (
    add_config_options,
    add_shape_option,
    parse_rule,
)
from . import plain_errors


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command line takes."""
    add_config_options(parser, 'train_cfg.max_epochs=12', several=True)
    parser.add_argument(
        '--seeds',
        type=int,
        default=3,
        help='number of seeds, which start at 0 (default: %(default)s)',
    )
    parser.add_argument(
        '--work-dir',
        help='folder for the runs, the tables and the curves '
        '(default: work_dirs/compare-CONFIG)',
    )
    parser.add_argument(
        '--jobs',
        type=int,
        default=1,
        help='number of runs at the same time (default: %(default)s)',
    )
    parser.add_argument(
        '--metrics',
        nargs='+',
        metavar='METRIC',
        help='metrics to compare, such as mIoU (default: all that every run '
        'has)',
    )
    add_shape_option(parser)
    parser.add_argument(
        '--time-rounds',
        type=int,
        default=10,
        metavar='ROUNDS',
        help='how often a training step of each method and of the stock '
        'model is timed at the end; 0 for never (default: %(default)s)',
    )
    parser.add_argument(
        '--gate-images',
        type=int,
        default=32,
        metavar='IMAGES',
        help='number of validation images, at least 2, on which gates are '
        'compared at the end; 0 for none (default: %(default)s)',
    )
    parser.add_argument(
        '--pictures',
        type=int,
        default=4,
        metavar='IMAGES',
        help='number of validation images whose predictions by the first '
        'seed are drawn side by side; 0 for none (default: %(default)s)',
    )


def run(args: argparse.Namespace, prog: str) -> None:
    """Train what is not finished, then compare all that is."""
    # So that a terminated tool ends the trainings, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with plain_errors(prog):
        _check(args)
        configs = {word: _config(args, word) for word in args.conv}
        work_dir = Path(
            args.work_dir or f'work_dirs/compare-{Path(args.config).stem}'
        )
        runs = training.plan_runs(configs, args.seeds, str(work_dir))
        loader = _loader(next(iter(configs.values())))
        try:
            failed = _train(runs, args.jobs, len(loader))
        except KeyboardInterrupt:
            sys.exit(f'{prog}: stopped; the same command goes on')
        finished = [run for run in runs if run.is_finished()]
        if finished:
            print(_compare(args, configs, finished, loader, work_dir))
            print(f'wrote comparison.md, .csv and .png to {work_dir}')
    if failed:
        sys.exit('\n'.join(f'{prog}: {error}' for error in failed))


def _check(args: argparse.Namespace) -> None:
    for word in args.conv:
        if args.conv.count(word) > 1:
            raise ValueError(f'--conv: {word!r} is named twice')
    for option in args.conv_options or ():
        if option.partition('.')[0] not in args.conv:
            raise ValueError(
                f'--conv-options: {option!r} must begin with one of '
                f'{", ".join(args.conv)} and a dot, as in '
                'fdconv.kernel_num=16'
            )
    for name, least in (
        ('time_rounds', 0),
        ('gate_images', 2),
        ('pictures', 0),
    ):
        value = getattr(args, name)
        if value < least and value != 0:
            raise ValueError(
                f'--{name.replace("_", "-")}: must be 0 or at least {least}, '
                f'got {value}'
            )


def _config(args: argparse.Namespace, word: str) -> Config:
    """The experiment with one method."""
    start = f'{word}.'
    own = {
        key[len(start) :]: value
        for key, value in (args.conv_options or {}).items()
        if key.startswith(start)
    }
    rule = None if word == speed.STOCK else parse_rule(args.conv_rule)
    return launch.load_config(args.config, args.cfg_options, word, own, rule)


def _loader(cfg: Config):
    """Build the loader of training: how many steps, and a batch to time."""
    init_default_scope(cfg.default_scope)
    set_random_seed(0)
    launch.complete_dataloaders(cfg)
    return Runner.build_dataloader(cfg.train_dataloader, seed=0)


def _train(runs, jobs, steps_of_epoch):
    """Train, with a bar over the steps of all runs."""
    steps = {
        run: run.length * (steps_of_epoch if run.unit == 'epoch' else 1)
        for run in runs
    }
    done = dict.fromkeys(runs, 0)
    with tqdm(
        total=sum(steps.values()), unit='step', dynamic_ncols=True
    ) as bar:

        def heard(run, step):
            bar.update(min(step, steps[run]) - done[run])
            done[run] = min(step, steps[run])

        def ended(run, error):
            heard(run, steps[run])
            bar.write(str(error or f'{run} is finished'))

        for run in runs:  # what an earlier call has done takes no time now
            bar.initial += run.steps_done()
            heard(run, run.steps_done())
        return training.train_all(runs, jobs, heard, ended)


def _compare(args, configs, finished, loader, work_dir) -> str:
    """Count, time and follow gates; return the written table."""
    logging.disable(logging.INFO)  # building a model logs all its layers
    methods = list(dict.fromkeys(run.method for run in finished))
    shape = parse_shape(args.shape)
    costs = {word: cost_of_config(configs[word], shape) for word in methods}
    ratios, movements = {}, {}
    if args.time_rounds:
        batch = next(iter(loader))
        stock = launch.load_config(args.config, args.cfg_options, speed.STOCK)
        ratios = {
            word: 1.0
            if word == speed.STOCK
            else results.step_ratio(
                configs[word], stock, batch, args.time_rounds
            )
            for word in methods
        }
    if args.gate_images:
        data = build_data(configs[methods[0]])
        movements = {
            word: [
                gate_movements(run.trained().model, data, args.gate_images)
                for run in finished
                if run.method == word
            ]
            for word in methods
        }
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    env = speed.environment(device, _precision(configs[methods[0]]))
    del env['not_counted']
    text = results.write(
        work_dir,
        finished,
        costs,
        ratios,
        movements,
        _notes(args, costs, env),
        args.metrics,
    )
    # Last, as it is a toolbox's visualizer that draws, and may fail.
    scope = next(iter(configs.values())).default_scope
    if args.pictures and scope in ('mmdet', 'mmseg'):
        first = {run.method: run for run in reversed(finished)}
        predictions.draw_predictions(
            [first[word] for word in methods],
            args.pictures,
            work_dir / 'predictions.png',
        )
    logging.disable(logging.NOTSET)
    return text


def _precision(cfg: Config) -> str:
    wrapper = cfg.optim_wrapper
    if 'Amp' not in str(wrapper.get('type')):
        return 'float32'
    return f'autocast, {wrapper.get("dtype", "float16")}'


def _notes(args, costs, env):
    missing = sorted(
        {op for cost in costs.values() for *_, op in cost.count.uncounted}
    )
    high, wide = next(iter(costs.values())).shape
    words = [args.config]
    for key, value in (args.cfg_options or {}).items():
        words.append(f'{key}={value}')
    notes = [
        f'Config: {" ".join(words)}.',
        'last: scores of the last validation, mean ± standard deviation '
        '(n - 1) over the seeds. minus stock: mean of the differences seed '
        "by seed, with Student's 95 % interval.",
        f'FLOPs: multiply-adds of one image of {high} x {wide}; not counted: '
        f'{", ".join(missing) or "-"}.',
    ]
    if args.time_rounds:
        notes.append(
            'step: a training step on one batch, optimizer included and '
            'loading not, in turns with the stock model, median of '
            f'{args.time_rounds}.'
        )
    if args.gate_images:
        notes.append(
            'gates move: standard deviation over '
            f"{args.gate_images} validation images of a kernel's share, times "
            'the number of kernels; mean over the layers, and the layer that '
            'moves most. 0: every image gets the same gates.'
        )
    return [*notes, ', '.join(f'{key} {value}' for key, value in env.items())]
