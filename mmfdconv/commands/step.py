"""Time a training step of several detectors of mmdet.

The others are compared with the first config; with `--conv`, so is every
config with the method's layers. All models get the same
generated images and objects. A step is `loss` and its backward pass, without
data and optimizer. Memory is what autograd keeps for the backward pass or, on
CUDA, the peak of what is allocated.
"""

import argparse
from typing import Any, Dict, List, Mapping, Optional, Tuple

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from torch import Tensor, nn

from ..analysis import speed
from ..analysis.outputs import check_output
from ..analysis.workloads import parse_side
from ..convert.nodes import nodes, type_name
from ..engine.launch import load_config
from ..engine.models import check_device, one_line
from ..engine.options import add_timing_options
from ..layers.checks import check_positive_int
from . import plain_errors

_OBJECTS = 7  # in every image, COCO's mean


class LossOfImages(nn.Module):
    """A detector's summed loss as a function of the images alone.

    Args:
        model: The detector.
        samples: What it is told about the images, mmdet's ``DetDataSample``.
    """

    def __init__(self, model: nn.Module, samples: List[Any]) -> None:
        super().__init__()
        self.model = model
        self.samples = samples

    def forward(self, images: Tensor) -> Tensor:
        """Sum of the losses that a runner would sum."""
        losses = self.model.loss(images, self.samples)
        return self.model.parse_losses(losses)[0]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command line takes."""
    parser.add_argument(
        'configs', nargs='+', help='config files, or names mmdet::...'
    )
    parser.add_argument(
        '--conv',
        metavar='METHOD',
        help='method whose layers the backbones get; the first config is '
        'timed without them, too',
    )
    parser.add_argument(
        '--shape',
        default='256x256',
        help='size HxW of the images (default: %(default)s)',
    )
    parser.add_argument(
        '--batch',
        type=int,
        default=2,
        help='batch size (default: %(default)s)',
    )
    add_timing_options(parser, speed.CLOCKS, rounds=5)


def run(args: argparse.Namespace, prog: str) -> None:
    """Measure and print."""
    MMLogger.get_instance('step', log_level='ERROR')
    with plain_errors(prog):
        check_output(args.out, speed.SUFFIXES)
        check_device(args.device)
        check_positive_int('batch', args.batch)
        height, width = parse_side(args.shape)
        init_default_scope('mmdet')
        modules: Dict[str, nn.Module] = {}
        images = torch.Tensor()
        first, *others = args.configs
        cases = {speed.STOCK: (first, None)}
        if args.conv:
            for name in args.configs:
                cases[f'{name} --conv {args.conv}'] = name, args.conv
        else:
            cases.update({name: (name, None) for name in others})
        for label, (name, conv) in cases.items():
            images, module = _load(name, conv, args, height, width)
            modules[label] = module
        found = speed.measure(
            f'{args.batch}x{args.shape}',
            modules,
            images,
            rounds=args.rounds,
            clock=args.clock,
        )
    print(f'{speed.STOCK}: {args.configs[0]}')
    print(speed.to_text(found))
    env = speed.environment(
        args.device, 'float32', rounds=args.rounds, clock=args.clock
    )
    print('\n'.join(f'{key}: {value}' for key, value in env.items()))
    if args.out:
        speed.write_results(found, env, args.out)


def _load(
    name: str,
    conv: Optional[str],
    args: argparse.Namespace,
    height: int,
    width: int,
) -> Tuple[Tensor, nn.Module]:
    """Images, and the loss of a config's model for them."""
    cfg = load_config(name, conv=conv)
    if cfg.default_scope != 'mmdet':
        raise ValueError(
            f'configs must be of mmdet, got {name}, of {cfg.default_scope}'
        )
    try:
        return _build(cfg, args, height, width)
    except Exception as error:  # models of other input raise many kinds
        raise ValueError(
            f'configs: {name}: its {type_name(cfg.model)} gives no loss of '
            'images with objects alone, which is what is timed '
            f'({type(error).__name__}: {one_line(error)})'
        ) from error


def _build(
    cfg: Config, args: argparse.Namespace, height: int, width: int
) -> Tuple[Tensor, nn.Module]:
    from mmdet.registry import MODELS
    from mmdet.testing import demo_mm_inputs

    cfg.model.data_preprocessor.pop('batch_augments', None)  # to one size
    model = MODELS.build(cfg.model).to(args.device)
    model.init_cfg = model.backbone.init_cfg = None  # times ask for no weights
    model.init_weights()
    classes = _number_of_classes(cfg.model)
    packed = demo_mm_inputs(
        args.batch,
        (3, height, width),
        [_OBJECTS] * args.batch,
        num_classes=max(classes, 2),  # it never draws the first
        with_mask=_loads(cfg, 'with_mask'),
        with_semantic=_loads(cfg, 'with_seg'),
        device=args.device,
    )
    for sample in packed['data_samples']:
        sample.gt_instances.labels %= classes
    data = model.data_preprocessor(packed, True)
    module = LossOfImages(model, data['data_samples'])
    with torch.no_grad():
        module(data['inputs'])
    return data['inputs'], module


def _loads(cfg: Config, option: str) -> bool:
    """Whether a config trains with masks of objects, or of the whole image.

    A model that has no use for them may fail where they are.
    """
    loaders = [
        node
        for _, node in nodes(cfg.get('train_dataloader'), 'train_dataloader')
        if type_name(node) in ('LoadAnnotations', 'LoadPanopticAnnotations')
    ]
    return any(
        node.get(option, type_name(node) == 'LoadPanopticAnnotations')
        for node in loaders
    )


def _number_of_classes(model: Mapping[str, Any]) -> int:
    """How many classes of objects every head of a model knows."""
    return min(
        node[key]
        for _, node in nodes(model, 'model')
        for key in ('num_classes', 'num_things_classes')
        if key in node
    )
