"""From a config to its data sets and to single images, without training."""

from copy import deepcopy
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DATASETS, init_default_scope
from torch import Tensor

from ...convert.nodes import innermost_datasets, type_name
from ...engine.models import one_line

IGNORED = 255  # of a segmentation's labels

#: Transforms that a picture without annotations has no use for.
_ANNOTATIONS = ('LoadAnnotations', 'LoadPanopticAnnotations')


def test_pipeline(cfg: Config, annotations: bool = False) -> List[Any]:
    """The transforms of the config's test data set.

    Args:
        cfg: The config.
        annotations: Whether to keep those that load annotations.
    """
    dataset = (cfg.get('test_dataloader') or {}).get('dataset') or {}
    pipeline = innermost_datasets(dataset)[0].get('pipeline')
    if not pipeline:
        raise ValueError(
            'config: it has no test_dataloader with a pipeline, which would '
            'say how to prepare an image'
        )
    return [
        step
        for step in pipeline
        if annotations or type_name(step) not in _ANNOTATIONS
    ]


def read_image(cfg: Config, path: str) -> Tuple[Dict[str, Any], np.ndarray]:
    """Prepare an image as the config's test pipeline does.

    Returns:
        A batch of one for ``model.data_preprocessor``, and the same image to
        look at, ``(H, W, 3)`` RGB of type uint8.

    Raises:
        ValueError: It cannot be read, or the pipeline does not know how.
    """
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    loader, *rest = test_pipeline(cfg)
    if not Path(path).is_file():
        raise ValueError(f'image: {path!r} is not a file')
    try:
        loaded = Compose([loader])(dict(img_path=path, img_id=0))
        size = loaded['img'].shape[:2]
    except Exception as error:  # readers raise many kinds for broken files
        raise ValueError(
            f'image: {path!r} cannot be read: {one_line(error)}'
        ) from error
    try:
        packed = Compose(rest)(loaded)
    except KeyError as error:
        raise ValueError(
            f'config: its test pipeline asks for {error} of an image of '
            f'{size[1]} x {size[0]} pixels that has no annotations'
        ) from error
    batch = dict(
        inputs=[packed['inputs']], data_samples=[packed['data_samples']]
    )
    return batch, displayable(packed['inputs'])


def displayable(inputs: Tensor) -> np.ndarray:
    """Give ``(C, H, W)`` as loaded, blue first, as RGB to look at."""
    bands = inputs[[2, 1, 0]] if len(inputs) > 2 else inputs[[0, 0, 0]]
    pixels = bands.float().cpu().numpy().transpose(1, 2, 0)
    if inputs.dtype == torch.uint8:
        return pixels.astype(np.uint8)
    low, high = np.nanpercentile(pixels, (2, 98))
    pixels = (pixels - low) / max(high - low, 1e-6)
    return (np.nan_to_num(pixels).clip(0, 1) * 255).astype(np.uint8)


def pad_picture(picture: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Pad an image to what the model saw, so that feature maps lie upon it.

    Args:
        picture: ``(H, W, 3)``.
        size: Height and width of the model's input.
    """
    more = [max(n - m, 0) for n, m in zip(size, picture.shape)]
    return np.pad(picture, ((0, more[0]), (0, more[1]), (0, 0)))


# --------------------------------------------------------------- data sets


def build_data(cfg: Config, split: str = 'val') -> Any:
    """Build a data set of a config, its images prepared as for a test.

    Args:
        cfg: The config.
        split: ``'train'``, ``'val'`` or ``'test'``.

    Raises:
        ValueError: There is none, or it cannot be read.
    """
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    loader = cfg.get(f'{split}_dataloader')
    if not loader or not loader.get('dataset'):
        raise ValueError(f'split: the config has no {split}_dataloader')
    whole = deepcopy(loader['dataset'])
    if split == 'train':
        whole = _unaugmented(whole, test_pipeline(cfg, annotations=True))
    try:
        data = DATASETS.build(whole)
        number = len(data)
    except (FileNotFoundError, KeyError, AssertionError) as error:
        raise ValueError(
            f'split: the {split} data of the config cannot be read: '
            f'{one_line(error)}; say with --cfg-options {split}_dataloader.'
            'dataset.data_root=... where it is'
        ) from error
    if not number:
        raise ValueError(f'split: the {split} data of the config has no image')
    return data


def _unaugmented(dataset: Any, pipeline: List[Any]) -> Any:
    """Give a data set, or all in its wrappers, another pipeline."""
    if 'datasets' in dataset:
        parts = [_unaugmented(d, pipeline) for d in dataset['datasets']]
        return dict(dataset, datasets=parts)
    if 'dataset' not in dataset:
        return dict(dataset, pipeline=deepcopy(pipeline))
    inner = _unaugmented(dataset['dataset'], pipeline)
    # A wrapper's own pipeline augments too, such as Mosaic's.
    return inner if 'pipeline' in dataset else dict(dataset, dataset=inner)


def spread_evenly(data: Any, number: Optional[int] = None) -> List[int]:
    """Numbers of at most so many images of a data set; None takes all."""
    count = min(number or len(data), len(data))
    return torch.linspace(0, len(data) - 1, count).round().long().tolist()


def classes_in(sample: Any, least: float = 0.01) -> List[int]:
    """Numbers of the classes that an annotated sample shows.

    Args:
        sample: Of mmdet (instances), mmseg (a label map) or mmpretrain.
        least: Share of the labelled pixels that a segmented class needs.
    """
    if 'gt_sem_seg' in sample:
        labels = sample.gt_sem_seg.data.flatten()
        labels = labels[labels != IGNORED]
        found, counts = labels.unique(return_counts=True)
        return found[counts >= least * max(len(labels), 1)].tolist()
    if 'gt_instances' in sample:
        return sample.gt_instances.labels.unique().tolist()
    if 'gt_label' in sample:
        return sample.gt_label.flatten().tolist()
    return []
