"""The scores of cropland segmentation, Eq. (12)-(18) of the FADConv paper.

Paper: https://arxiv.org/abs/2504.03510. Two scores are of all classes, the
overall accuracy (OA) and the mean IoU; five are of one class against all
others: accuracy, precision, recall, F1 and IoU. Every one is a function of the
confusion matrix over all pixels of the data set, never a mean over images.
"""

from typing import Any, Dict, List, Optional, Sequence, Union

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from mmengine.registry import METRICS


@METRICS.register_module()
class CroplandMetric(BaseMetric):
    """Overall accuracy, mean IoU, and five scores of one class, in percent.

    Results are named ``cropland/OA``, ``mIoU``, ``Acc``, ``P``, ``R``, ``F1``
    and ``IoU``, in this order; a score that is 0 / 0 is NaN. To keep the best
    checkpoint: ``save_best='cropland/IoU'``.

    Args:
        class_name: The class of the five scores, one of the dataset's, such
            as ``'farmland'`` of ``GIDDataset``.
        ignore_classes: Names of classes whose pixels are left out, such as
            ``('background',)``. Left out is what is labelled so; another
            pixel that is taken for such a class is a mistake.
        ignore_index: Label of pixels that are left out.
        collect_device: ``'cpu'`` or ``'gpu'``, see
            :class:`mmengine.evaluator.BaseMetric`.
        prefix: Replaces ``'cropland'`` in the names of the results.

    Raises:
        ValueError: A class is not one of the dataset's, or an image has a
            label or a prediction outside of them; it names the image.
    """

    default_prefix = 'cropland'

    def __init__(
        self,
        class_name: str = 'cropland',
        ignore_classes: Sequence[str] = (),
        ignore_index: int = 255,
        collect_device: str = 'cpu',
        prefix: Optional[str] = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        if isinstance(ignore_classes, str):
            ignore_classes = (ignore_classes,)
        if class_name in ignore_classes:
            raise ValueError(
                f'class_name {class_name!r} is among ignore_classes'
            )
        self.class_name = class_name
        self.ignore_classes = tuple(ignore_classes)
        self.ignore_index = ignore_index

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Count the pixels of each image, one matrix for each."""
        classes = self._classes()
        for sample in data_samples:
            prediction = sample['pred_sem_seg']['data'].squeeze()
            label = sample['gt_sem_seg']['data'].squeeze()
            try:
                matrix = confusion_matrix(
                    label.cpu().numpy(),
                    prediction.cpu().numpy(),
                    len(classes),
                    self.ignore_index,
                )
            except ValueError as error:
                name = sample.get('img_path', 'an image')
                raise ValueError(f'{name}: {error}') from None
            self.results.append(matrix)

    def compute_metrics(self, results: List[np.ndarray]) -> Dict[str, float]:
        """Add up the matrices of all images; log and return the scores."""
        classes = self._classes()
        scores = cropland_scores(
            sum(results),
            classes.index(self.class_name),
            [classes.index(name) for name in self.ignore_classes],
        )
        percent = {name: 100 * value for name, value in scores.items()}
        head = ' '.join(f'{name:>6}' for name in percent)
        row = ' '.join(f'{value:6.2f}' for value in percent.values())
        print_log(
            f'OA and mIoU of all classes, the others of {self.class_name}, '
            f'in percent\n{head}\n{row}',
            'current',
        )
        return percent

    def _classes(self) -> List[str]:
        classes = list((self.dataset_meta or {}).get('classes', ()))
        for name in (self.class_name, *self.ignore_classes):
            if name not in classes:
                raise ValueError(
                    f'CroplandMetric: no class {name!r} in the dataset, which '
                    f'has {classes}'
                )
        return classes


def confusion_matrix(
    label: np.ndarray,
    prediction: np.ndarray,
    num_classes: int,
    ignore_index: int = 255,
) -> np.ndarray:
    """Count pixels by label and prediction.

    Args:
        label: Class ids, any shape.
        prediction: Class ids, of the same shape.
        num_classes: Number of classes.
        ignore_index: Label of pixels that are left out.

    Returns:
        int64 array (num_classes, num_classes); rows are labels, columns
        predictions.

    Raises:
        ValueError: Shapes differ, or an id is not below ``num_classes``.
    """
    if label.shape != prediction.shape:
        raise ValueError(
            f'the label is of size {label.shape}, the prediction of '
            f'{prediction.shape}'
        )
    counted = label != ignore_index
    label = label[counted].astype(np.int64)
    prediction = prediction[counted].astype(np.int64)
    for what, ids in (('label', label), ('prediction', prediction)):
        wrong = ids[(ids < 0) | (ids >= num_classes)]
        if wrong.size:
            raise ValueError(
                f'{what} {wrong[0]} is none of {num_classes} classes'
            )
    pairs = np.bincount(
        label * num_classes + prediction, minlength=num_classes**2
    )
    return pairs.astype(np.int64).reshape(num_classes, num_classes)


def cropland_scores(
    confusion: Union[np.ndarray, Sequence[Sequence[int]]],
    index: int,
    ignore: Sequence[int] = (),
) -> Dict[str, float]:
    """Compute the scores of a confusion matrix, Eq. (12)-(18).

    With TP, FP, FN, TN of the class ``index`` against all others, and every
    score between 0 and 1:

    - OA, the share of pixels that have their own class;
    - mIoU, the mean of the classes' IoU. A class that neither the labels nor
      the predictions hold has none, and an ignored one does not count;
    - Acc = (TP + TN) / (TP + TN + FP + FN);
    - P = TP / (TP + FP); R = TP / (TP + FN); F1 = 2 P R / (P + R);
    - IoU = TP / (TP + FP + FN).

    Args:
        confusion: Counts (labels, predictions).
        index: The class of the last five scores.
        ignore: Classes whose labelled pixels are left out.

    Returns:
        The scores by name, in the order above; NaN for 0 / 0.
    """
    counts = np.array(confusion, dtype=np.int64)
    counts[list(ignore)] = 0
    total = counts.sum()
    hits = np.diagonal(counts)
    union = counts.sum(0) + counts.sum(1) - hits
    evaluated = [k for k in range(len(counts)) if k not in set(ignore)]
    ious = [_ratio(hits[k], union[k]) for k in evaluated if union[k]]
    tp = hits[index]
    fp = counts[:, index].sum() - tp
    fn = counts[index].sum() - tp
    return {
        'OA': _ratio(hits.sum(), total),
        'mIoU': float(np.mean(ious)) if ious else float('nan'),
        'Acc': _ratio(total - fp - fn, total),
        'P': _ratio(tp, tp + fp),
        'R': _ratio(tp, tp + fn),
        'F1': _ratio(2 * tp, 2 * tp + fp + fn),
        'IoU': _ratio(tp, tp + fp + fn),
    }


def _ratio(part: int, whole: int) -> float:
    return float(part) / float(whole) if whole else float('nan')
