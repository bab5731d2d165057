"""Mask DINO's head in mmdet: from the backbone's maps to losses and results.

Paper: arXiv:2206.02777, Fig. 2.
"""

from typing import Dict, List, Optional, Sequence

import torch
from mmdet.models.utils import preprocess_panoptic_gt
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox_xyxy_to_cxcywh
from mmengine.model import BaseModule
from torch import Tensor

from .boxes import boxes_around_masks
from .criterion import MaskDINOCriterion
from .decoder import MaskDINODecoder
from .denoising import make_denoising
from .pixel_decoder import MaskDINOPixelDecoder
from .structures import DecoderOutput, Prediction, Target

#: The published weights of losses and of matching costs.
WEIGHTS = dict(cls=4.0, mask=5.0, dice=5.0, bbox=5.0, giou=2.0)


class MaskDINOHead(BaseModule):
    """Pixel decoder, decoder and losses, as ``panoptic_head`` of ``MaskDINO``.

    Boxes of targets are relative to the padded image, as predicted boxes and
    masks are. (The published code divides by the size without padding; the
    two agree where images have a fixed size in training.)

    Args:
        in_channels: Widths of the backbone's maps, fine to coarse.
        num_things_classes: Classes of things, the first ones.
        num_stuff_classes: Classes of stuff, after them. With stuff, boxes of
            all targets are those around their masks.
        feat_channels: Width of both transformers.
        out_channels: Width of the mask features.
        pixel_decoder: Other options of ``MaskDINOPixelDecoder``.
        decoder: Other options of ``MaskDINODecoder``.
        softmax: Classify with a softmax that has a class for no object, as
            the published semantic models do, not with sigmoids.
        stuff_boxes: Whether stuff has boxes to match and to learn, as in all
            published models.
        num_denoising_queries: Upper bound of the denoising queries of an
            image; 0 for none.
        noise_scale: Of their labels and boxes.
        loss_weights: By ``'cls'``, ``'mask'``, ``'dice'``, ``'bbox'`` and
            ``'giou'``; what is not named has its published weight.
        cost_weights: Likewise, of the costs in matching.
        background_weight: Weight of no object in the softmax's loss.
        train_cfg: ``num_points``, ``oversample_ratio`` and
            ``importance_sample_ratio`` of masks' points, as in Mask2Former.
        test_cfg: What the detector hands to its heads; not used here.

    Raises:
        ValueError: A weight has a name that is none of these, or there is no
            class.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        num_things_classes: int = 80,
        num_stuff_classes: int = 0,
        feat_channels: int = 256,
        out_channels: int = 256,
        pixel_decoder: Optional[dict] = None,
        decoder: Optional[dict] = None,
        softmax: bool = False,
        stuff_boxes: bool = True,
        num_denoising_queries: int = 100,
        noise_scale: float = 0.4,
        loss_weights: Optional[Dict[str, float]] = None,
        cost_weights: Optional[Dict[str, float]] = None,
        background_weight: float = 0.1,
        train_cfg: Optional[dict] = None,
        test_cfg: Optional[dict] = None,
        init_cfg: Optional[dict] = None,
    ) -> None:
        super().__init__(init_cfg)
        self.num_things_classes = num_things_classes
        self.num_stuff_classes = num_stuff_classes
        self.num_classes = num_things_classes + num_stuff_classes
        if self.num_classes < 1:
            raise ValueError(
                'num_things_classes + num_stuff_classes must be at least 1, '
                f'got {self.num_classes}'
            )
        self.softmax = softmax
        self.num_denoising_queries = num_denoising_queries
        self.noise_scale = noise_scale
        self.pixel_decoder = MaskDINOPixelDecoder(
            in_channels,
            feat_channels=feat_channels,
            out_channels=out_channels,
            **(pixel_decoder or {}),
        )
        self.decoder = MaskDINODecoder(
            self.num_classes,
            self.pixel_decoder.num_levels,
            feat_channels=feat_channels,
            mask_channels=out_channels,
            background_class=softmax,
            **(decoder or {}),
        )
        self.criterion = MaskDINOCriterion(
            self.num_classes,
            softmax,
            {**WEIGHTS, **(loss_weights or {})},
            {**WEIGHTS, **(cost_weights or {})},
            background_weight,
            num_things=None if stuff_boxes else num_things_classes,
            **(train_cfg or {}),
        )

    def forward(
        self,
        feats: Sequence[Tensor],
        batch_data_samples: Optional[List[DetDataSample]] = None,
    ) -> DecoderOutput:
        """Predictions of all layers for a backbone's maps, fine to coarse."""
        return self.decoder(*self.pixel_decoder(feats))

    def loss(
        self,
        feats: Sequence[Tensor],
        batch_data_samples: List[DetDataSample],
    ) -> Dict[str, Tensor]:
        """Weighted losses of a batch, by name."""
        return self._losses(feats, self._targets(batch_data_samples))

    def predict(
        self,
        feats: Sequence[Tensor],
        batch_data_samples: List[DetDataSample],
    ) -> Prediction:
        """The last layer's predictions."""
        return self(feats).layers[-1]

    def _losses(
        self, feats: Sequence[Tensor], targets: List[Target]
    ) -> Dict[str, Tensor]:
        denoising = make_denoising(
            targets,
            self.num_classes,
            self.num_denoising_queries,
            self.noise_scale,
        )
        mask_features, levels = self.pixel_decoder(feats)
        output = self.decoder(mask_features, levels, denoising)
        with torch.autocast(mask_features.device.type, enabled=False):
            return self.criterion(output, targets, denoising)

    def _targets(
        self, batch_data_samples: List[DetDataSample]
    ) -> List[Target]:
        """The objects of every image and, with stuff, its segments."""
        targets = []
        for sample in batch_data_samples:
            objects = sample.gt_instances
            device = objects.labels.device
            size = sample.metainfo['batch_input_shape']
            masks = objects.masks.pad(size, pad_val=0)
            if not self.num_stuff_classes:
                masks = masks.to_tensor(dtype=torch.bool, device=device)
                height, width = size
                scale = objects.bboxes.new_tensor([width, height] * 2)
                boxes = bbox_xyxy_to_cxcywh(objects.bboxes / scale)
                targets.append(Target(objects.labels, boxes, masks))
                continue
            has_stuff = 'gt_sem_seg' in sample
            labels, masks = preprocess_panoptic_gt(
                objects.labels,
                masks,
                sample.gt_sem_seg.sem_seg if has_stuff else None,
                self.num_things_classes,
                self.num_stuff_classes,
            )
            targets.append(target_of_masks(labels, masks.bool()))
        return targets


def target_of_masks(labels: Tensor, masks: Tensor) -> Target:
    """Labels ``(T,)`` and masks ``(T, H, W)`` with the boxes around them."""
    return Target(labels, boxes_around_masks(masks, whole_pixels=True), masks)
