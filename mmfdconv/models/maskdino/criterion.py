"""Mask DINO's losses.

Paper: arXiv:2206.02777, Sec. 3.5 and the weights of Sec. 4.1: focal (or, for
semantic segmentation, cross-entropy) loss of classes, L1 and GIoU of boxes,
cross-entropy and dice of masks at points, for every layer, the proposals and
the denoising queries.
"""

from typing import Dict, List, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from mmcv.ops import point_sample
from mmdet.models.losses import FocalLoss
from mmdet.models.losses.dice_loss import dice_loss
from mmdet.models.utils import get_uncertain_point_coords_with_randomness
from mmdet.utils import reduce_mean
from torch import Tensor

from .boxes import generalized_box_iou
from .denoising import DenoisingQueries
from .matching import HybridMatcher
from .structures import DecoderOutput, Prediction, Target

Pairs = List[Tuple[Tensor, Tensor]]
TERMS = ('cls', 'mask', 'dice', 'bbox', 'giou')


class MaskDINOCriterion:
    """Matches all predictions with the targets and weighs their losses.

    Args:
        num_classes: Classes, C.
        background_class: Whether the logits have one more, for no object;
            their loss is then a cross-entropy instead of the focal loss.
        weights: Weights of the losses by ``'cls'``, ``'mask'``, ``'dice'``,
            ``'bbox'`` and ``'giou'``.
        cost_weights: Weights of the matching costs by the same names.
        background_weight: Weight of no object in the cross-entropy.
        num_points: Points per mask.
        oversample_ratio: So many times more points are candidates.
        importance_sample_ratio: Share of points that are the candidates
            where the mask is least certain; the others are uniform.
        num_things: Classes from this on are stuff, whose boxes are neither
            matched nor learned. None, as in all published models: they are.

    Raises:
        ValueError: ``weights`` or ``cost_weights`` have other names.
    """

    def __init__(
        self,
        num_classes: int,
        background_class: bool,
        weights: Dict[str, float],
        cost_weights: Dict[str, float],
        background_weight: float = 0.1,
        num_points: int = 12544,
        oversample_ratio: float = 3.0,
        importance_sample_ratio: float = 0.75,
        num_things: Optional[int] = None,
    ) -> None:
        for name, value in (
            ('weights', weights),
            ('cost_weights', cost_weights),
        ):
            if set(value) != set(TERMS):
                raise ValueError(
                    f'{name} must have the names {TERMS}, got {tuple(value)}'
                )
        self.num_classes = num_classes
        self.background_class = background_class
        self.weights = weights
        self.background_weight = background_weight
        self.num_things = num_things
        self.sampling = (num_points, oversample_ratio, importance_sample_ratio)
        self.matcher = HybridMatcher(cost_weights, num_points, num_things)
        self.focal_loss = FocalLoss(reduction='sum')

    def __call__(
        self,
        output: DecoderOutput,
        targets: Sequence[Target],
        denoising: Optional[DenoisingQueries],
    ) -> Dict[str, Tensor]:
        """Weighted losses, named as mmdet's DINO names them.

        ``loss_cls`` is the last layer's, ``d0.loss_cls`` that of the queries
        before the first, ``enc_loss_cls`` the proposals' and
        ``dn_loss_cls`` the denoising queries'. In batches without denoising
        queries theirs are 0.
        """
        number = output.layers[-1].boxes.new_tensor(
            [float(sum(len(target.labels) for target in targets))]
        )
        normaliser = reduce_mean(number).clamp(min=1).squeeze()
        last = len(output.layers) - 1
        prefixes = [f'd{i}.' for i in range(last)] + ['']
        # in the published order, which is that of the drawn points
        predictions = [('', output.layers[last])]
        predictions += zip(prefixes, output.layers[:last])
        if output.proposals is not None:
            predictions.append(('enc_', output.proposals))
        losses: Dict[str, Tensor] = {}

        def add(
            prefix: str, prediction: Prediction, pairs: Pairs, count: Tensor
        ) -> None:
            for term, loss in self._losses(
                prediction, pairs, targets, count
            ).items():
                losses[f'{prefix}loss_{term}'] = self.weights[term] * loss

        for prefix, prediction in predictions:
            pairs = self.matcher(prediction, targets)
            add(prefix, prediction, pairs, normaliser)
        # learned queries before the first layer: nothing to denoise with
        first = 0 if output.proposals is not None else 1
        if denoising is None:
            for prefix in prefixes[first:]:
                for term in TERMS:
                    losses[f'{prefix}dn_loss_{term}'] = number.new_zeros(())
            return losses
        pairs = _denoising_pairs(targets, denoising)
        for prefix, prediction in zip(
            prefixes[first:], output.denoising[first:]
        ):
            add(
                f'{prefix}dn_',
                prediction,
                pairs,
                normaliser * denoising.groups,
            )
        return losses

    def _losses(
        self,
        prediction: Prediction,
        pairs: Pairs,
        targets: Sequence[Target],
        normaliser: Tensor,
    ) -> Dict[str, Tensor]:
        """Losses of one prediction, by term, without weights."""
        image = torch.cat(
            [torch.full_like(q, i) for i, (q, _) in enumerate(pairs)]
        )
        query = torch.cat([q for q, _ in pairs])
        labels, boxes, masks = (
            torch.cat([part[t] for part, (_, t) in zip(parts, pairs)])
            for parts in zip(*targets)
        )
        mask, dice = self._mask_losses(prediction.masks[image, query], masks)
        pred_boxes = prediction.boxes[image, query].float()
        l1 = F.l1_loss(pred_boxes, boxes, reduction='none').sum(-1)
        giou = 1 - generalized_box_iou(pred_boxes, boxes)
        if self.num_things is not None:
            thing = labels < self.num_things
            l1, giou = l1[thing], giou[thing]
        return dict(
            cls=self._class_loss(
                prediction.logits.float(), (image, query), labels, normaliser
            ),
            mask=mask / normaliser,
            dice=dice / normaliser,
            bbox=l1.sum() / normaliser,
            giou=giou.sum() / normaliser,
        )

    def _class_loss(
        self,
        logits: Tensor,
        place: Tuple[Tensor, Tensor],
        labels: Tensor,
        normaliser: Tensor,
    ) -> Tensor:
        """Loss of all queries; those without target are background."""
        classes = labels.new_full(logits.shape[:2], self.num_classes)
        classes[place] = labels
        logits, classes = logits.flatten(0, 1), classes.flatten()
        if not self.background_class:
            return self.focal_loss(logits, classes) / normaliser
        weight = logits.new_ones(self.num_classes + 1)
        weight[-1] = self.background_weight
        return F.cross_entropy(logits, classes, weight)

    def _mask_losses(
        self, logits: Tensor, masks: Tensor
    ) -> Tuple[Tensor, Tensor]:
        """Sums over N masks of cross-entropy and dice loss at points."""
        if not len(logits):
            zero = logits.float().sum()
            return zero, zero
        logits, masks = logits[:, None].float(), masks[:, None].float()
        with torch.no_grad():
            points = get_uncertain_point_coords_with_randomness(
                logits, None, *self.sampling
            )
            truth = point_sample(masks, points)[:, 0]
        logits = point_sample(logits, points)[:, 0]  # (N, num_points)
        cross_entropy = F.binary_cross_entropy_with_logits(
            logits, truth, reduction='none'
        )
        dice = dice_loss(
            logits.sigmoid(), truth, eps=1.0, reduction='sum', naive_dice=True
        )
        return cross_entropy.mean(1).sum(), dice


def _denoising_pairs(
    targets: Sequence[Target], denoising: DenoisingQueries
) -> Pairs:
    """Every image's denoising queries and the targets they come from."""
    pairs = []
    for image in range(len(targets)):
        slot = denoising.slot[denoising.image == image]
        pairs.append((slot, slot % denoising.group_size))
    return pairs
