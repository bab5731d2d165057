"""Time dynamic layers or backbones and the stock ones, in one process.

All methods and the stock layer take turns, so compare the ratios. Without
--model the four layers of docs/performance.md are timed.
"""

import argparse
import importlib.util
from typing import Dict, List

import torch
from mmengine.config import DictAction
from mmengine.registry import init_default_scope

from ..analysis import calls, speed, workloads
from ..analysis.outputs import check_output
from ..engine.memory import keep_freed_memory
from ..engine.models import check_device, image_channels
from ..engine.options import (
    add_conv_options,
    add_timing_options,
    load_config,
)
from ..layers.checks import check_positive_int
from . import plain_errors

DTYPES = dict(
    float32=torch.float32, float16=torch.float16, bfloat16=torch.bfloat16
)
LAYERS = ('64-64-3-56', '256-256-3-28', '512-512-3-14', '256-1024-1-28')
IMAGES = ('224x224', '256x416')
METHODS = ('FDConv', 'FADConv', 'ODConv', 'DYConv', 'CondConv', 'DCDConv')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command line takes."""
    parser.add_argument(
        '--model',
        dest='config',
        help='model to time instead of layers: a config, dynamic by itself or '
        'with --conv, or a ResNet of torchvision, such as resnet50',
    )
    parser.add_argument(
        '--methods',
        nargs='+',
        help='types of layers (default: FDConv FADConv ODConv DYConv CondConv '
        'DCDConv; with a config, those of the config)',
    )
    parser.add_argument(
        '--shapes',
        nargs='+',
        help='sizes: for layers C-O-k-side, such as 64-64-3-56 (input and '
        'output channels, kernel, side of the input); for models HxW, such as '
        '224x224',
    )
    parser.add_argument(
        '--batch', type=int, help='batch size (default: 4; for models 2)'
    )
    parser.add_argument(
        '--dtype',
        choices=DTYPES,
        default='float32',
        help='float16 and bfloat16 use autocast (default: %(default)s)',
    )
    add_timing_options(parser, speed.CLOCKS, rounds=10)
    parser.add_argument(
        '--channels-last',
        action='store_true',
        help='use the channels-last memory format',
    )
    parser.add_argument(
        '--compile', action='store_true', help='use torch.compile'
    )
    parser.add_argument(
        '--inference',
        action='store_true',
        help='time the forward pass as in inference, in evaluation mode and '
        'without gradients',
    )
    parser.add_argument(
        '--fixed-gates',
        action='store_true',
        help='with --inference, predict the gates once and not for each image',
    )
    parser.add_argument(
        '--other',
        nargs='+',
        default=[],
        metavar='NAME=FILE:CLASS',
        help='also time layers of other projects, whose classes take the '
        'arguments of nn.Conv2d',
    )
    parser.add_argument(
        '--options',
        nargs='+',
        action=DictAction,
        default={},
        metavar='KEY=VALUE',
        help='options of the layers, such as FDConv.kernel_num=16',
    )
    parser.add_argument(
        '--calls',
        action='store_true',
        help='instead of timing, count the operations that a forward pass and '
        'a step launch on a GPU (counted on a CPU that runs the same code)',
    )
    add_conv_options(parser)
    parser.set_defaults(cfg_options=None)


def load_others(specs: List[str]) -> Dict[str, type]:
    """Import the classes that --other names."""
    others = {}
    for spec in specs:
        name, _, rest = spec.partition('=')
        file, _, cls = rest.rpartition(':')
        if not (name and file and cls):
            raise ValueError(f'--other: give NAME=FILE:CLASS, got {spec!r}')
        module_spec = importlib.util.spec_from_file_location(name, file)
        module = importlib.util.module_from_spec(module_spec)
        module_spec.loader.exec_module(module)
        others[name] = getattr(module, cls)
    return others


def cases(args: argparse.Namespace):
    """Yield the name, the modules and the input's shape of every case."""
    others = load_others(args.other)
    methods = args.methods or METHODS
    is_config = str(args.config).endswith('.py')
    if args.conv and not is_config:
        raise ValueError(
            f'--conv: {args.conv!r} needs --model with a config, got '
            f'{args.config!r}; --methods chooses layers by their type'
        )
    if args.options and is_config:
        raise ValueError(
            '--options is for layers by their type; those of a config take '
            '--conv-options, with --conv'
        )
    options = workloads.merge_options(args.options, [*methods, *others])
    if args.config is None:
        for text in args.shapes or LAYERS:
            shape = workloads.LayerShape.parse(text)
            modules = workloads.layers(shape, methods, options, others)
            size = (args.batch or 4, shape.in_channels, *[shape.side] * 2)
            yield str(shape), modules, size
        return
    if is_config:
        cfg = load_config(args)
        init_default_scope(cfg.default_scope)
        modules = workloads.config_backbones(cfg)
    else:
        modules = workloads.resnets(args.config, methods, options, others)
    for text in args.shapes or IMAGES:
        bands = image_channels(next(iter(modules.values())))
        size = (args.batch or 2, bands, *workloads.parse_side(text))
        yield f'{args.config} at {size[0]}x{text}', modules, size


def _check_calls(args: argparse.Namespace) -> None:
    """Refuse what counting knows nothing of."""
    wrong = [
        f'--{name}'
        for name, value in (
            ('model', args.config),
            ('out', args.out),
            ('device', args.device != 'cpu'),
        )
        if value
    ]
    if wrong:
        raise ValueError(
            f'--calls counts for layers on a CPU and prints; leave '
            f'{", ".join(wrong)} out'
        )


def run(args: argparse.Namespace, prog: str) -> None:
    """Measure and print, case by case."""
    results = []
    keep_freed_memory()
    with plain_errors(prog):
        if args.calls:
            _check_calls(args)
        if args.fixed_gates and (args.compile or not args.inference):
            raise ValueError(
                '--fixed-gates is for --inference, and not for --compile: '
                'gates cannot be fixed in a compiled model'
            )
        check_output(args.out, speed.SUFFIXES)
        check_device(args.device)
        if args.batch is not None:
            check_positive_int('batch', args.batch)
        for name, modules, size in cases(args):
            x = torch.randn(size, device=args.device)
            if args.calls:
                for module in modules.values() if args.compile else ():
                    module.compile()
                print(calls.calls_to_text(name, modules, x), flush=True)
                continue
            for key, module in modules.items():
                module.to(args.device)
                if args.channels_last:
                    module.to(memory_format=torch.channels_last)
                    x = x.contiguous(memory_format=torch.channels_last)
                if args.compile:
                    modules[key] = torch.compile(module)
            found = speed.measure(
                name,
                modules,
                x,
                DTYPES[args.dtype],
                args.rounds,
                args.clock,
                args.inference,
                args.fixed_gates,
            )
            print(speed.to_text(found), flush=True)
            results += found
    if args.calls:
        return
    env = speed.environment(
        args.device,
        args.dtype,
        channels_last=args.channels_last,
        compile=args.compile,
        rounds=args.rounds,
        clock=args.clock,
        inference=args.inference,
        fixed_gates=args.fixed_gates,
    )
    print('\n'.join(f'{key}: {value}' for key, value in env.items()))
    if args.out:
        speed.write_results(results, env, args.out)
