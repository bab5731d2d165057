"""Fold a trained dynamic model into a stock checkpoint and a stock config.

Every dynamic layer gets the gates of an average calibration image. With fixed
gates it is a stock layer, which the toolbox runs without this package. The
command prints how much this changes each layer and the model, and the metrics
with --score. With --layers or --below only some layers are folded; the config
lists those that stay dynamic.
"""

import argparse
import copy
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple

import mmengine.registry
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from torch import Tensor, nn

from ..analysis.cost.run import default_shape, parse_shape, stock_config
from ..analysis.figures.subject import Subject
from ..analysis.outputs import check_output, pretty_table
from ..convert import resolve_rule
from ..convert.nodes import nodes, type_name
from ..cropland.atomic import Outputs
from ..deployment.folding import FoldedLayer, fold_static_
from ..deployment.inputs import read_pictures
from ..deployment.tensor_parts import tensor_part
from ..engine.models import build_model, one_line
from ..engine.options import (
    add_config_options,
    add_shape_option,
    load_config,
)
from ..engine.scoring import Validation
from ..models.efficientnet_lite import SCHEME
from . import plain_errors

#: How names of checkpoints begin that this package's loaders read.
SCHEMES = (SCHEME, 'bands:', 'bands-bgr:')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command line takes."""
    add_config_options(parser, 'model.backbone.frozen_stages=0')
    parser.add_argument('checkpoint', help='checkpoint: a file or URL')
    parser.add_argument(
        '--calibrate',
        required=True,
        help='folder of images over which gates are averaged',
    )
    parser.add_argument(
        '--out',
        required=True,
        help='.pth file to write; the config is written next to it, as .py',
    )
    parser.add_argument(
        '--layers',
        nargs='+',
        metavar='NAME',
        help='fold only these layers, such as backbone.layer1.0.conv2',
    )
    parser.add_argument(
        '--below',
        type=float,
        metavar='ERROR',
        help='fold only layers whose relative error is below this value',
    )
    parser.add_argument(
        '--score',
        action='store_true',
        help="evaluate both models on the config's validation data",
    )
    add_shape_option(parser)


def run(args: argparse.Namespace, prog: str) -> None:
    """Fold, report, write; or say what is wrong and write nothing."""
    MMLogger.get_instance('fold_static', log_level='ERROR')
    with plain_errors(prog):
        inputs = args.config, args.checkpoint
        check_output(args.out, ('.pth',), inputs=inputs)
        config = Path(args.out).with_suffix('.py')
        check_output(config, inputs=inputs)
        cfg = load_config(args)
        stock = stock_config(cfg)
        model = Subject.load(cfg, args.checkpoint).model
        shape = parse_shape(args.shape) or default_shape(cfg)
        images = read_pictures(model, cfg, args.calibrate, shape, 'calibrate')
        score = Validation(cfg) if args.score else lambda model: {}
        before = score(model)
        results, change = fold(model, images, args.layers, args.below)
        after = score(model)
        print(to_text(results, change, before, after))
        left = [result.name for result in results if not result.folded]
        if len(left) == len(results):
            raise ValueError('no layer was folded, so nothing was written')
        if left:
            stock = keep_dynamic(cfg, model, left)
        check(model, stock)
        write(model, stock, args.out)
    print(f'wrote {args.out} and {config}')


@torch.no_grad()
def fold(
    model: nn.Module,
    images: List[Tensor],
    layers: Optional[List[str]] = None,
    below: Optional[float] = None,
) -> Tuple[List[FoldedLayer], Dict[str, float]]:
    """Fold layers, and compare the model's raw outputs.

    Returns:
        What each layer changes, and the largest relative change (L2) of each
        of the model's outputs, over all images, by name.
    """
    part = tensor_part(model, images[0])
    before = [part(image) for image in images]
    results = fold_static_(model, images, layers, below, part)
    changes = [
        [float((a - b).norm() / b.norm()) for a, b in zip(part(image), own)]
        for image, own in zip(images, before)
    ]
    largest = torch.tensor(changes).amax(0)  # NaN, if any is
    return results, dict(zip(part.output_names, largest.tolist()))


def keep_dynamic(cfg: Config, model: nn.Module, left: List[str]) -> Config:
    """The config in which these layers of the backbone alone are dynamic.

    With the options of their own that its rule gives them.

    Raises:
        ValueError: Others than a ``DynamicBackbone``'s are left.
    """
    cfg = copy.deepcopy(cfg)
    layers = {
        name.partition('backbone.')[2]: model.get_submodule(name)
        for name in left
    }
    kind = type_name(cfg.model.backbone)
    if kind != 'DynamicBackbone' or not all(layers):
        raise ValueError(
            f'{left[0]} stays dynamic, which only a config with one '
            "backbone=dict(type='DynamicBackbone', ...) can say"
        )
    rule = resolve_rule(cfg.model.backbone.get('rule') or {}, model)
    verdicts = {
        name: rule.decide(name, layer).options or True
        for name, layer in layers.items()
    }
    cfg.model.backbone.rule = dict(names=verdicts, otherwise=False)
    return cfg


def check(model: nn.Module, cfg: Config) -> None:
    """Refuse a config that the folded model does not fit key by key.

    Raises:
        ValueError: It does not.
    """
    try:
        build_model(cfg).load_state_dict(model.state_dict())
    except RuntimeError as error:
        raise ValueError(
            f'the folded model fits no config: {one_line(error)}'
        ) from error


def to_text(
    results: List[FoldedLayer],
    change: Dict[str, float],
    before: Mapping[str, Any],
    after: Mapping[str, Any],
) -> str:
    """Print what folding changes: layers, outputs, and scores if any."""
    rows = [(r.name, f'{r.error:.2e}', r.reason or 'folded') for r in results]
    tables = [pretty_table(('layer', 'relative error', 'result'), rows)]
    rows = [(name, f'{value:.2e}') for name, value in change.items()]
    tables.append(pretty_table(('output', 'largest relative change'), rows))
    if before:
        rows = [
            (name, f'{value:.4f}', f'{after[name]:.4f}')
            for name, value in before.items()
        ]
        tables.append(pretty_table(('score', 'before', 'after'), rows))
    return '\n\n'.join(map(str, tables))


def write(model: nn.Module, stock: Config, path: str) -> None:
    """Write checkpoint and config, which imports this package if it must."""
    if 'custom_imports' in stock and not needs_import(stock):
        imports = stock.custom_imports
        names = imports.imports
        names = [names] if isinstance(names, str) else names
        imports.imports = [name for name in names if name != 'mmfdconv']
        if not imports.imports:
            stock.pop('custom_imports')
    with Outputs() as outputs:
        torch.save(dict(state_dict=model.state_dict()), outputs.add(path))
        stock.dump(outputs.add(Path(path).with_suffix('.py')))


def needs_import(cfg: Config) -> bool:
    """Whether a config names what this package registers.

    Such as a data set, a decoder, or a checkpoint that its loaders read.
    """
    package = __package__.partition('.')[0]
    own = {
        name
        for registry in vars(mmengine.registry).values()
        if isinstance(registry, mmengine.registry.Registry)
        for name, kind in registry.module_dict.items()
        if str(kind.__module__).partition('.')[0] == package
    }
    return any(
        type_name(node) in own
        or any(str(value).startswith(SCHEMES) for value in node.values())
        for _, node in nodes(cfg.to_dict(), 'config')
    )
