"""Say how the demo went: average precision, pictures, and the curves."""

import argparse
import json
import sys
from pathlib import Path
from typing import Dict

from mmfdconv.analysis.compare import runs
from mmfdconv.analysis.compare.curves import plot_runs

#: What the picture of the training shows beside the loss.
CURVES = {
    'coco/bbox_mAP_50': 'box AP50',
    'coco/segm_mAP_50': 'mask AP50',
    'coco/bbox_mAP': 'box AP',
    'coco/segm_mAP': 'mask AP',
}


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('work_dir', type=Path, help='where the demo wrote')
    parser.add_argument(
        '--seconds', type=int, help='how long the demo took until here'
    )
    parser.add_argument(
        '--min-ap50',
        type=float,
        default=0.5,
        help='exit with an error where box AP50 is below (default: 0.5)',
    )
    return parser.parse_args()


def only(work_dir: Path, pattern: str) -> Path:
    """Return the one path of the demo that fits; the work dir was clean."""
    found = sorted(work_dir.glob(pattern))
    if len(found) != 1:
        raise ValueError(
            f'work_dir: {str(work_dir)!r} must hold exactly one '
            f'{pattern!r}, found {len(found)}; run the demo anew'
        )
    return found[0]


def print_metrics(metrics: Dict[str, float]) -> None:
    """Print COCO's average precision as a small table."""
    print('\nOn val:   AP   AP50   AP75')
    for name, key in (('box', 'bbox'), ('mask', 'segm')):
        values = (metrics[f'coco/{key}_mAP{s}'] for s in ('', '_50', '_75'))
        print(f'  {name:4s}', *(f'{value:6.3f}' for value in values))


def main() -> None:
    """Print the report; exit with an error where the demo fell short."""
    args = parse_args()
    try:
        metrics = json.loads(only(args.work_dir, 'test/*/*.json').read_text())
        log = runs.read_run(args.work_dir / 'train', 'train')
        pictures = only(args.work_dir, 'test/*/predictions')
        curves = plot_runs(
            runs.group_runs([log]),
            [name for name in CURVES if name in log.metrics()],
            args.work_dir / 'curves.png',
            names=CURVES,
            title='Mask R-CNN with an FDConv ResNet-18 on shapes',
        )
    except (OSError, ValueError) as error:
        sys.exit(f'report.py: error: {error}')

    print_metrics(metrics)
    print(f'\nPredicted masks beside the annotated ones:  {pictures}')
    print(f'Loss and AP over the training:              {curves}')
    if args.seconds is not None:
        minutes, seconds = divmod(args.seconds, 60)
        print(f'The demo took {minutes} min {seconds} s.')
    ap50 = metrics['coco/bbox_mAP_50']
    if ap50 < args.min_ap50:
        sys.exit(
            f'report.py: error: box AP50 is {ap50:.3f}, but the demo must '
            f'reach at least {args.min_ap50:g}'
        )


if __name__ == '__main__':
    main()
