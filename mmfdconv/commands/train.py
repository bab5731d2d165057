"""Train a config of mmdet, mmseg or mmpretrain."""

import argparse
import os

from mmengine.config import Config

from ..engine import launch, options
from ..engine.fitting import CheckpointMisfit
from ..engine.memory import keep_freed_memory
from . import plain_errors


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command line takes."""
    options.add_config_options(parser, 'train_cfg.max_epochs=1')
    parser.add_argument('--work-dir', help='folder for logs and checkpoints')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='resume from this checkpoint (without a value: from the latest '
        'one in the work dir)',
    )
    parser.add_argument(
        '--amp',
        action='store_true',
        help='train in mixed precision; without a GPU this warns and trains '
        'in float32, or in bfloat16 with --cfg-options '
        'optim_wrapper.dtype=bfloat16',
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate by the batch size divided by '
        'auto_scale_lr.base_batch_size of the config',
    )
    options.add_launcher_options(parser)


def load_config(args: argparse.Namespace) -> Config:
    """Load the config and apply the options to it."""
    cfg = options.load_config(args)
    suffix = options.method_suffix(args)
    launch.set_work_dir(cfg, args.config, args.work_dir, suffix)
    if args.amp:
        launch.enable_amp(cfg)
    if args.auto_scale_lr:
        launch.enable_auto_scale_lr(cfg)
    if args.resume is not None:
        launch.resume(cfg, args.resume)
    launch.set_launcher(cfg, args.launcher)
    return cfg


def run(args: argparse.Namespace, prog: str) -> None:
    """Train, or end with a message that names the wrong option."""
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    with plain_errors(prog):
        cfg = load_config(args)
    launch.warn_of_idle_routers(cfg)
    keep_freed_memory()
    with plain_errors(prog, (CheckpointMisfit,)):
        launch.build_runner(cfg).train()
    launch.close_process_group()
