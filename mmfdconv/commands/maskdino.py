"""Rename the parameters of a published Mask DINO checkpoint.

SOURCE is a file of the authors (detectron2's names, ResNet-50 or Swin-L); OUT
is one for `load_from`, `tools/test.py` and the inferencers.
"""

import argparse
import pickle

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
        help='whose model it is for: mmdet (instance and panoptic, the '
        'default) or mmseg (semantic)',
    )


def run(args: argparse.Namespace, prog: str) -> None:
    """Write the renamed checkpoint, or say why the source is none."""
    import torch

    from ..models.maskdino.checkpoint import HEADS, convert_maskdino

    with plain_errors(prog):
        try:
            source = torch.load(
                args.source, map_location='cpu', weights_only=True
            )
        except pickle.UnpicklingError as error:
            raise ValueError(
                f'{args.source} is no checkpoint of tensors alone: {error}'
            ) from error
        state = source.get('model', source)
        converted = convert_maskdino(state, HEADS[args.toolbox])
        torch.save(dict(state_dict=converted), args.out)
    print(f'{len(converted)} parameters and buffers in {args.out}')
