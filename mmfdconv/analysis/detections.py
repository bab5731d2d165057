"""Detections of a model, drawn beside the truth.

matplotlib and pycocotools are imported where they are used, so that nothing
else needs them.
"""

import json
from pathlib import Path
from typing import Any, Dict, List, Mapping, Sequence, Tuple

import numpy as np

from .canvas import (
    OKABE_ITO,
    RGB,
    new_figure,
    save_figure,
    unit_colour,
)
from .outputs import PathLike

__all__ = ['plot_detections']


def plot_detections(
    predictions: Sequence[Mapping[str, Any]],
    annotations: PathLike,
    images: PathLike,
    out: PathLike,
    *,
    number: int = 4,
    score_threshold: float = 0.5,
    palette: Sequence[RGB] = OKABE_ITO,
) -> Path:
    """Draw predicted masks beside the annotated ones.

    The images shown are spread evenly over the data, in the order of their
    ids: nothing is picked by its result.

    Args:
        predictions: What mmdet's ``DumpDetResults`` (``tools/test.py --out``)
            writes: for each image its ``img_id`` and ``pred_instances``.
        annotations: COCO annotation file of the same images.
        images: Folder that the file names in it refer to.
        out: The picture to write; its ending names the format.
        number: Number of images to show.
        score_threshold: Predictions below this score are not drawn.
        palette: One RGB colour per class, used again from its start where
            there are more classes.

    Returns:
        ``out`` as a path.
    """
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise ValueError(
            f'number must be an integer of at least 1, got {number!r}'
        )
    if not 0 <= score_threshold <= 1:
        raise ValueError(
            f'score_threshold must be in [0, 1], got {score_threshold!r}'
        )
    from matplotlib.patches import Patch
    from pycocotools import mask as coco_masks

    content = json.loads(Path(annotations).read_text())
    categories = sorted(content['categories'], key=lambda c: c['id'])
    names = [c['name'] for c in categories]
    label_of = {c['id']: label for label, c in enumerate(categories)}
    predicted = {p['img_id']: p['pred_instances'] for p in predictions}
    shown = [i for i in content['images'] if i['id'] in predicted]
    if not shown:
        raise ValueError(
            'predictions must have the img_id of images in '
            f'annotations={str(annotations)!r}, got {len(predicted)} others'
        )
    at = np.linspace(0, len(shown) - 1, min(number, len(shown)))
    shown = [shown[int(round(z))] for z in at]

    rows = []
    for image in shown:
        size = image['height'], image['width']
        truth: List[_Instance] = []
        for ann in content['annotations']:
            if ann['image_id'] == image['id'] and not ann.get('iscrowd'):
                label = label_of[ann['category_id']]
                rle = _to_rle(coco_masks, ann['segmentation'], *size)
                mask = coco_masks.decode(rle).astype(bool)
                truth.append((label, names[label], mask))
        guess: List[_Instance] = []
        found = predicted[image['id']]
        instances = zip(
            _numbers(found['labels']),
            _numbers(found['scores']),
            found['masks'],
        )
        # The surest last: it lies on top of what covers the same object.
        for label, score, rle in sorted(instances, key=lambda i: i[1]):
            if score >= score_threshold:
                mask = coco_masks.decode(rle).astype(bool)
                guess.append((label, f'{names[label]} {score:.2f}', mask))
        rows.append((Path(images) / image['file_name'], truth, guess))

    figure = new_figure(9.6, 3.05 * len(rows) + 0.7)
    grid = figure.subplots(len(rows), 3, squeeze=False)
    for axes, (path, truth, guess) in zip(grid, rows):
        pixels = _read_image(path)
        axes[0].set_ylabel(path.name)
        axes[0].imshow(pixels)
        for ax, instances in zip(axes[1:], (truth, guess)):
            _draw_instances(ax, pixels, instances, palette)
        for ax in axes:
            ax.set(xticks=[], yticks=[])
    heads = (
        'image',
        'annotated',
        f'predicted, score at least {score_threshold:g}',
    )
    for ax, head in zip(grid[0], heads):
        ax.set_title(head)
    colours = [
        unit_colour(palette[k % len(palette)]) for k in range(len(names))
    ]
    figure.legend(
        handles=[Patch(color=c, label=n) for c, n in zip(colours, names)],
        loc='outside lower center',
        ncols=min(len(names), 8),
        frameon=False,
    )
    return save_figure(figure, out)


_Instance = Tuple[int, str, np.ndarray]  # class, caption, (H, W) bool


def _draw_instances(
    axes: Any,
    pixels: np.ndarray,
    instances: Sequence[_Instance],
    palette: Sequence[RGB],
) -> None:
    """Draw masks in their classes' colours over a faded grey image."""
    grey = pixels.mean(-1, keepdims=True).repeat(3, -1)
    canvas = 0.45 * grey + 0.55 * 255
    for label, _, mask in instances:
        colour = np.asarray(palette[label % len(palette)])
        canvas[mask] = 0.35 * grey[mask] + 0.65 * colour
    axes.imshow(canvas.astype(np.uint8))
    for _, _, mask in instances:
        # A frame of unset pixels closes the outlines at the border.
        axes.contour(
            np.arange(-1, mask.shape[1] + 1),
            np.arange(-1, mask.shape[0] + 1),
            np.pad(mask, 1),
            levels=[0.5],
            colors='black',
            linewidths=0.9,
        )
    height, width = canvas.shape[:2]
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))

    per_point = width / _AXES_POINTS
    size = np.array([0.62, 1.25]) * _CAPTION_POINTS * per_point
    taken: List[Tuple[np.ndarray, np.ndarray]] = []
    for _, caption, mask in instances:
        extent = size * [len(caption), 1]
        centre = _place_caption(mask, extent, taken)
        taken.append((centre, extent))
        axes.text(
            *centre,
            caption,
            fontsize=_CAPTION_POINTS,
            ha='center',
            va='center',
            color='white',
            bbox=dict(facecolor='black', alpha=0.75, linewidth=0, pad=0.8),
        )


_AXES_POINTS = 215  # width of one of the three columns
_CAPTION_POINTS = 7


def _place_caption(
    mask: np.ndarray,
    extent: np.ndarray,
    taken: Sequence[Tuple[np.ndarray, np.ndarray]],
) -> np.ndarray:
    """Give the centre of a caption: in the image, near, over no other one.

    Args:
        mask: ``(H, W)`` bool, what the caption is about.
        extent: Width and height of the caption, in pixels.
        taken: Centre and extent of each caption placed before.
    """
    rows, columns = np.nonzero(mask)
    middle = np.array([columns.mean(), rows.mean()])
    steps = np.array([(x, y) for y in range(-6, 7) for x in range(-2, 3)])
    # Places a quarter of a width and a little over a line apart, the nearest
    # first.
    away = steps * extent * [0.25, 1.1]
    order = np.argsort(np.hypot(*away.T), kind='stable')
    size = np.array(mask.shape[::-1])
    places = np.clip(middle + away[order], extent / 2, size - extent / 2)
    free = np.ones(len(places), dtype=bool)
    for centre, other in taken:
        # Two that are apart along one axis do not overlap.
        free &= (abs(places - centre) >= (extent + other) / 2).any(-1)
    # Where none is free, all are False and the nearest one is taken.
    return places[int(np.argmax(free))]


def _to_rle(
    coco_masks: Any, segmentation: Any, height: int, width: int
) -> Dict[str, Any]:
    """Give any of COCO's three forms of a mask as a compressed RLE."""
    if isinstance(segmentation, list):
        return coco_masks.merge(
            coco_masks.frPyObjects(segmentation, height, width)
        )
    if isinstance(segmentation['counts'], list):
        return coco_masks.frPyObjects(segmentation, height, width)
    return segmentation


def _read_image(path: Path) -> np.ndarray:
    """Read an image, ``(H, W, 3)`` RGB of type uint8."""
    import cv2

    pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if pixels is None:
        raise ValueError(
            f'images must hold the annotated files, but {str(path)!r} is not '
            'a readable image'
        )
    return pixels[..., ::-1]


def _numbers(values: Any) -> List[Any]:
    """Give a tensor or an array as a list of plain numbers."""
    return values.tolist() if hasattr(values, 'tolist') else list(values)
