"""Which query is responsible for which target.

Paper: arXiv:2206.02777, Sec. 3.5 ("hybrid matching"): the cost of a pair sums
class, box and mask, so that all three of a query agree.
"""

from typing import Dict, List, Optional, Sequence, Tuple

import torch
from mmcv.ops import point_sample
from mmdet.models.task_modules import (
    CrossEntropyLossCost,
    DiceCost,
    FocalLossCost,
)
from mmengine.structures import InstanceData
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from .boxes import generalized_box_iou
from .structures import Prediction, Target


class HybridMatcher:
    """Hungarian matching on classes, boxes and masks together.

    Classes have the focal cost also where their loss is a cross-entropy; masks
    are compared at points, the same for all queries and targets of an image.

    Args:
        weights: Weights of the costs, by ``'cls'``, ``'mask'``, ``'dice'``,
            ``'bbox'`` (L1) and ``'giou'``.
        num_points: Points per image.
        num_things: Classes from this on are stuff, whose boxes do not count:
            they cost what boxes of things cost on average. None: boxes of
            stuff count.
    """

    def __init__(
        self,
        weights: Dict[str, float],
        num_points: int,
        num_things: Optional[int] = None,
    ) -> None:
        self.weights = weights
        self.num_points = num_points
        self.num_things = num_things
        self.cls_cost = FocalLossCost(eps=1e-8, weight=weights['cls'])
        self.mask_cost = CrossEntropyLossCost(weight=weights['mask'])
        self.dice_cost = DiceCost(
            pred_act=True, eps=1.0, weight=weights['dice']
        )

    @torch.no_grad()
    def __call__(
        self, prediction: Prediction, targets: Sequence[Target]
    ) -> List[Tuple[Tensor, Tensor]]:
        """Match every image; return indices of its queries and targets."""
        pairs = []
        for *parts, target in zip(*prediction, targets):
            costs = self.costs(Prediction(*parts), target)
            total = sum(costs.values())
            rows, columns = linear_sum_assignment(total.cpu().numpy())
            pairs.append(
                (
                    torch.as_tensor(rows, device=total.device),
                    torch.as_tensor(columns, device=total.device),
                )
            )
        return pairs

    def costs(
        self, prediction: Prediction, target: Target
    ) -> Dict[str, Tensor]:
        """Costs of one image's pairs, ``(Q, T)`` each, by kind.

        Args:
            prediction: Without the dimension of the batch.
            target: The image's targets.
        """
        points = torch.rand(1, self.num_points, 2, device=target.boxes.device)
        pred = InstanceData(
            scores=prediction.logits.float(),
            masks=point_sample(prediction.masks[None].float(), points)[0],
        )
        gt = InstanceData(
            labels=target.labels,
            masks=point_sample(target.masks[None].float(), points)[0],
        )
        boxes = prediction.boxes.float()
        l1 = torch.cdist(boxes, target.boxes, p=1)
        giou = -generalized_box_iou(boxes[:, None], target.boxes)
        return {
            'cls': self.cls_cost(pred, gt),
            'mask': self.mask_cost(pred, gt),
            'dice': self.dice_cost(pred, gt),
            'bbox': self.weights['bbox'] * self._of_things(l1, target),
            'giou': self.weights['giou'] * self._of_things(giou, target),
        }

    def _of_things(self, cost: Tensor, target: Target) -> Tensor:
        if self.num_things is None:
            return cost
        thing = target.labels < self.num_things
        mean = cost[:, thing].mean() if thing.any() else cost.new_zeros(())
        return torch.where(thing, cost, mean)
