"""What the per-pixel scores of a decode head mean.

mmseg calls all scores ``seg_logits``, and takes the class with the highest.
Whether they can be turned into probabilities depends on the function that
computes them, and on the losses of the training.
"""

from typing import Callable

from torch import Tensor, nn

__all__ = ['decode_head', 'probabilities_of']

# What computes the scores, by the function's qualified name.
_LOGITS = (
    'BaseDecodeHead.predict',
    'BaseCascadeDecodeHead.predict',
    'DAHead.predict',
    'EncHead.predict',
    'PointHead.predict',
)
_LOGITS_BY_FEATURE = 'BaseDecodeHead.predict_by_feat'
_MASKS = (
    'Mask2FormerHead.predict',
    'MaskDINOSegHead.predict',
    'MaskFormerHead.predict',
    'SideAdapterCLIPHead.predict',
)


def decode_head(model: nn.Module) -> nn.Module:
    """Return the head that decides; the last one of a cascade."""
    head = model.decode_head
    return head[-1] if isinstance(head, nn.ModuleList) else head


def probabilities_of(head: nn.Module) -> Callable[[Tensor], Tensor]:
    """Say how scores of a head become probabilities of its classes.

    Args:
        head: A decode head of mmseg, of two classes or more.

    Returns:
        A function of scores (..., K, h, w), of the same shape. For logits
        trained under a softmax it is the softmax. Mask classifiers, from
        MaskFormer (arXiv:2107.06278, Sec. 3.4) on, sum over their queries
        the probability of a class times that of the mask. A pixel counts in
        as many masks as it lies in, so a class has its share of the sum.

    Raises:
        ValueError: The scores of this head have no meaning known here.
    """
    kind = type(head)
    source = getattr(kind.predict, '__qualname__', '')
    if source in _MASKS:
        return _shares
    by_feature = getattr(kind, 'predict_by_feat', None)
    known = source in _LOGITS and (
        getattr(by_feature, '__qualname__', '') == _LOGITS_BY_FEATURE
    )
    if not known:
        raise ValueError(
            f'--probabilities: what the scores of {kind.__name__} mean is not '
            'known; map without it'
        )
    losses = head.loss_decode
    losses = losses if isinstance(losses, nn.ModuleList) else [losses]
    if all(getattr(loss, 'use_sigmoid', False) for loss in losses):
        names = ', '.join(type(loss).__name__ for loss in losses)
        raise ValueError(
            f'--probabilities: {kind.__name__} was trained by {names} with a '
            'sigmoid for each class by itself, so that its scores need not '
            'sum to 1; map without it'
        )
    return lambda scores: scores.softmax(-3)


def _shares(scores: Tensor) -> Tensor:
    return scores / scores.sum(-3, keepdim=True).clamp(min=1e-12)
