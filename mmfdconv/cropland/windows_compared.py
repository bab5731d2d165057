"""Measure how much windows change the map of a scene."""

from typing import Dict, Iterator, NamedTuple, Optional, Sequence

import numpy as np

from ..evaluation.cropland_metric import confusion_matrix, cropland_scores
from .gates import GATES, has_gates
from .mapping import Tiling, map_rows
from .predictor import Predictor
from .raster import NODATA
from .scene import Scene

__all__ = ['WindowScores', 'compare_windows', 'format_scores']


class WindowScores(NamedTuple):
    """A map of a scene, against the one of the whole scene at once.

    Attributes:
        gates: What they were predicted from.
        window: Side of a window, in pixels; None: all of the scene at once.
        overlap: Pixels that neighbours share.
        differ: Share of the pixels with data whose class is another one than
            that of the scene at once.
        accuracy: Share of right pixels among those with a label, or None.
        miou: Mean over the classes, without those that are in neither map
            nor labels, or None.
    """

    gates: str
    window: Optional[int]
    overlap: Optional[int]
    differ: float
    accuracy: Optional[float]
    miou: Optional[float]


def compare_windows(
    scene: Scene,
    predictor: Predictor,
    tilings: Sequence[Tiling],
    labels: Optional[np.ndarray] = None,
) -> Iterator[WindowScores]:
    """Map a scene in one piece, then in windows with either kind of gates.

    Args:
        scene: Small enough for the model to see it at once.
        predictor: The model.
        tilings: Windows to try; their ``gates`` are replaced by each kind.
        labels: True classes (H, W), 255 where there is none.

    Yields:
        That of the whole scene, then two for each of ``tilings``; one where
        the model has no gates.
    """
    step = predictor.multiple
    side = -(-max(scene.height, scene.width) // step) * step
    whole = _classes(scene, predictor, Tiling(side, step))
    valid = whole != NODATA

    def score(found, gates, window=None, overlap=None) -> WindowScores:
        differ = float((found != whole)[valid].mean())
        scores = {}
        if labels is not None:
            known = np.where(found == NODATA, NODATA, labels)
            matrix = confusion_matrix(known, found, len(predictor.classes))
            scores = cropland_scores(matrix, 0)
        agreed = scores.get('OA'), scores.get('mIoU')
        return WindowScores(gates, window, overlap, differ, *agreed)

    yield score(whole, 'scene at once')
    for tiling in tilings:
        for gates in GATES if has_gates(predictor.model) else GATES[:1]:
            tiling = tiling._replace(gates=gates)
            found = _classes(scene, predictor, tiling)
            yield score(found, gates, tiling.window, tiling.overlap)


def _classes(scene: Scene, predictor: Predictor, tiling: Tiling) -> np.ndarray:
    """Map of a scene, (H, W) uint8."""
    parts = []
    for _, scores, valid in map_rows(scene, predictor, tiling):
        found = predictor.decide(scores).cpu().numpy().astype(np.uint8)
        found[~valid] = NODATA
        parts.append(found)
    return np.concatenate(parts)


def format_scores(scores: Sequence[WindowScores]) -> str:
    """Return a table in Markdown, in percent."""
    lines = [
        '| gates of | window | overlap | other class | OA | mIoU |',
        '| :-- | --: | --: | --: | --: | --: |',
    ]
    for one in scores:
        cells: Dict[str, Optional[float]] = one._asdict()
        numbers = [cells[k] for k in ('differ', 'accuracy', 'miou')]
        shares = ['' if n is None else f'{100 * n:.2f}' for n in numbers]
        sides = [str(one.window or ''), str(one.overlap or '')]
        lines.append(f'| {" | ".join([one.gates, *sides, *shares])} |')
    return '\n'.join(lines)
