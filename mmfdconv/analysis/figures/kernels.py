"""Figures of parallel kernels: their responses, and how similar they are."""

from pathlib import Path
from typing import Any, List, Sequence

import numpy as np
import torch
from torch import Tensor

from ..canvas import (
    SEQUENTIAL,
    new_figure,
    save_figure,
    series_colours,
    show_map,
)
from ..kernels import (
    Plane,
    Similarity,
    filter_response,
    image_spectrum,
    radial_profile,
)
from ..outputs import PathLike

__all__ = ['draw_responses', 'draw_similarity']

_FLOOR = -60  # dB

#: Above so many kernels, numbers would not fit into the matrix.
_NUMBERED = 8


def draw_responses(
    kernels: Tensor,
    out: PathLike,
    title: str,
    noun: str = 'kernel',
    number: int = 6,
) -> Path:
    """Draw what frequencies the parallel kernels of a layer answer to.

    Args:
        kernels: ``(K, O, I, kh, kw)``.
        out: The picture to write.
        title: Heading.
        noun: What a kernel is called: expert, group, cell.
        number: How many of the kernels to show, spread evenly.
    """
    K = len(kernels)
    shown = torch.linspace(0, K - 1, min(number, K)).round().long()
    kernels = kernels[shown].cpu()
    names = [f'{noun} {int(k) + 1}' for k in shown]
    plane = image_spectrum(kernels)
    response = filter_response(kernels)

    figure = new_figure(10.4, 7.2)
    figure.suptitle(f'{title}\n{len(shown)} of {K} {noun}s')
    top, middle, bottom = figure.subfigures(3, 1, height_ratios=[1, 0.9, 1.3])
    decibel = 20 * (plane / plane.max()).clamp_min(10 ** (_FLOOR / 20)).log10()
    _row(
        top,
        decibel,
        names,
        "spectrum of the kernel as an\nimage, FDConv's plane",
        'dB of the largest',
        vmin=_FLOOR,
        vmax=0,
    )
    peak = response.amax(dim=(1, 2), keepdim=True).clamp_min(1e-30)
    _row(
        middle,
        response / peak,
        [''] * len(names),
        'response of the filters\nto a feature map',
        'of its own peak',
        vmin=0,
        vmax=1,
    )
    axes = bottom.subplots(1, 2)
    # Small planes have few frequencies: not more rings than these fill.
    rings = max(min(32, min(plane.shape[1:]) // 2), 2)
    corner = 0.5 * 2**0.5
    _profiles(
        axes[0],
        radial_profile(plane, rings, corner),
        names,
        "mean magnitude by radius, in FDConv's plane",
        'cycles per element of the image',
        corner,
    )
    _profiles(
        axes[1],
        radial_profile(response, 12),
        names,
        'mean response by radius, to a feature map',
        'cycles per pixel',
        0.5,
    )
    axes[1].legend(frameon=False, fontsize='small', ncols=1 + (len(names) > 4))
    return save_figure(figure, out)


def _row(
    figure: Any,
    maps: Tensor,
    names: Sequence[str],
    side: str,
    label: str,
    **scale: float,
) -> None:
    axes = figure.subplots(1, len(maps), squeeze=False)[0]
    for ax, values, name in zip(axes, maps, names):
        drawn = show_map(
            ax,
            values.numpy(),
            name,
            extent=(-0.5, 0.5, -0.5, 0.5),
            cmap=SEQUENTIAL,
            ticks=True,
            **scale,
        )
        ax.set(xticks=[-0.5, 0, 0.5], yticks=[])
        ax.set_xticklabels(['-.5', '0', '.5'], fontsize='small')
    axes[0].set_ylabel(side, fontsize='small')
    bar = figure.colorbar(drawn, ax=axes, shrink=0.9, pad=0.01)
    bar.set_label(label)


def _profiles(
    axes: Any,
    profile: Any,
    names: Sequence[str],
    title: str,
    label: str,
    limit: float,
) -> None:
    radius, means = profile
    for curve, name, colour in zip(means, names, series_colours(len(names))):
        seen = ~curve.isnan()
        axes.plot(radius[seen], curve[seen], label=name, color=colour)
    axes.set(title=title, xlabel=label, ylabel='magnitude', xlim=(0, limit))
    axes.set_ylim(0, 1.25 * float(means.nan_to_num().max()) or 1)
    axes.grid(alpha=0.3)
    axes.spines[['top', 'right']].set_visible(False)


def draw_similarity(
    alike: Similarity,
    plane: Plane,
    out: PathLike,
    title: str,
    noun: str = 'kernel',
) -> Path:
    """Draw how alike the parallel kernels of a layer are.

    Args:
        alike: The cosines.
        plane: Every filter of every kernel.
        out: The picture to write.
        title: Heading.
        noun: What a kernel is called.
    """
    figure = new_figure(11.4, 4.2)
    figure.suptitle(title)
    axes = figure.subplots(1, 3, width_ratios=[1, 1, 1.1])
    summary = alike.summary()
    for ax, matrix, head, mean, scale in (
        (
            axes[0],
            alike.kernels,
            'cosine of the responses',
            summary[0],
            dict(cmap='RdBu_r', vmin=-1, vmax=1),
        ),
        (
            axes[1],
            alike.magnitudes,
            'cosine of their magnitudes',
            summary[2],
            dict(vmin=0, vmax=1),
        ),
    ):
        values = matrix.cpu().numpy()
        show_map(
            ax,
            values,
            f'{head}\nmean off the diagonal {mean:.3f}',
            label='cosine',
            ticks=True,
            **scale,
        )
        _number(ax, values, noun)
    _scatter(axes[2], plane, noun)
    return save_figure(figure, out)


def _number(axes: Any, values: np.ndarray, noun: str) -> None:
    K = len(values)
    ticks: List[int] = list(range(K))
    if K > _NUMBERED:
        ticks = np.linspace(0, K - 1, 5).round().astype(int).tolist()
    axes.set(xlabel=noun, ylabel=noun)
    axes.set_xticks(ticks, [str(t + 1) for t in ticks])
    axes.set_yticks(ticks, [str(t + 1) for t in ticks])
    if K > _NUMBERED:
        return
    low, high = axes.images[0].get_clim()
    for i in range(K):
        for j in range(K):
            part = (values[i, j] - low) / (high - low)
            # Both ends of the diverging map are dark, of viridis only one.
            dark = abs(part - 0.5) > 0.35 if low < 0 else part < 0.6
            axes.text(
                *(j, i),
                f'{values[i, j]:.3f}',
                ha='center',
                va='center',
                fontsize='small',
                color='white' if dark else 'black',
            )


def _scatter(axes: Any, plane: Plane, noun: str) -> None:
    points, owner = plane.points.numpy(), plane.owner.numpy()
    K = int(owner.max()) + 1
    axes.set_title(f'every filter of every {noun}\n{plane.how}')
    markers = 'osD^vPX*'
    if K <= _NUMBERED:
        for k, colour in enumerate(series_colours(K)):
            own = points[owner == k]
            axes.scatter(
                *own.T,
                # Kernels that are alike lie upon each other: from large to
                # small, all stay visible.
                s=70 * 0.6**k + 6,
                marker=markers[k],
                facecolors='none',
                edgecolors=[colour],
                label=str(k + 1),
            )
        axes.legend(
            title=noun,
            frameon=False,
            fontsize='small',
            loc='upper left',
            bbox_to_anchor=(1, 1),
        )
    else:
        drawn = axes.scatter(
            *points.T, s=9, c=owner + 1, cmap='cividis', linewidths=0
        )
        axes.figure.colorbar(drawn, ax=axes, pad=0.03).set_label(noun)
    axes.set(xticks=[], yticks=[])
    axes.set_box_aspect(1)
    axes.margins(0.08)
