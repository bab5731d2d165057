"""From the queries' predictions to instances, panoptic and semantic maps.

Paper: arXiv:2206.02777, Sec. 3.2 and 4: one set of queries serves all three.
Mask logits are resized to the size of the result, ``(H, W)``, of those queries
alone that are part of it.
"""

from typing import Callable, List, Optional, Tuple

import torch
from torch import Tensor

Resize = Callable[[Tensor], Tensor]


def class_probabilities(
    logits: Tensor, temperature: Optional[float]
) -> Tensor:
    """Sigmoids, or a softmax of them over the classes.

    The softmax with a low temperature (0.06 in published models) lets one
    class of a query win, as it did not need to in training.
    """
    scores = logits.sigmoid()
    if temperature is None:
        return scores
    return (scores / temperature).softmax(-1)


def semantic_map(
    logits: Tensor,
    masks: Tensor,
    background_class: bool,
    temperature: Optional[float] = None,
) -> Tensor:
    """Scores of the classes at every pixel, ``(B, C, H, W)``.

    Args:
        logits: ``(B, Q, C)``; with a background class its logit is last.
        masks: ``(B, Q, H, W)``.
        background_class: Whether the logits are those of a softmax.
        temperature: See ``class_probabilities``, for models without.
    """
    if background_class:
        scores = logits.softmax(-1)[..., :-1]
    else:
        scores = class_probabilities(logits, temperature)
    return torch.einsum('bqc,bqhw->bchw', scores, masks.sigmoid())


def instances(
    logits: Tensor,
    masks: Tensor,
    resize: Resize,
    max_per_image: int,
    num_things: Optional[int] = None,
    focus_on_box: bool = False,
) -> Tuple[Tensor, Tensor, Tensor, Tensor]:
    """The best pairs of a query and a class, at most ``max_per_image``.

    Args:
        logits: ``(Q, C)``.
        masks: Mask logits, ``(Q, h, w)``.
        resize: Brings mask logits to the size of the result.
        max_per_image: How many pairs.
        num_things: Drop classes from this on, after the best are chosen.
        focus_on_box: Leave out of the score how sure the mask is.

    Returns:
        Scores, labels and queries ``(N,)``, boolean masks ``(N, H, W)``.
    """
    scores = logits.sigmoid().flatten()
    scores, index = scores.topk(min(max_per_image, len(scores)))
    query, labels = index // logits.size(1), index % logits.size(1)
    if num_things is not None:
        thing = labels < num_things
        scores, query, labels = scores[thing], query[thing], labels[thing]
    chosen = resize(masks[query])
    inside = chosen > 0
    if not focus_on_box:
        sure = (chosen.sigmoid() * inside).flatten(1).sum(1)
        scores = scores * sure / (inside.flatten(1).sum(1) + 1e-6)
    return scores, labels, query, inside


def panoptic_segments(
    logits: Tensor,
    masks: Tensor,
    resize: Resize,
    num_things: int,
    score_threshold: float,
    overlap_threshold: float,
    temperature: Optional[float],
) -> Tuple[Tensor, List[int]]:
    """Segments that share the pixels among them.

    Args:
        logits: ``(Q, C)``.
        masks: Mask logits, ``(Q, h, w)``.
        resize: Brings mask logits to the size of the result.
        num_things: Classes from this on are stuff: its segments merge.
        score_threshold: Queries above it compete for the pixels.
        overlap_threshold: Share of its own mask that a query must win.
        temperature: See ``class_probabilities``; of the scores that compete,
            not of those compared with ``score_threshold``.

    Returns:
        The number of the segment at every pixel, 0 where there is none,
        ``(H, W)``, and the class of segment 1, 2, ...
    """
    scores, labels = logits.sigmoid().max(-1)
    keep = scores > score_threshold
    labels = labels[keep]
    scores = class_probabilities(logits[keep], temperature).max(-1)[0]
    masks = resize(masks[keep]).sigmoid()
    segments = masks.new_zeros(masks.shape[-2:], dtype=torch.int32)
    classes: List[int] = []
    if not len(labels):
        return segments, classes
    winner = (scores[:, None, None] * masks).argmax(0)
    stuff = {}
    for index, label in enumerate(labels.tolist()):
        own = masks[index] >= 0.5
        won = winner == index
        visible = won & own
        if not visible.any() or won.sum() < overlap_threshold * own.sum():
            continue
        if label in stuff:
            segments[visible] = stuff[label]
            continue
        classes.append(label)
        segments[visible] = len(classes)
        if label >= num_things:
            stuff[label] = len(classes)
    return segments, classes
