"""Logs of trainings as MMEngine writes them."""

import json

from mmfdconv.analysis.compare import runs

LINES = [
    dict(loss=2.0, loss_cls=1.5, loss_mask=0.5, lr=0.1, iter=10, epoch=1),
    dict(loss=1.5, loss_cls=1.1, loss_mask=0.4, lr=0.1, iter=20, epoch=1),
    {'coco/bbox_mAP': 0.1, 'coco/bbox_mAP_50': 0.3, 'step': 1},
    dict(loss=1.0, loss_cls=0.8, loss_mask=0.2, lr=0.1, iter=40, epoch=2),
    {'coco/bbox_mAP': 0.2, 'coco/bbox_mAP_50': 0.5, 'step': 2},
]


def write_log(work_dir, start, lines, name='vis_data/scalars.json'):
    path = work_dir / start / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(''.join(json.dumps(line) + '\n' for line in lines))


def epoch(number, loss, **metrics):
    """Two logged steps of an epoch of 10, and its validation."""
    first = 10 * (number - 1)
    steps = [
        dict(loss=loss + 0.5, time=0.1, iter=first + 5, epoch=number, step=0),
        dict(loss=loss - 0.5, time=0.1, iter=first + 10, epoch=number, step=0),
    ]
    return [*steps, {**metrics, 'time': 0.1, 'step': number}]


def seeds(tmp_path, values):
    logs = []
    for number, value in enumerate(values):
        folder = tmp_path / f'seed_{number}'
        lines = [*epoch(1, 2.0, mIoU=value + 9, mae=2.0)]
        lines += epoch(2, 1.0, mIoU=value, mae=3.0)
        write_log(folder, '1', lines)
        logs.append(runs.read_run(folder, 'ours'))
    return logs
