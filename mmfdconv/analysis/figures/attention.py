"""Frequency attention (FAT), beside global average pooling (GAP)."""

from typing import Any, List, NamedTuple, Optional

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...functional import dct_basis
from ...layers.descriptors import FrequencyAttention
from ..outputs import PathLike
from .canvas import (
    COLOURS,
    new_figure,
    plain_axes,
    save_figure,
    show_map,
    show_picture,
)
from .subject import Subject, pick_layer


class Attention(NamedTuple):
    """The DCT of pooled features and what FAT does with it."""

    coefficients: Tensor  # (B, C, P, P)
    pooled: Tensor  # (B, C, P, P)
    kept: Tensor  # (B, C, P, P), the pooled map of the kept coefficients
    descriptor: Tensor  # (B, C)
    sensitivity: Tensor  # (B, C, P, P), of the descriptor to a coefficient


def attention_misfit(layer: nn.Module) -> Optional[str]:
    """Say why a layer has no frequency attention; None where it has."""
    if isinstance(getattr(layer, 'descriptor', None), FrequencyAttention):
        return None
    return (
        f'{type(layer).__name__} here describes its input without frequency '
        "attention (FAT); FADConv has it, and layers with descriptor='fat'"
    )


def pooled_dct(pooled: Tensor) -> Tensor:
    """All DCT coefficients of pooled maps, ``(..., P, P)``, as FAT's."""
    basis = dct_basis(pooled.shape[-1], pooled.device, pooled.dtype)
    return basis.t() @ pooled @ basis


def inverse_dct(coefficients: Tensor) -> Tensor:
    """Undo :func:`pooled_dct`.

    The published basis is orthogonal but not of length 1.

    Args:
        coefficients: ``(..., P, P)``.
    """
    size = coefficients.shape[-1]
    basis = dct_basis(size, coefficients.device, coefficients.dtype)
    inverse = basis / basis.square().sum(dim=0)  # (positions, frequencies)
    return inverse @ coefficients @ inverse.t()


def kept_coefficients(descriptor: FrequencyAttention) -> Tensor:
    """Which coefficients FAT reads, ``(P, P)`` of bool."""
    P, n, h = (
        descriptor.pool_size,
        descriptor.low_freq,
        descriptor.high_freq,
    )
    kept = torch.zeros(P, P, dtype=torch.bool)
    kept[:n, :n] = True
    if h:
        kept[-h:, -h:] = True
    return kept


def frequency_attention(
    descriptor: FrequencyAttention, x: Tensor
) -> Attention:
    """Look into FAT at work.

    The sensitivity to a coefficient is the derivative of the channel's
    descriptor by it.

    Args:
        descriptor: The layer's.
        x: The layer's input ``(B, C, H, W)``.
    """
    pooled = F.adaptive_avg_pool2d(x.detach().float(), descriptor.pool_size)
    pooled.requires_grad_()
    with torch.enable_grad():
        # Pooled maps pass FAT's own pooling as they are.
        described = descriptor(pooled)
        (gradient,) = torch.autograd.grad(described.sum(), pooled)
    pooled = pooled.detach()
    coefficients = pooled_dct(pooled)
    kept = kept_coefficients(descriptor).to(pooled.device)
    # With C = B^T X B the chain rule gives d/dX = B (d/dC) B^T.
    basis = dct_basis(pooled.shape[-1], pooled.device, pooled.dtype)
    dual = basis / basis.square().sum(dim=0)
    sensitivity = dual.t() @ gradient @ dual
    return Attention(
        coefficients,
        pooled,
        inverse_dct(coefficients * kept),
        described.detach(),
        sensitivity,
    )


def kept_share(attention: Attention) -> float:
    """Share of the pooled maps' variation that FAT still holds.

    Energies are those of the maps, the mean of each channel left out: it is
    all that global average pooling holds.
    """

    def variation(maps: Tensor) -> float:
        maps = maps - maps.mean(dim=(2, 3), keepdim=True)
        return float(maps.square().sum())

    return variation(attention.kept) / max(variation(attention.pooled), 1e-30)


# ------------------------------------------------------------------ figure


def attention(
    subject: Subject, out: PathLike, image: str, layer: Optional[str] = None
) -> List[str]:
    """Coefficients of FAT, and what FAT and GAP keep of the features."""
    name, found = pick_layer(subject.model, layer, attention_misfit)
    x, picture = subject.input_of(name, image)
    looked = frequency_attention(found.descriptor, x)
    title = subject.title(name, found)
    figure = draw_attention(looked, found.descriptor, picture, title)
    save_figure(figure, out)
    return [
        f'{name}: FAT keeps {kept_share(looked):.1%} of the variation of the '
        'pooled features, GAP 0%'
    ]


def draw_attention(
    attention: Attention,
    descriptor: FrequencyAttention,
    picture: np.ndarray,
    title: str,
) -> Any:
    """Draw FAT's coefficients and what GAP and FAT keep of the features.

    Args:
        attention: Of one image.
        descriptor: The layer's.
        picture: The image, ``(H, W, 3)`` of uint8.
        title: Heading.
    """
    P = descriptor.pool_size
    weight = attention.descriptor[0].abs()
    weight = (weight / weight.sum().clamp_min(1e-30))[:, None, None]

    def heat(maps: Tensor) -> np.ndarray:
        return (maps[0] * weight).sum(dim=0).cpu().numpy()

    pooled, fat = heat(attention.pooled), heat(attention.kept)
    gap = np.full_like(pooled, pooled.mean())

    figure = new_figure(10.8, 6.6, dpi=100)
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
    return figure


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
                edgecolor=COLOURS[3],
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
        bbox=dict(facecolor=COLOURS[3], linewidth=0, pad=1.5),
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
        (read, 'read by FAT', COLOURS[3], 'o'),
        (rest, 'not read', COLOURS[0], 's'),
    ):
        seen = values > 0
        axes.plot(
            *(degrees[seen], values[seen] / total),
            color=colour,
            marker=marker,
            markersize=3.5,
            label=name,
        )
    plain_axes(
        axes,
        title='energy by order',
        xlabel='i + j (0 is the mean, all that GAP reads)',
        ylabel='share of the energy',
        yscale='log',
    )
    axes.legend(frameon=False)
