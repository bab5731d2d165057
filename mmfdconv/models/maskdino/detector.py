"""Mask DINO as a detector of mmdet: instances and panoptic segmentation.

Paper: arXiv:2206.02777.
"""

from typing import Dict, List, Union

import torch
import torch.nn.functional as F
from mmdet.evaluation.functional import INSTANCE_OFFSET
from mmdet.models.detectors import MaskFormer
from mmdet.models.seg_heads.panoptic_fusion_heads import MaskFormerFusionHead
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy
from mmengine.structures import InstanceData, PixelData
from torch import Tensor

from .inference import instances, panoptic_segments
from .structures import Prediction


class MaskDINO(MaskFormer):
    """Backbone, ``MaskDINOHead`` and ``MaskDINOFusionHead``.

    The arguments are those of mmdet's ``MaskFormer`` and ``Mask2Former``.
    """

    def predict(
        self,
        batch_inputs: Tensor,
        batch_data_samples: List[DetDataSample],
        rescale: bool = True,
    ) -> List[DetDataSample]:
        """Results of images ``(B, 3, H, W)``, in ``batch_data_samples``."""
        feats = self.extract_feat(batch_inputs)
        prediction = self.panoptic_head.predict(feats, batch_data_samples)
        results = self.panoptic_fusion_head.predict(
            prediction, batch_data_samples, rescale
        )
        return self.add_pred_to_datasample(batch_data_samples, results)


class MaskDINOFusionHead(MaskFormerFusionHead):
    """From predictions to instances and panoptic maps of images.

    Unlike mmdet's Mask2Former, classes have sigmoids, and boxes are
    predicted, not drawn around masks.

    Args:
        num_things_classes: Classes of things, the first ones.
        num_stuff_classes: Classes of stuff, after them.
        test_cfg: ``instance_on``, ``panoptic_on``; ``max_per_image`` instances
            (100); ``focus_on_box`` (False), to leave masks out of instances'
            scores; ``object_mask_thr`` (0.25), ``iou_thr`` (0.8) and
            ``temperature`` (0.06, or None) of ``panoptic_segments``.
    """

    def predict(
        self,
        prediction: Prediction,
        batch_data_samples: List[DetDataSample],
        rescale: bool = False,
    ) -> List[Dict[str, Union[InstanceData, PixelData]]]:
        """Results per image: ``'ins_results'`` and ``'pan_results'``.

        Args:
            prediction: Of a batch.
            batch_data_samples: What tells the images' sizes.
            rescale: Give results of the images' original sizes.
        """
        results = []
        for logits, masks, boxes, sample in zip(
            *prediction, batch_data_samples
        ):
            meta = sample.metainfo
            size = meta['ori_shape'] if rescale else meta['img_shape']
            logits = logits.float()

            def resize(
                masks: Tensor, meta: dict = meta, size: tuple = size
            ) -> Tensor:
                return _resize_to_image(masks, meta, size[:2])

            result = {}
            if self.test_cfg.get('panoptic_on', True):
                result['pan_results'] = self._panoptic(logits, masks, resize)
            if self.test_cfg.get('instance_on', False):
                scores, labels, query, found = instances(
                    logits,
                    masks,
                    resize,
                    self.test_cfg.get('max_per_image', 100),
                    self.num_things_classes,
                    self.test_cfg.get('focus_on_box', False),
                )
                result['ins_results'] = InstanceData(
                    scores=scores,
                    labels=labels,
                    bboxes=_boxes_of_image(boxes[query], meta, size[:2]),
                    masks=found,
                )
            results.append(result)
        return results

    def _panoptic(self, logits: Tensor, masks: Tensor, resize) -> PixelData:
        """The map as mmdet encodes it; no segment is class ``C``."""
        segments, classes = panoptic_segments(
            logits,
            masks,
            resize,
            self.num_things_classes,
            self.test_cfg.get('object_mask_thr', 0.25),
            self.test_cfg.get('iou_thr', 0.8),
            self.test_cfg.get('temperature', 0.06),
        )
        codes = [self.num_classes]
        for number, label in enumerate(classes, 1):
            thing = label < self.num_things_classes
            codes.append(label + (number * INSTANCE_OFFSET if thing else 0))
        table = torch.tensor(codes, dtype=torch.int32, device=segments.device)
        return PixelData(sem_seg=table[segments.long()][None])


def _resize_to_image(masks: Tensor, meta: dict, size: tuple) -> Tensor:
    """Mask logits ``(N, h, w)`` of the padded image at the image's size."""

    def interpolate(masks: Tensor, size: tuple) -> Tensor:
        if not len(masks):  # which F.interpolate refuses
            return masks.new_zeros(0, *size)
        return F.interpolate(
            masks[:, None], size, mode='bilinear', align_corners=False
        )[:, 0]

    height, width = meta['img_shape'][:2]
    masks = interpolate(masks.float(), tuple(meta['batch_input_shape']))
    masks = masks[:, :height, :width]
    return masks if size == (height, width) else interpolate(masks, size)


def _boxes_of_image(boxes: Tensor, meta: dict, size: tuple) -> Tensor:
    """Boxes relative to the padded image as corners in pixels, ``(N, 4)``."""
    scale = [
        padded * wanted / given
        for padded, wanted, given in zip(
            meta['batch_input_shape'], size, meta['img_shape']
        )
    ]
    corners = bbox_cxcywh_to_xyxy(boxes.float())
    corners = corners * corners.new_tensor(scale[::-1] * 2)
    limit = corners.new_tensor([*size[::-1]] * 2)
    return corners.clamp(min=0).minimum(limit)
