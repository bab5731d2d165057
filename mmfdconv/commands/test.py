"""Test a checkpoint of a config of mmdet, mmseg or mmpretrain."""

import argparse
import os
from pathlib import Path

from mmengine.config import Config

from ..engine import launch, options, testing
from ..engine.fitting import CheckpointMisfit
from . import plain_errors


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command line takes."""
    options.add_config_options(parser, 'test_dataloader.batch_size=4')
    parser.add_argument('checkpoint', help='checkpoint: a file or URL')
    parser.add_argument(
        '--work-dir',
        help="folder for logs and metrics (default: 'test' in the work dir of "
        'the training)',
    )
    parser.add_argument(
        '--out',
        help='where to write the predictions: a pickle file for mmdet and '
        'mmpretrain, a folder for mmseg',
    )
    parser.add_argument(
        '--show', action='store_true', help='show the predictions in a window'
    )
    parser.add_argument(
        '--show-dir',
        help='folder for pictures of the predictions (mmdet puts a relative '
        'one into <work dir>/<timestamp>)',
    )
    parser.add_argument(
        '--wait-time',
        type=float,
        default=2.0,
        help='seconds to show each image with --show (default: %(default)s)',
    )
    parser.add_argument(
        '--tta', action='store_true', help='use test-time augmentation'
    )
    options.add_launcher_options(parser)


def load_config(args: argparse.Namespace) -> Config:
    """Load the config and apply the options to it."""
    cfg = options.load_config(args)
    needs = 'test_dataloader', 'test_evaluator', 'test_cfg'
    if any(cfg.get(name) is None for name in needs):
        raise ValueError(f'config: must have {", ".join(needs)}')
    cfg.load_from = launch.check_checkpoint('checkpoint', args.checkpoint)
    cfg.resume = False  # which a resumed training writes into its config
    suffix = options.method_suffix(args)
    launch.set_work_dir(cfg, args.config, args.work_dir, suffix)
    if args.work_dir is None:
        # MMEngine writes the config into it: not over that of the training.
        cfg.work_dir = str(Path(cfg.work_dir, 'test'))
    if args.show or args.show_dir is not None:
        testing.draw_predictions(cfg, args.show, args.show_dir, args.wait_time)
    if args.tta:
        testing.use_tta(cfg)
    if args.out is not None:
        testing.dump_predictions(cfg, args.out)
    launch.set_launcher(cfg, args.launcher)
    return cfg


def run(args: argparse.Namespace, prog: str) -> None:
    """Test, or end with a message that names the wrong option."""
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    with plain_errors(prog):
        cfg = load_config(args)
    with plain_errors(prog, (CheckpointMisfit,)):
        launch.build_runner(cfg).test()
    launch.close_process_group()
