"""What Mask DINO's parts hand to each other."""

from typing import List, NamedTuple, Optional

from torch import Tensor


class Prediction(NamedTuple):
    """What the heads say about Q queries of B images.

    Attributes:
        logits: Class logits, ``(B, Q, C)``; of a model with softmax one more,
            the last, for no object.
        masks: Mask logits, ``(B, Q, H, W)`` at the size of the mask features;
            None where nobody asks for them.
        boxes: ``(cx, cy, w, h)`` relative to the padded image,
            ``(B, Q, 4)``.
    """

    logits: Tensor
    masks: Optional[Tensor]
    boxes: Tensor

    def split(self, size: int) -> List['Prediction']:
        """The first ``size`` queries, and the others."""
        parts = (
            (None, None) if part is None else (part[:, :size], part[:, size:])
            for part in self
        )
        return [Prediction(*half) for half in zip(*parts)]


class DecoderOutput(NamedTuple):
    """All predictions of a forward pass.

    Attributes:
        layers: Those of the queries before the first layer and after each;
            the last is the result.
        proposals: Those that the selected encoder tokens make themselves; None
            with learned queries.
        denoising: Those of the denoising queries, one for each of ``layers``;
            empty without such queries.
    """

    layers: List[Prediction]
    proposals: Optional[Prediction]
    denoising: List[Prediction]


class Target(NamedTuple):
    """The T objects (or stuff segments) of an image.

    Attributes:
        labels: Classes, ``(T,)``.
        boxes: ``(cx, cy, w, h)`` relative to the padded image, ``(T, 4)``.
        masks: 0 or 1 at the padded image's size, ``(T, H, W)``.
    """

    labels: Tensor
    boxes: Tensor
    masks: Tensor
