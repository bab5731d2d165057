"""Boxes around masks, and how much boxes overlap."""

import torch
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy
from torch import Tensor


def boxes_around_masks(masks: Tensor, whole_pixels: bool) -> Tensor:
    """Tight boxes, relative to the masks' size.

    mmdet's ``mask2bbox`` looks at one mask after the other, which is too slow
    for all queries of a batch.

    Args:
        masks: True inside, ``(..., H, W)``.
        whole_pixels: Let boxes end behind the last pixel (the published
            ``'bitmask'``; a box without pixels is all 0), not at its index
            (``'mask2box'``; one without pixels has its centre at 1, 1).

    Returns:
        ``(cx, cy, w, h)`` in 0..1, ``(..., 4)``.
    """
    centres, sizes = [], []
    for hit in (masks.any(-2), masks.any(-1)):  # columns, then rows
        length = hit.size(-1)
        index = torch.arange(length, device=masks.device)
        first = torch.where(hit, index, length).amin(-1)
        last = torch.where(hit, index, -1).amax(-1) + int(whole_pixels)
        empty = ~hit.any(-1)
        centre = (first + last) / (2 * length)
        centres.append(centre.masked_fill(empty, 0.0 if whole_pixels else 1.0))
        sizes.append(((last - first) / length).masked_fill(empty, 0.0))
    return torch.stack(centres + sizes, -1)


def generalized_box_iou(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """GIoU of boxes that broadcast against each other.

    The published code adds 1e-6 to both denominators, where mmdet has a lower
    bound. In units of the image that is a percent of a box of 10 pixels.

    Args:
        boxes1: ``(cx, cy, w, h)`` in 0..1, ``(..., 4)``.
        boxes2: Likewise.

    Returns:
        GIoU in -1..1, ``(...)``.
    """
    boxes1, boxes2 = bbox_cxcywh_to_xyxy(boxes1), bbox_cxcywh_to_xyxy(boxes2)

    def area(low: Tensor, high: Tensor) -> Tensor:
        return (high - low).clamp(min=0).prod(-1)

    low1, high1 = boxes1[..., :2], boxes1[..., 2:]
    low2, high2 = boxes2[..., :2], boxes2[..., 2:]
    inter = area(torch.max(low1, low2), torch.min(high1, high2))
    union = area(low1, high1) + area(low2, high2) - inter
    hull = area(torch.min(low1, low2), torch.max(high1, high2))
    return inter / (union + 1e-6) - (hull - union) / (hull + 1e-6)
