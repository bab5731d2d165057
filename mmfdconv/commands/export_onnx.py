"""Export the model of a config and a checkpoint to ONNX.

Operators of opset 17 only. The file is written after onnxruntime, and
OpenVINO where it is installed, computed what PyTorch computes. Its input is
the normalised image; classifiers end at their logits, segmentors at logits as
large as the image or at classes, one-stage detectors at the raw outputs of the
head, two-stage ones at those of the RPN.
"""

import argparse
import os
from pathlib import Path
from typing import Sequence

import onnx
import torch
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope

from ..analysis.cost.run import default_shape, parse_shape
from ..analysis.outputs import check_folder, check_suffix, pretty_table
from ..deployment.exporting import DYNAMIC, export_onnx
from ..deployment.pictures import noise, normalisation, read_picture
from ..deployment.runtimes import TOLERANCE, Comparison, compare_runtimes
from ..deployment.tensor_parts import tensor_part
from ..engine.models import build_model, load_weights
from ..engine.options import add_config_options, load_config
from . import plain_errors

#: Least share of pixels that must get the same class.
EQUAL = 0.999


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command line takes."""
    add_config_options(parser, 'model.backbone.frozen_stages=0')
    parser.add_argument('checkpoint', help='checkpoint file or address')
    parser.add_argument('--out', required=True, help='the .onnx file to write')
    parser.add_argument(
        '--shape',
        type=int,
        nargs='+',
        metavar='PIXELS',
        help='height and width of the image, or one number for both; '
        'default: 800 1280 (mmdet), the training crop (mmseg), 224 224 '
        '(mmpretrain)',
    )
    parser.add_argument(
        '--dynamic',
        choices=DYNAMIC,
        help='let the number of images, or their size, vary',
    )
    parser.add_argument(
        '--classes',
        action='store_true',
        help='of a segmentor: the class of each pixel in place of logits',
    )
    parser.add_argument(
        '--image', help='compare on this picture; default: on noise'
    )


def run(args: argparse.Namespace, prog: str) -> None:
    """Export, compare, write; or say what is wrong and write nothing."""
    MMLogger.get_instance('export_onnx', log_level='ERROR')
    with plain_errors(prog):
        check_suffix(args.out, ('.onnx',))
        check_folder(args.out)
        cfg = load_config(args)
        init_default_scope(cfg.default_scope)
        model = build_model(cfg)
        load_weights(model, args.checkpoint)
        shape = parse_shape(args.shape) or default_shape(cfg)
        if args.image:
            image = read_picture(model, args.image, shape)
        else:
            image = noise(model, shape)
        part = tensor_part(model, image, args.classes)
        proto = export_onnx(part, image, part.output_names, args.dynamic)
        found = compare_runtimes(part, proto, image)
        print(to_text(found))
        check(found)
        onnx.helper.set_model_props(proto, normalisation(model))
        write(proto, args.out)
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
            f'{100 * c.equal:.3f}',
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
        ValueError: A runtime's outputs differ too much.
    """
    for c in found:
        if not c.difference <= TOLERANCE or c.equal < EQUAL:
            raise ValueError(
                f'{c.runtime} differs from PyTorch by {c.difference:.1e} of '
                f'the largest output ({TOLERANCE:g} is allowed), and '
                f'{100 * c.equal:.3f} % of the classes are equal '
                f'({100 * EQUAL:g} % must be); nothing was written'
            )


def write(proto: onnx.ModelProto, path: str) -> None:
    """Write the file whole or not at all."""
    part = f'{path}.part'
    try:
        onnx.save(proto, part)
        os.replace(part, path)
    finally:
        if os.path.exists(part):
            os.remove(part)
