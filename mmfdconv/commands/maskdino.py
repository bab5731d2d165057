"""Convert a published Mask DINO checkpoint.

SOURCE is a checkpoint of the authors (ResNet-50 or Swin-L, with names of
detectron2). OUT is for `load_from`, `mmfdconv test` and the inferencers.
"""

import argparse
import pickle

from ..analysis.outputs import check_output
from . import plain_errors

PARSER = dict(formatter_class=argparse.RawDescriptionHelpFormatter)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command line takes."""
    parser.add_argument('source', help='the published checkpoint')
    parser.add_argument('out', help='the file to write')
    parser.add_argument(
        '--toolbox',
        choices=('mmdet', 'mmseg'),
        default='mmdet',
        help='toolbox of the model: mmdet for instance and panoptic '
        'segmentation (default), mmseg for semantic segmentation',
    )


def run(args: argparse.Namespace, prog: str) -> None:
    """Write the renamed checkpoint, or say why the source is none."""
    import torch

    from ..models.maskdino.checkpoint import HEADS, convert_maskdino

    with plain_errors(prog):
        check_output(args.out, inputs=[args.source])
        try:
            source = torch.load(
                args.source, map_location='cpu', weights_only=True
            )
            state = source.get('model', source)
        except (
            *(AttributeError, EOFError, RuntimeError),
            pickle.UnpicklingError,
        ) as error:
            raise ValueError(
                f'{args.source} is no checkpoint of tensors alone: {error}'
            ) from error
        converted = convert_maskdino(state, HEADS[args.toolbox])
        torch.save(dict(state_dict=converted), args.out)
    print(f'{len(converted)} parameters and buffers in {args.out}')
