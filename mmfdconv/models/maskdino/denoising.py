"""Denoising queries: targets with noise, from which to recover the targets.

Paper: arXiv:2206.02777, Sec. 3.5 ("unified denoising for mask"): boxes with
noise are a noised form of masks, so that denoising teaches masks, too.
"""

from typing import NamedTuple, Optional, Sequence

import torch
from torch import Tensor

from .structures import Target


class DenoisingQueries(NamedTuple):
    """N noised targets and their places among the denoising queries.

    The queries are ``groups`` groups of ``group_size``, the largest number of
    targets in an image of the batch; target t is number t of every group.

    Attributes:
        labels: Classes with noise, ``(N,)``.
        boxes: ``(cx, cy, w, h)`` with noise, in 0..1, ``(N, 4)``.
        image: Which image of the batch each belongs to, ``(N,)``.
        slot: Which of that image's denoising queries it is, ``(N,)``.
        groups: Number of groups.
        group_size: Queries of a group.
    """

    labels: Tensor
    boxes: Tensor
    image: Tensor
    slot: Tensor
    groups: int
    group_size: int

    @property
    def size(self) -> int:
        """Denoising queries of an image."""
        return self.groups * self.group_size

    def attention_mask(self, num_queries: int) -> Tensor:
        """Who must not see whom, denoising queries first.

        A group sees itself and the matching queries, those only each other:
        what a denoising query knows of its target must not leak.

        Returns:
            True where a query (row) does not see another (column),
            ``(size + num_queries, size + num_queries)``.
        """
        device = self.slot.device
        group = torch.arange(self.size, device=device) // self.group_size
        total = self.size + num_queries
        mask = torch.zeros(total, total, dtype=torch.bool, device=device)
        mask[: self.size, : self.size] = group[:, None] != group
        mask[self.size :, : self.size] = True
        return mask


def make_denoising(
    targets: Sequence[Target],
    num_classes: int,
    num_queries: int,
    noise_scale: float,
) -> Optional[DenoisingQueries]:
    """Draw the denoising queries of a batch.

    Unlike DINO's (mmdet's ``CdnQueryGenerator``) there are no negative ones:
    the mask of a box that is no object is not defined.

    Args:
        targets: Targets of every image.
        num_classes: Classes from which wrong labels are drawn.
        num_queries: How many there are at most in an image; every group has
            all targets, so more targets than this mean no denoising.
        noise_scale: Half of it is the share of labels drawn anew (perhaps
            the right one). A box's centre moves by at most this times half
            its size, and its size changes by at most this times itself.

    Returns:
        The queries, or None where there is no target, or too many.
    """
    sizes = [len(target.labels) for target in targets]
    group_size = max(sizes)
    if not 0 < group_size <= num_queries:
        return None
    groups = num_queries // group_size
    labels = torch.cat([target.labels for target in targets]).repeat(groups)
    boxes = torch.cat([target.boxes for target in targets]).repeat(groups, 1)
    device = labels.device
    image = torch.arange(len(sizes), device=device).repeat_interleave(
        torch.tensor(sizes, device=device)
    )
    slot = torch.cat([torch.arange(size, device=device) for size in sizes])
    first = group_size * torch.arange(groups, device=device)
    wrong = torch.rand(labels.shape, device=device) < noise_scale / 2
    drawn = torch.randint(0, num_classes, labels.shape, device=device)
    half = torch.cat([boxes[:, 2:] / 2, boxes[:, 2:]], 1)
    noise = torch.rand(boxes.shape, device=device) * 2 - 1
    return DenoisingQueries(
        torch.where(wrong, drawn, labels),
        (boxes + noise * half * noise_scale).clamp(0, 1),
        image.repeat(groups),
        (first[:, None] + slot).flatten(),
        groups,
        group_size,
    )
