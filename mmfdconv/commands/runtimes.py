"""Time models in onnxruntime, OpenVINO and PyTorch.

Every config is exported with every method, and compared and timed as by
export-onnx. Each becomes a row of a Markdown table. No checkpoint is needed,
because times do not depend on weights: weights are random, and the gates of
dynamic layers are moved from their start, so that kernels depend on the image.
"""

import argparse
from pathlib import Path
from typing import Optional

import torch
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from torch import nn

from ..analysis.cost.run import default_shape, parse_shape
from ..analysis.outputs import check_output
from ..convert import METHODS
from ..deployment.exporting import export_onnx
from ..deployment.inputs import noise
from ..deployment.runtimes import compare_runtimes
from ..deployment.tensor_parts import tensor_part
from ..engine.launch import load_config
from ..engine.models import build_model
from ..engine.options import add_shape_option
from ..layers import DynamicConv2d
from . import plain_errors
from .export_onnx import add_row, check


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command line takes."""
    parser.add_argument(
        'configs',
        nargs='+',
        help='config files, or names such as '
        'mmpretrain::resnet/resnet18_8xb32_in1k.py',
    )
    parser.add_argument(
        '--conv',
        nargs='+',
        choices=METHODS,
        default=[None],
        metavar='METHOD',
        help='methods whose layers the backbones get: '
        f'{", ".join(METHODS)} (default: those of the configs)',
    )
    add_shape_option(parser)
    parser.add_argument(
        '--rounds',
        type=int,
        default=5,
        help='number of turns, of which the median is taken '
        '(default: %(default)s)',
    )
    parser.add_argument(
        '--threads',
        type=int,
        help='number of threads (default: that of PyTorch)',
    )
    parser.add_argument(
        '--out', required=True, help='.md file to which rows are added'
    )


def run(args: argparse.Namespace, prog: str) -> None:
    """Export, compare and time, model by model."""
    MMLogger.get_instance('runtimes', log_level='ERROR')
    with plain_errors(prog):
        check_output(args.out, ('.md',))
        for name, value in (
            ('rounds', args.rounds),
            ('threads', args.threads),
        ):
            if value is not None and value < 1:
                raise ValueError(f'{name} must be at least 1, got {value}')
        if args.threads:
            torch.set_num_threads(args.threads)
        for config in args.configs:
            for method in args.conv:
                add_model(args, config, method)
    print(f'{args.out}: CPU, {torch.get_num_threads()} threads, noise')


def add_model(
    args: argparse.Namespace, config: str, method: Optional[str]
) -> None:
    """Add the row of one config with one method."""
    cfg = load_config(config, conv=method)
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)
    model = live_(build_model(cfg))
    image = noise(model, parse_shape(args.shape) or default_shape(cfg))
    part = tensor_part(model, image)
    proto = export_onnx(part, image, part.output_names)
    found = compare_runtimes(part, proto, [image], args.rounds)
    check(found)
    add_row(args.out, Path(config).stem, model, [image], found)


@torch.no_grad()
def live_(model: nn.Module) -> nn.Module:
    """Move dynamic layers from their start, where all images get one kernel.

    Gates are neutral there, and kernels that they mix equal. They are moved
    little, by the number of their inputs: saturated gates, layer after layer,
    make a model that rounding alone upsets.

    Returns:
        ``model``.
    """
    for layer in model.modules():
        if isinstance(layer, DynamicConv2d):
            for parameter in layer.router_parameters():
                inputs = parameter[0].numel() if parameter.dim() > 1 else 1
                step = 0.1 / inputs**0.5
                parameter.add_(torch.randn_like(parameter), alpha=step)
            for parameter in layer.weight_parameters():
                parameter.mul_(1 + 0.1 * torch.randn_like(parameter))
    return model
