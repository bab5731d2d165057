"""Overlapping windows, and their blend, row by row."""

import math
from typing import List, Tuple

import torch
from torch import Tensor

__all__ = ['RowBlend', 'WindowPlan']


class WindowPlan:
    """Where windows lie along one axis and how much their pixels count.

    Starts are multiples of ``multiple``: a model that halves its input five
    times then sees every window in the phase of the whole image, and the
    last window ends with the image instead of hanging over.

    Within an overlap the outer ``margin`` of a window counts nothing (a
    convolution there misses its neighbours), and between the margins a
    raised cosine hands over from one window to the next. At the image's own
    edge every pixel counts in full.

    Args:
        length: Pixels along the axis.
        size: Window size, a multiple of ``multiple``.
        overlap: Pixels that neighbours share, a multiple of ``multiple``.
        margin: Less than half the overlap. ``None`` is a quarter of it.
        multiple: The model's stride.
        alike: Whether all windows are of one size: the last one then begins
            where it must to end with the image, in any phase.
    """

    def __init__(
        self,
        length: int,
        size: int,
        overlap: int,
        margin: int = None,
        multiple: int = 32,
        alike: bool = False,
    ) -> None:
        for name, value in (('window', size), ('overlap', overlap)):
            if value < 1 or value % multiple:
                raise ValueError(
                    f'--{name}: must be a positive multiple of the '
                    f"model's stride {multiple}, not {value}"
                )
        if overlap > size // 2:
            raise ValueError(
                f'--overlap: {overlap} is more than half of the window, {size}'
            )
        margin = overlap // 4 if margin is None else margin
        if not 0 <= 2 * margin < overlap:
            raise ValueError(
                f'--margin: must be from 0 to less than half of the '
                f'overlap, {overlap}, not {margin}'
            )
        self.length, self.size = length, size
        self._overlap, self._margin = overlap, margin
        step = 1 if alike else multiple
        last = max(0, -(-(length - size) // step) * step)
        self.starts: List[int] = [*range(0, last, size - overlap), last]

    def spans(self) -> List[Tuple[int, int]]:
        """Return (start, stop) of every window, in order."""
        return [(s, min(s + self.size, self.length)) for s in self.starts]

    def weights(self, start: int, stop: int) -> Tensor:
        """Return what each pixel of a window counts, shape (stop - start,)."""
        steps = self._overlap - 2 * self._margin
        ramp = torch.zeros(self._overlap)
        ramp[self._overlap - self._margin :] = 1
        middle = (torch.arange(steps) + 0.5) / steps * (math.pi / 2)
        ramp[self._margin : self._overlap - self._margin] = middle.sin() ** 2
        weights = torch.ones(stop - start)
        if start > 0:
            weights[: self._overlap] *= ramp
        if stop < self.length:
            weights[-self._overlap :] *= ramp.flip(0)
        return weights


class RowBlend:
    """Weighted mean of overlapping windows, given back row by row.

    Holds the rows that a window spans and no more, so its size depends on
    the image's width and on the window, never on the height.

    Args:
        classes: Number of classes, K.
        rows: Height of a window.
        width: Width W of the whole image.
        device: Where the model runs.
    """

    def __init__(self, classes: int, rows: int, width: int, device) -> None:
        self.top = 0
        self._sums = torch.zeros(classes, rows, width, device=device)
        self._weights = torch.zeros(rows, width, device=device)

    @property
    def nbytes(self) -> int:
        """Memory that the blend holds."""
        return 4 * (self._sums.numel() + self._weights.numel())

    def add(
        self, values: Tensor, top: int, left: int, weights: Tensor
    ) -> None:
        """Add a window.

        Args:
            values: Shape (K, h, w).
            top: Its first row in the image.
            left: Its first column.
            weights: Shape (h, w).
        """
        h, w = weights.shape
        rows = slice(top - self.top, top - self.top + h)
        columns = slice(left, left + w)
        self._sums[:, rows, columns] += values * weights
        self._weights[rows, columns] += weights

    def finish(self, until: int) -> Tensor:
        """Return the rows from ``top`` up to ``until`` and forget them.

        Returns:
            Shape (K, until - top, W); 0 where no window was added.
        """
        n = until - self.top
        # Where nothing was added the sums are 0 as well.
        weights = self._weights[:n].clamp(min=torch.finfo(torch.float32).tiny)
        done = self._sums[:, :n] / weights
        for buffer in (self._sums, self._weights):
            kept = buffer[..., n:, :].clone()
            buffer.zero_()
            buffer[..., : kept.shape[-2], :] = kept
        self.top = until
        return done
