"""What the methods of a comparison predict, side by side on real images."""

import inspect
from pathlib import Path
from typing import Any, Dict, List, Sequence

import mmcv
import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import VISUALIZERS

from ...convert.nodes import innermost_datasets, type_name
from ..figures.canvas import new_figure, save_figure
from ..figures.data import build_data, displayable, spread_evenly
from .training import Run

_CELL = 2.2  # inches, of a column's width


@torch.no_grad()
def draw_predictions(runs: Sequence[Run], images: int, out: Path) -> None:
    """Draw images, what is true of them, and what each model predicts.

    Args:
        runs: Finished ones, a column each, of a detector or a segmentor; all
            of one experiment.
        images: So many of the validation images, spread evenly, a row each.
        out: The picture to write.
    """
    cfg = Config.fromfile(runs[0].config)
    data = build_data(cfg)
    items = [data[index] for index in spread_evenly(data, images)]
    painter = _Painter(cfg, data)
    columns: Dict[str, List[np.ndarray]] = {
        'image': [
            painter.canvas(item, item['data_samples']) for item in items
        ],
        'truth': [painter.draw(item, item['data_samples']) for item in items],
    }
    for run in runs:
        model = run.trained().model
        columns[run.method] = [
            painter.draw(item, model.test_step(pseudo_collate([item]))[0])
            for item in items
        ]
    tallest = max(len(p) / p.shape[1] for p in columns['image'])
    figure = new_figure(_CELL * len(columns), _CELL * len(items) * tallest)
    axes = figure.subplots(len(items), len(columns), squeeze=False)
    for column, (title, pictures) in enumerate(columns.items()):
        axes[0][column].set_title(title)
        for row, picture in enumerate(pictures):
            axes[row][column].imshow(picture)
            axes[row][column].set_axis_off()
    save_figure(figure, out)


def original(item: Any) -> np.ndarray:
    """Return the image of an item in its size before a pipeline resized it.

    Args:
        item: Of the data set.

    Returns:
        ``(H, W, 3)``, uint8, without padding.
    """
    sample = item['data_samples']
    height, width = sample.ori_shape
    across, down = sample.get('scale_factor', (1, 1))
    inside = displayable(item['inputs'])
    inside = inside[: round(height * down), : round(width * across)]
    return mmcv.imresize(inside, (width, height))


def resizes_truth(dataset: Any) -> bool:
    """Whether a pipeline loads what is true of an image before it resizes it.

    Both then have the new size. Mostly truth is loaded last and has the size
    of the file, as predictions do.

    Args:
        dataset: Config of a data set, in wrappers or not.
    """
    steps = innermost_datasets(dataset)[0].get('pipeline') or ()
    names = ' '.join(type_name(step) for step in steps)
    return 'Resize' in names.partition('Annotation')[2]


class _Painter:
    """The config's own visualizer."""

    def __init__(self, cfg: Config, data: Any) -> None:
        settings = dict(cfg.get('visualizer') or {}, name='predictions')
        settings.pop('vis_backends', None)
        self.visualizer = VISUALIZERS.build(settings)
        self.visualizer.dataset_meta = data.metainfo
        self.resized = resizes_truth(cfg.val_dataloader.dataset)
        self.bare = {}
        add = self.visualizer.add_datasample
        if 'with_labels' in inspect.signature(add).parameters:
            self.bare['with_labels'] = False  # they cover a small image

    def canvas(self, item: Any, sample: Any) -> np.ndarray:
        """The image as large as what a sample says of it."""
        if self.resized and sample is item['data_samples']:
            return displayable(item['inputs'])
        return original(item)

    def draw(self, item: Any, sample: Any) -> np.ndarray:
        """An item of the data set with a sample's truth or prediction."""
        true = sample is item['data_samples']
        if true and 'bboxes' in sample.get('gt_instances', ()):
            # As mmdet's preprocessor does: it draws tensors alone.
            boxes = sample.gt_instances.bboxes
            sample.gt_instances.bboxes = getattr(boxes, 'tensor', boxes)
        self.visualizer.add_datasample(
            'prediction',
            self.canvas(item, sample),
            sample,
            draw_gt=true,
            draw_pred=not true,
            **self.bare,
        )
        return self.visualizer.get_image()
