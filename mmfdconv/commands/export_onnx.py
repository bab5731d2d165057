"""Export the model of a config and a checkpoint to ONNX.

The graph has only standard operators of opset 17. It is written if onnxruntime
and, if installed, OpenVINO give the same outputs as PyTorch. Its input is the
normalised image. Its outputs are the logits of a classifier; the logits or
classes of a segmentor, of the size of the image; the raw outputs of the head
of a one-stage detector; or those of the RPN of a two-stage detector.
"""

import argparse
import math
import os
from pathlib import Path
from typing import Optional, Sequence

import onnx
import torch
from mmengine.logging import MMLogger
from torch import Tensor, nn

from ..analysis.cost.run import default_shape, parse_shape
from ..analysis.figures.subject import Subject
from ..analysis.outputs import check_output, pretty_table
from ..cropland.atomic import Outputs
from ..deployment.exporting import DYNAMIC, export_onnx
from ..deployment.inputs import noise, normalisation, read_pictures
from ..deployment.runtimes import (
    RUNTIMES,
    TOLERANCE,
    Comparison,
    compare_runtimes,
)
from ..deployment.tensor_parts import tensor_part
from ..engine.models import one_line
from ..engine.options import (
    add_config_options,
    add_shape_option,
    load_config,
)
from ..layers import DynamicConv2d
from . import plain_errors

#: Least share of pixels, or images, that must get the same class.
EQUAL = 0.999


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command line takes."""
    add_config_options(parser, 'model.backbone.frozen_stages=0')
    parser.add_argument('checkpoint', help='checkpoint: a file or URL')
    parser.add_argument('--out', required=True, help='.onnx file to write')
    add_shape_option(parser)
    parser.add_argument(
        '--dynamic',
        choices=DYNAMIC,
        help='allow any number of images, or any size (default: both are '
        'fixed)',
    )
    parser.add_argument(
        '--classes',
        action='store_true',
        help='for a segmentor, output the class of each pixel instead of '
        'logits',
    )
    parser.add_argument(
        '--image',
        help='image, or folder of images, on which the outputs are compared '
        '(default: noise)',
    )
    parser.add_argument(
        '--table', help='add a row with the results to this .md file'
    )


def run(args: argparse.Namespace, prog: str) -> None:
    """Export, compare, write; or say what is wrong and write nothing."""
    MMLogger.get_instance('export_onnx', log_level='ERROR')
    with plain_errors(prog):
        check_output(args.out, ('.onnx',))
        check_output(args.table, ('.md',), 'table')
        cfg = load_config(args)
        model = Subject.load(cfg, args.checkpoint).model
        shape = parse_shape(args.shape) or default_shape(cfg)
        if args.image:
            images = read_pictures(model, cfg, args.image, shape, 'image')
        else:
            images = [noise(model, shape)]
        part = tensor_part(model, images[0], args.classes)
        proto = export_onnx(part, images[0], part.output_names, args.dynamic)
        compared = list(images)
        if args.dynamic == 'size':
            # Exporters take some sizes for constants, and say nothing.
            compared.append(
                nn.functional.interpolate(images[0], scale_factor=2)
            )
        try:
            found = compare_runtimes(part, proto, compared)
        except Exception as error:  # runtimes raise kinds of their own
            raise ValueError(
                'the model or its graph does not run on one of the images, of '
                f'{" and ".join(str(tuple(x.shape)) for x in compared[-2:])}: '
                f'{one_line(error)}; nothing was written'
            ) from error
        print(f'{to_text(found)}, {len(compared)} images')
        check(found)
        onnx.helper.set_model_props(proto, normalisation(model, cfg))
        with Outputs() as outputs:
            onnx.save(proto, outputs.add(args.out))
        if args.table:
            add_row(args.table, Path(args.config).stem, model, images, found)
    size = Path(args.out).stat().st_size / 2**20
    print(f'{args.out}: {size:.1f} MB, {", ".join(part.output_names)}')


def to_text(found: Sequence[Comparison]) -> str:
    """Print as a table, with what it was measured on."""
    rows = [
        (
            c.runtime,
            f'{1000 * c.seconds:.1f}',
            f'{c.ratio:.2f}',
            f'{c.difference:.1e}',
            _percent(c.equal),
        )
        for c in found
    ]
    head = (
        'runtime',
        'ms',
        'over PyTorch',
        'largest difference',
        'equal classes, %',
    )
    table = pretty_table(head, rows)
    return f'{table}\nCPU, {torch.get_num_threads()} threads'


def check(found: Sequence[Comparison]) -> None:
    """Refuse what does not compute the same.

    Raises:
        ValueError: A runtime's outputs differ too much, or the model's own
            from run to run.
    """
    for c in found:
        if math.isnan(c.difference):
            raise ValueError(
                f"{c.runtime}'s outputs, or those of the model, are not "
                'finite, so nothing can be compared; nothing was written'
            )
        if c.runtime == RUNTIMES[0] and not c.difference <= TOLERANCE:
            raise ValueError(
                f'two runs of the model differ by {c.difference:.1e} of the '
                'largest output, so nothing can be compared with it; it must '
                "not draw random numbers (SegNeXt's head draws none with "
                'rand_init=False); nothing was written'
            )
        if not c.difference <= TOLERANCE:
            raise ValueError(
                f'{c.runtime} differs from PyTorch by {c.difference:.1e} of '
                f'the largest output ({TOLERANCE:g} is allowed); nothing was '
                'written'
            )
        if c.equal is not None and c.equal < EQUAL:
            raise ValueError(
                f'{c.runtime} and PyTorch have {_percent(c.equal)} % equal '
                f'classes ({100 * EQUAL:g} % must be); nothing was written'
            )


def _percent(share: Optional[float]) -> str:
    return '-' if share is None else f'{100 * share:.4f}'


def add_row(
    path: str,
    name: str,
    model: nn.Module,
    images: Sequence[Tensor],
    found: Sequence[Comparison],
) -> None:
    """Add a model to a table in Markdown, which is made where it is not.

    Times are in milliseconds; ``-`` stands for a runtime that is missing.
    Differences and equal classes are the worst of all runtimes.
    """
    methods = {
        type(layer).__name__
        for layer in model.modules()
        if isinstance(layer, DynamicConv2d)
    }
    height, width = images[0].shape[2:]
    ms = {c.runtime: f'{1000 * c.seconds:.1f}' for c in found}
    row = {
        'model': name,
        'method': ', '.join(sorted(methods)) or 'stock',
        'images': f'{len(images)} of {height}x{width}',
        **{f'{r}, ms': ms.get(r, '-') for r in RUNTIMES},
        'largest difference': f'{max(c.difference for c in found):.1e}',
        'equal classes, %': _percent(
            min((c.equal for c in found if c.equal is not None), default=None)
        ),
    }
    lines = str(pretty_table(list(row), [list(row.values())], 3)).splitlines()
    new = not os.path.exists(path) or not os.path.getsize(path)
    with open(path, 'a', encoding='utf-8') as file:
        file.writelines(f'{line}\n' for line in lines[0 if new else 2 :])
