"""Count parameters and FLOPs of a config's model, part by part.

Works for mmdet, mmseg and mmpretrain, on a CPU, without data or checkpoint.
"""

import argparse

import torch
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope

from ..analysis.cost import model_cost
from ..analysis.cost.run import parse_shape
from ..analysis.outputs import check_output
from ..engine.options import (
    add_config_options,
    add_shape_option,
    load_config,
)
from . import plain_errors


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command line takes."""
    add_config_options(parser, 'model.backbone.frozen_stages=0')
    add_shape_option(parser)
    parser.add_argument(
        '--compare-stock',
        action='store_true',
        help='also count the model with stock layers',
    )
    parser.add_argument(
        '--out', help='also write the numbers to this .json or .csv file'
    )


def run(args: argparse.Namespace, prog: str) -> None:
    """Print the table, or say what is wrong."""
    # Quiet about what is converted; tools/print_layers.py tells.
    MMLogger.get_instance('get_flops', log_level='ERROR')
    with plain_errors(prog):
        shape = parse_shape(args.shape)
        check_output(args.out, model_cost.SUFFIXES)
        cfg = load_config(args)
        init_default_scope(cfg.default_scope)
        stock = None
        if args.compare_stock:
            cost, stock = model_cost.compare(cfg, shape)
        else:
            cost = model_cost.cost_of_config(cfg, shape)
        if args.out:
            about = dict(config=args.config, torch=torch.__version__)
            if args.conv:
                about['conv'] = args.conv
            model_cost.write(args.out, cost, stock, **about)
    height, width = cost.shape
    method = f' --conv {args.conv}' if args.conv else ''
    print(f'{args.config}{method}, one image of {height} x {width}\n')
    print(model_cost.to_text(cost, stock))
