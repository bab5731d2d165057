"""The part of an OpenMMLab model that maps tensors to tensors.

Reading and normalising images before it, and turning raw outputs into boxes or
pictures after it, is left to the program that runs it.
"""

from typing import Any, Iterator, List, Optional, Tuple

import torch
from torch import Tensor, nn

__all__ = ['TensorPart', 'tensor_part']


class TensorPart(nn.Module):
    """From an image to a flat tuple of tensors.

    Args:
        part: Computes any nesting of tuples and lists.
        image: An example, for the number and the names of the outputs.
    """

    def __init__(self, part: nn.Module, image: Tensor) -> None:
        super().__init__()
        self.part = part
        self.eval()
        with torch.no_grad():
            named = list(_flat(part(image)))
        self.output_names = [name for name, _ in named]

    def forward(self, image: Tensor) -> Tuple[Tensor, ...]:
        """``(B, C, H, W)``, normalised, to what ``output_names`` name."""
        return tuple(value for _, value in _flat(self.part(image)))


def tensor_part(
    model: nn.Module, image: Tensor, classes: bool = False
) -> TensorPart:
    """Cut the part to export out of a model.

    Args:
        model: A classifier of mmpretrain, up to its logits; a segmentor of
            mmseg, up to logits as large as the image; a one-stage detector of
            mmdet, up to the raw outputs of its head; a two-stage one, up to
            those of the RPN, and the features.
        image: An example, ``(1, C, H, W)``.
        classes: Of a segmentor, the class of each pixel, ``(B, H, W)``.

    Raises:
        ValueError: The model is none of these, or its head needs more than
            the image's features.
    """
    kind = _kind(model)
    if kind is None:
        raise ValueError(
            f'{type(model).__name__} cannot be exported: it is none of a '
            'classifier, an encoder-decoder for segmentation, and a detector '
            'with a dense head or an RPN'
        )
    if classes and kind is not _Segmentor:
        raise ValueError(
            f'classes: {type(model).__name__} is no segmentor, which would '
            'have a class for each pixel'
        )
    part = kind(model)
    if classes:
        part = _Classes(part, _heads(model)[-1])
    try:
        return TensorPart(part, image)
    except (
        *(AssertionError, AttributeError, NotImplementedError),
        *(RuntimeError, TypeError),
    ) as error:
        height, width = image.shape[2:]
        raise ValueError(
            f'{type(model).__name__} cannot be exported: up to its '
            f'{kind.head_name} it does not run on an image of {height} x '
            f'{width} alone: {type(error).__name__}: {error}'
        ) from error


def _kind(model: nn.Module) -> Optional[type]:
    if not hasattr(model, 'backbone'):
        return None
    if hasattr(model, 'encode_decode'):
        return _Segmentor
    if hasattr(model, 'forward_transformer'):  # queries need the image's data
        return None
    if hasattr(model, 'rpn_head'):
        return _TwoStage
    if getattr(model, 'bbox_head', None) is not None:
        return _OneStage
    if hasattr(model, 'head') and hasattr(model, 'extract_feat'):
        return _Part
    return None


class _Part(nn.Module):
    """Backbone, neck where there is one, and a head."""

    head_name = 'head'  # in the model, and so in errors and in the graph
    output = 'logits'

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.backbone = model.backbone
        self.neck = model.neck if getattr(model, 'with_neck', False) else None
        setattr(self, self.head_name, getattr(model, self.head_name))

    def features(self, image: Tensor) -> Any:
        features = self.backbone(image)
        return features if self.neck is None else self.neck(features)

    def forward(self, image: Tensor) -> Any:
        head = getattr(self, self.head_name)
        return {self.output: head(self.features(image))}


class _Segmentor(_Part):
    head_name = 'decode_head'

    def forward(self, image: Tensor) -> Any:
        features = self.features(image)
        first, *others = heads = _heads(self)
        logits = first(features)
        for head in others:
            logits = head(features, logits)
        logits = nn.functional.interpolate(
            logits,
            image.shape[2:],
            mode='bilinear',
            align_corners=heads[-1].align_corners,
        )
        return dict(logits=logits)


def _heads(segmentor: nn.Module) -> List[nn.Module]:
    """Its head, or those of a cascade, of which each refines the last."""
    head = segmentor.decode_head
    return list(head) if isinstance(head, nn.ModuleList) else [head]


class _OneStage(_Part):
    head_name, output = 'bbox_head', 'head'


class _TwoStage(_Part):
    head_name = 'rpn_head'

    def forward(self, image: Tensor) -> Any:
        features = self.features(image)
        return dict(feature=features, rpn=self.rpn_head(features))


class _Classes(nn.Module):
    """The class with the highest score, or above the threshold, as mmseg's."""

    def __init__(self, segmentor: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.segmentor = segmentor
        self.threshold = head.threshold if head.out_channels == 1 else None

    def forward(self, image: Tensor) -> Any:
        logits = self.segmentor(image)['logits']
        if self.threshold is None:
            return dict(classes=logits.argmax(dim=1))
        return dict(classes=(logits.sigmoid() > self.threshold)[:, 0].long())


def _flat(values: Any, name: str = '') -> Iterator[Tuple[str, Tensor]]:
    """Tensors in order, named by where they stand, ``'rpn_0_2'``."""
    if isinstance(values, Tensor):
        yield name or 'output', values
        return
    if values is None:
        return
    items: List[Tuple[Any, Any]]
    items = list(
        values.items() if isinstance(values, dict) else enumerate(values)
    )
    for key, value in items:
        yield from _flat(value, f'{name}_{key}' if name else str(key))
