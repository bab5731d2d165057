"""Figure of the frequencies of features before and after layers."""

from pathlib import Path
from typing import Any, Mapping, NamedTuple

import numpy as np
from torch import Tensor

from ..canvas import (
    OKABE_ITO,
    new_figure,
    save_figure,
    unit_colour,
)
from ..outputs import PathLike

__all__ = ['Change', 'draw_frequency']

_BEFORE, _AFTER = unit_colour(OKABE_ITO[1]), unit_colour(OKABE_ITO[0])


class Change(NamedTuple):
    """Effective frequencies ``(images,)`` before and after a layer."""

    before: Tensor
    after: Tensor


def draw_frequency(
    changes: Mapping[str, Change],
    profiles: Mapping[str, Any],
    layer: str,
    out: PathLike,
    title: str,
) -> Path:
    """Draw effective frequencies of layers, and one layer's spectrum.

    Args:
        changes: By the layers' names.
        profiles: ``before`` and ``after``: radii and ``(images, bins)`` of
            the layer's spectrum.
        layer: Whose spectrum it is.
        out: The picture to write.
        title: Heading.
    """
    figure = new_figure(10.4, max(0.24 * len(changes) + 1.8, 4.0))
    figure.suptitle(title)
    left, right = figure.subplots(1, 2, width_ratios=[1.15, 1])
    rows = np.arange(len(changes))[::-1]
    for row, change in zip(rows, changes.values()):
        ends = [float(side.nanmean()) for side in change]
        left.plot(ends, [row, row], color='0.6', linewidth=2, zorder=1)
    for index, (side, colour, marker) in enumerate(
        (('before', _BEFORE, 'o'), ('after', _AFTER, 'D'))
    ):
        values = [float(c[index].nanmean()) for c in changes.values()]
        spread = [_deviation(c[index]) for c in changes.values()]
        left.errorbar(
            *(values, rows),
            xerr=spread if any(spread) else None,
            fmt=marker,
            color=colour,
            markersize=5,
            elinewidth=0.8,
            label=side,
            zorder=2,
        )
    left.set_yticks(rows, list(changes), fontsize='small')
    images = len(next(iter(changes.values())).before)
    spread_text = '\nmean and standard deviation' if images > 1 else ''
    left.set(
        xlabel='effective frequency, cycles per pixel of the map',
        title=f'before and after each layer{spread_text}',
        ylim=(-0.7, len(changes) - 0.3),
    )
    left.legend(frameon=False, loc='best')
    left.grid(axis='x', alpha=0.3)

    for side, colour, style in (
        ('before', _BEFORE, '--'),
        ('after', _AFTER, '-'),
    ):
        radius, power = profiles[side]
        power = power.nanmean(dim=0)
        seen = (~power.isnan()) & (power > 0)
        right.plot(
            *(radius[seen], power[seen]), color=colour, ls=style, label=side
        )
    right.set(
        title=f'power spectrum at\n{layer}',
        xlabel='cycles per pixel of the map',
        ylabel='share of the energy, per frequency',
        yscale='log',
        xlim=(0, 0.5),
    )
    right.legend(frameon=False)
    right.grid(alpha=0.3)
    for axes in (left, right):
        axes.spines[['top', 'right']].set_visible(False)
    return save_figure(figure, out)


def _deviation(values: Tensor) -> float:
    known = values[~values.isnan()]
    return float(known.std()) if len(known) > 1 else 0.0
