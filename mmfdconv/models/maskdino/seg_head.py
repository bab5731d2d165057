"""Mask DINO's head in mmsegmentation: semantic segmentation.

Paper: arXiv:2206.02777, Sec. 4.2 (ADE20K, Cityscapes).
"""

from typing import Any, Dict, List, Optional, Sequence

import torch.nn.functional as F
from mmseg.models.decode_heads import Mask2FormerHead
from mmseg.structures import SegDataSample
from torch import Tensor

from .head import MaskDINOHead, target_of_masks
from .inference import semantic_map
from .structures import Target

#: What published semantic models have otherwise than detectors.
_PIXEL_DECODER = dict(num_extra_levels=0, feature_order='high2low')
_DECODER = dict(num_queries=100, two_stage=False, initialize_box_type='no')


class MaskDINOSegHead(MaskDINOHead):
    """``MaskDINOHead`` as ``decode_head`` of mmseg's ``EncoderDecoder``.

    Every class in an image is one target, its box drawn around its mask. As
    published for ADE20K and Cityscapes, unless told otherwise: 100 learned
    queries and three levels, from coarse to fine.

    Args:
        in_channels: Widths of the backbone's maps, fine to coarse.
        num_classes: Classes.
        softmax: As in ``MaskDINOHead``; published semantic models have it.
        pixel_decoder: Other options of ``MaskDINOPixelDecoder``.
        decoder: Other options of ``MaskDINODecoder``.
        temperature: Of the softmax over the sigmoids in models without
            ``softmax``; None for plain sigmoids.
        ignore_index: Label of pixels without class.
        align_corners: Of mmseg's resizing to the original size.

    The other arguments are those of ``MaskDINOHead``.
    """

    #: Labels and masks of the classes in the ground truth.
    _seg_data_to_instance_data = Mask2FormerHead._seg_data_to_instance_data

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        softmax: bool = True,
        pixel_decoder: Optional[dict] = None,
        decoder: Optional[dict] = None,
        temperature: Optional[float] = 0.06,
        ignore_index: int = 255,
        align_corners: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            in_channels,
            num_things_classes=num_classes,
            softmax=softmax,
            pixel_decoder={**_PIXEL_DECODER, **(pixel_decoder or {})},
            decoder={**_DECODER, **(decoder or {})},
            **kwargs,
        )
        self.out_channels = num_classes
        self.temperature = temperature
        self.ignore_index = ignore_index
        self.align_corners = align_corners

    def loss(
        self,
        inputs: Sequence[Tensor],
        batch_data_samples: List[SegDataSample],
        train_cfg: Optional[dict] = None,
    ) -> Dict[str, Tensor]:
        """Weighted losses of a batch, by name."""
        return super().loss(inputs, batch_data_samples)

    def predict(
        self,
        inputs: Sequence[Tensor],
        batch_img_metas: List[dict],
        test_cfg: Optional[dict] = None,
    ) -> Tensor:
        """Scores of the classes at the padded size, ``(B, C, H, W)``."""
        logits, masks, _ = self(inputs).layers[-1]
        meta = batch_img_metas[0]
        size = meta.get('pad_shape', meta['img_shape'])[:2]
        masks = F.interpolate(
            masks.float(), size, mode='bilinear', align_corners=False
        )
        return semantic_map(
            logits.float(), masks, self.softmax, self.temperature
        )

    def _targets(
        self, batch_data_samples: List[SegDataSample]
    ) -> List[Target]:
        parts, _ = self._seg_data_to_instance_data(batch_data_samples)
        return [
            target_of_masks(part.labels.long(), part.masks.bool())
            for part in parts
        ]
