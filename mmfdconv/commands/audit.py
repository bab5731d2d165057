"""Find the dynamic layers of a trained model that are worth their cost.

One layer at a time is folded, with its gates fixed at their mean over training
images, and the config's validation shows how much the score falls. At the end
the layers with small losses are folded together, and the command that writes
them to a checkpoint as stock layers is printed.
"""

import argparse
from functools import partial

from mmengine.logging import MMLogger
from tqdm import tqdm

from ..analysis.figures.subject import Subject
from ..analysis.outputs import check_output, pretty_table, write_csv
from ..deployment.auditing import Audit, AuditedLayer, audit
from ..engine.options import add_config_options, load_config
from . import plain_errors


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command line takes."""
    add_config_options(parser, 'val_dataloader.dataset.data_root=data/coco')
    parser.add_argument('checkpoint', help='checkpoint of that config')
    parser.add_argument(
        '--metric',
        help='score to use, of which higher is better (default: mIoU, '
        "mAP of boxes, PQ or top-1, whichever the config's evaluator has)",
    )
    parser.add_argument(
        '--images',
        type=int,
        default=32,
        help='number of training images over which gates are averaged, and of '
        'validation images on which they are compared (default: 32)',
    )
    parser.add_argument(
        '--tolerance',
        type=float,
        default=0.005,
        help='share of the score that may be lost by folding a layer '
        '(default: 0.005)',
    )
    parser.add_argument('--device', default='cpu', help='cpu or cuda')
    parser.add_argument('--out', help='also write the table to this .csv file')


def run(args: argparse.Namespace, prog: str) -> None:
    """Audit, or say what is wrong."""
    MMLogger.get_instance('audit', log_level='ERROR')
    with plain_errors(prog):
        check_output(args.out, ('.csv',))
        cfg = load_config(args)
        model = Subject.load(cfg, args.checkpoint, args.device).model
        found = audit(
            cfg,
            model,
            args.metric,
            args.images,
            args.tolerance,
            partial(tqdm, unit='layer', dynamic_ncols=True),
        )
    print(to_text(found))
    if args.out:
        write_csv(args.out, AuditedLayer._fields, found.layers)
        print(f'wrote {args.out}')


def to_text(found: Audit) -> str:
    """The table, and what follows from it."""
    rows = [
        (
            layer.name,
            layer.kind,
            '-' if layer.moves is None else f'{layer.moves:.4f}',
            '-' if layer.lost is None else f'{layer.lost:+.4g}',
            f'{layer.params:+,}',
            f'{layer.flops / 1e6:+,.2f} M',
            layer.advice,
        )
        for layer in found.layers
    ]
    head = ('layer', 'type', 'gates move', f'{found.metric} lost')
    head += ('parameters', 'FLOPs', 'advice')
    height, width = found.shape
    text = [
        str(pretty_table(head, rows)),
        '',
        "gates move: deviation over images of a kernel's share, over that of "
        'uniform gates. lost: with this layer folded alone. Parameters and '
        f"FLOPs: beyond the stock layer's, one image of {height} x {width}.",
        f'{found.metric} {found.score:.4g}',
    ]
    dead = sum(layer.moves == 0 for layer in found.layers)
    if dead:
        text.append(
            f'Routers that answer every image alike, to the last bit: {dead}. '
            'They never trained, or training at too high a rate turned their '
            'ReLUs off: try --conv-options router_lr_mult=0.1.'
        )
    folds = [layer.name for layer in found.layers if layer.folds]
    if folds:
        text += [
            f'{found.metric} {found.folded:.4g} with the {len(folds)} of '
            f'{len(found.layers)} layers folded that need not be dynamic:',
            '  mmfdconv fold-static CONFIG CHECKPOINT --calibrate FOLDER '
            f'--out stock.pth --layers {" ".join(folds)}',
        ]
    else:
        text.append('every layer is worth keeping dynamic')
    return '\n'.join(text)
