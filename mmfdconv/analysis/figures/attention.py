"""Figure of frequency attention (FAT) beside global average pooling."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...layers.descriptors import FrequencyAttention
from ..attention import Attention, kept_coefficients
from ..canvas import (
    OKABE_ITO,
    new_figure,
    save_figure,
    show_map,
    show_picture,
    unit_colour,
)
from ..outputs import PathLike

__all__ = ['draw_attention', 'kept_share']


def kept_share(attention: Attention) -> float:
    """Share of the pooled maps' variation that FAT still holds.

    Energies are those of the maps, the mean of each channel left out: it is
    all that global average pooling holds.
    """

    def variation(maps: Tensor) -> float:
        maps = maps - maps.mean(dim=(2, 3), keepdim=True)
        return float(maps.square().sum())

    return variation(attention.kept) / max(variation(attention.pooled), 1e-30)


def draw_attention(
    attention: Attention,
    descriptor: FrequencyAttention,
    picture: np.ndarray,
    out: PathLike,
    title: str,
) -> Path:
    """Draw FAT's coefficients and what GAP and FAT keep of the features.

    Args:
        attention: Of one image.
        descriptor: The layer's.
        picture: The image, ``(H, W, 3)`` of uint8.
        out: The picture to write.
        title: Heading.
    """
    P = descriptor.pool_size
    weight = attention.descriptor[0].abs()
    weight = (weight / weight.sum().clamp_min(1e-30))[:, None, None]

    def heat(maps: Tensor) -> np.ndarray:
        return (maps[0] * weight).sum(dim=0).cpu().numpy()

    pooled, fat = heat(attention.pooled), heat(attention.kept)
    gap = np.full_like(pooled, pooled.mean())

    figure = new_figure(10.8, 6.6)
    figure.suptitle(title)
    top, bottom = figure.subfigures(2, 1)
    axes = top.subplots(1, 4)
    show_picture(axes[0], picture, 'image')
    scale = dict(
        vmin=pooled.min(), vmax=max(pooled.max(), pooled.min() + 1e-6)
    )
    share = kept_share(attention)
    for ax, values, head in (
        (axes[1], pooled, f'features, pooled to {P} x {P}'),
        (axes[2], gap, 'what GAP keeps\n0% of the variation'),
        (axes[3], fat, f'what FAT keeps\n{share:.0%} of the variation'),
    ):
        height, width = picture.shape[:2]
        drawn = show_map(
            ax, values, head, extent=(0, width, height, 0), **scale
        )
    bar = top.colorbar(drawn, ax=axes, shrink=0.8, pad=0.01)
    bar.set_label("mean over channels,\nweighted by FAT's output")

    axes = bottom.subplots(1, 3, width_ratios=[1, 1, 1.1])
    energy = attention.coefficients[0].square().mean(dim=0)
    sensitivity = attention.sensitivity[0].abs().mean(dim=0)
    kept = kept_coefficients(descriptor)
    log = energy.clamp_min(float(energy.max()) * 1e-8).log10()
    _coefficients(
        axes[0],
        log,
        'energy of the DCT coefficients',
        'log10, mean of channels',
    )
    _outline(axes[0], descriptor)
    felt = sensitivity.cpu().numpy().copy()
    felt[~kept.numpy()] = np.nan
    n = descriptor.low_freq if not descriptor.high_freq else P
    _coefficients(
        axes[1],
        torch.from_numpy(felt[:n, :n]),
        'what the output answers to',
        '|d output / d coefficient|',
    )
    _by_diagonal(axes[2], energy.cpu(), kept)
    return save_figure(figure, out, dpi=100)


def _coefficients(axes: Any, values: Tensor, title: str, label: str) -> None:
    show_map(axes, values.cpu().numpy(), title, label=label, ticks=True)
    size = len(values)
    step = max(size // 4, 1)
    axes.set(
        xticks=range(0, size, step),
        yticks=range(0, size, step),
        xlabel='horizontal frequency j',
        ylabel='vertical frequency i',
    )


def _outline(axes: Any, descriptor: FrequencyAttention) -> None:
    from matplotlib.patches import Rectangle

    P = descriptor.pool_size
    corners = [(0, descriptor.low_freq)]
    if descriptor.high_freq:
        corners.append((P - descriptor.high_freq, descriptor.high_freq))
    for start, size in corners:
        axes.add_patch(
            Rectangle(
                (start - 0.5, start - 0.5),
                *(size, size),
                fill=False,
                edgecolor=unit_colour(OKABE_ITO[3]),
                linewidth=2.2,
            )
        )
    axes.text(
        descriptor.low_freq - 0.2,
        descriptor.low_freq - 0.1,
        'kept',
        color='white',
        va='top',
        fontsize='small',
        bbox=dict(facecolor=unit_colour(OKABE_ITO[3]), linewidth=0, pad=1.5),
    )


def _by_diagonal(axes: Any, energy: Tensor, kept: Tensor) -> None:
    """Energy by i + j, what FAT reads apart from what it does not."""
    P = len(energy)
    degree = torch.arange(P)[:, None] + torch.arange(P)[None]
    bins = [energy[(degree == d)] for d in range(2 * P - 1)]
    parts = [kept[(degree == d)] for d in range(2 * P - 1)]
    read = np.array([float(e[k].sum()) for e, k in zip(bins, parts)])
    rest = np.array([float(e[~k].sum()) for e, k in zip(bins, parts)])
    total = read.sum() + rest.sum()
    degrees = np.arange(2 * P - 1)
    for values, name, colour, marker in (
        (read, 'read by FAT', OKABE_ITO[3], 'o'),
        (rest, 'not read', OKABE_ITO[0], 's'),
    ):
        seen = values > 0
        axes.plot(
            *(degrees[seen], values[seen] / total),
            color=unit_colour(colour),
            marker=marker,
            markersize=3.5,
            label=name,
        )
    axes.set(
        title='energy by order',
        xlabel='i + j (0 is the mean, all that GAP reads)',
        ylabel='share of the energy',
        yscale='log',
    )
    axes.legend(frameon=False)
    axes.grid(alpha=0.3)
    axes.spines[['top', 'right']].set_visible(False)
