"""A config's validation, as often as one likes, without a runner."""

import copy
import math
from numbers import Real
from typing import Dict, Optional

import torch
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.runner import Runner
from torch import nn

#: What toolboxes' papers report, where a config's evaluator gives several.
_USUAL = (
    'mIoU',
    'coco/bbox_mAP',
    'bbox_mAP',
    'coco_panoptic/PQ',
    'accuracy/top1',
)


class Validation:
    """Scores models on the validation data of a config.

    Args:
        cfg: With ``val_dataloader`` and ``val_evaluator``; its default scope
            must be set.

    Raises:
        ValueError: It lacks one of them.
    """

    def __init__(self, cfg: Config) -> None:
        if not cfg.get('val_dataloader') or not cfg.get('val_evaluator'):
            raise ValueError(
                'config: must have val_dataloader and val_evaluator, from '
                'which the scores come'
            )
        self.loader = Runner.build_dataloader(
            copy.deepcopy(dict(cfg.val_dataloader)), seed=0
        )
        self.evaluator = Evaluator(copy.deepcopy(cfg.val_evaluator))
        meta = getattr(self.loader.dataset, 'metainfo', None)
        if meta:
            self.evaluator.dataset_meta = meta

    @torch.no_grad()
    def __call__(self, model: nn.Module) -> Dict[str, float]:
        """All metrics of a model as it is now that are numbers, by name."""
        model.eval()
        for batch in self.loader:
            self.evaluator.process(model.test_step(batch), batch)
        found = self.evaluator.evaluate(len(self.loader.dataset))
        return {
            name: float(value)
            for name, value in found.items()
            if isinstance(value, Real)  # mmseg's are of NumPy's float32
        }

    @staticmethod
    def pick(scores: Dict[str, float], metric: Optional[str] = None) -> str:
        """The metric to go by.

        Args:
            scores: What a validation gave.
            metric: Its name. None: the one that papers report.

        Raises:
            ValueError: There is no such metric, or no usual one, or it is NaN.
        """
        if metric is None:
            usual = (
                name
                for end in _USUAL
                for name in scores
                if name == end or name.endswith('/' + end)
            )
            metric = next(usual, None)
        if metric not in scores:
            raise ValueError(
                f'metric: the validation has no {metric!r}; use one of '
                f'{", ".join(scores)}'
            )
        if math.isnan(scores[metric]):
            raise ValueError(
                f'metric: {metric!r} is NaN on the validation data, as of a '
                f'class that is not predicted; give one of '
                f'{", ".join(s for s in scores if not math.isnan(scores[s]))}'
            )
        return metric
