"""Frequency bands of a layer's input, and FBM's maps of them."""

from typing import Any, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor, nn

from ...functional import frequency_bands, wide
from ...layers import FDConv, recording
from ..outputs import PathLike
from .canvas import new_figure, save_figure, show_map, show_picture
from .subject import Subject, pick_layer


class SplitInput(NamedTuple):
    """The bands of a feature map and what FBM multiplies them by."""

    images: Tensor  # (bands, B, C, H, W), their sum is the feature map
    maps: Tensor  # (bands, B, S, H, W); 1 where a band passes as it is


def bands_misfit(layer: nn.Module) -> Optional[str]:
    """Say why a layer has no band maps; None where it has."""
    name = type(layer).__name__
    if not isinstance(layer, FDConv):
        return f"{name} has no Frequency Band Modulation, which is FDConv's"
    if layer.FBM is None:
        size = 'x'.join(map(str, layer.kernel_size))
        return (
            f'this {name} with a {size} kernel has no Frequency Band '
            'Modulation (use_fbm_if_k_in)'
        )
    return None


@torch.no_grad()
def split_bands(layer: FDConv, x: Tensor) -> SplitInput:
    """Split a layer's input as its FBM does.

    Args:
        layer: With FBM.
        x: The layer's input ``(B, C, H, W)``.
    """
    x = x.to(wide(x.dtype))
    images = torch.stack(frequency_bands(x, layer.FBM.k_list, layer.FBM.mask))
    maps = layer.FBM.maps(x).transpose(1, 2)  # (B, bands, S, H, W)
    maps = maps.transpose(0, 1)
    missing = len(images) - len(maps)  # the lowest band, unless it has a map
    if missing:
        maps = torch.cat([maps, torch.ones_like(maps[:missing])])
    return SplitInput(images, maps)


def band_names(layer: FDConv) -> Tuple[str, ...]:
    """What the bands are, in cycles per pixel of the feature map."""
    bounds = [1 / (2 * k) for k in layer.FBM.k_list]
    inner = [
        f'{low:.3g} to {high:.3g}' for high, low in zip(bounds, bounds[1:])
    ]
    return (f'{bounds[0]:.3g} and above', *inner, f'below {bounds[-1]:.3g}')


def band_energies(split: SplitInput) -> List[float]:
    """Share of each band in the bands' energy, the mean left out."""
    images = split.images - split.images.mean(dim=(3, 4), keepdim=True)
    energy = images.square().flatten(1).sum(dim=1)
    return (energy / energy.sum()).tolist()


# ----------------------------------------------------------------- figures


def bands(
    subject: Subject, out: PathLike, image: str, layer: Optional[str] = None
) -> List[str]:
    """Frequency bands of a layer's input and FBM's maps of them."""
    name, found = pick_layer(subject.model, layer, bands_misfit)
    x, picture = subject.input_of(name, image)
    split, names = split_bands(found, x), band_names(found)
    title = subject.title(name, found)
    save_figure(draw_bands(split, names, picture, title), out)
    lines = [f'{name}: input {x.shape[3]} x {x.shape[2]}']
    for band, share, maps in zip(names, band_energies(split), split.maps):
        lines.append(
            f'{band:>17} cycles/pixel: {share:6.1%} of the energy, map '
            f'{float(maps.min()):.3f} to {float(maps.max()):.3f}'
        )
    return lines


def draw_bands(
    split: SplitInput, names: Sequence[str], picture: np.ndarray, title: str
) -> Any:
    """Draw what each band of a layer's input holds, and its gate.

    Args:
        split: Of one image.
        names: Of the bands, in cycles per pixel.
        picture: The image, ``(H, W, 3)`` of uint8.
        title: Heading.
    """
    # Over the channels: root mean square, mean over groups of maps.
    strength = split.images[:, 0].square().mean(dim=1).sqrt().cpu().numpy()
    maps = split.maps[:, 0].mean(dim=1).cpu().numpy()
    whole = split.images[:, 0].sum(dim=0).square().mean(dim=0).sqrt()
    energies = band_energies(split)
    aspect = picture.shape[0] / picture.shape[1]
    columns, width = len(names) + 1, 2.75
    height = 2 * (width * 0.7 * aspect + 0.5) + 0.6
    figure = new_figure(width * columns, height, dpi=100)
    groups = split.maps.shape[2]
    many = f', mean of {groups} maps per band' if groups > 1 else ''
    figure.suptitle(f'{title}{many}')
    top, bottom = figure.subplots(2, columns)
    show_picture(top[0], picture, 'image')
    H, W = whole.shape
    label = 'RMS over channels'
    show_map(bottom[0], whole.cpu().numpy(), f'layer input, {W} x {H}', label)
    # One scale for all maps: a band that is gated more shows it.
    reach = max(float(abs(maps - 1).max()), 1e-3)
    for i, name in enumerate(names):
        head = f'{name} cycles/pixel\n{energies[i]:.1%} of the energy'
        show_map(top[i + 1], strength[i], head, label)
        if i == len(names) - 1 and (maps[i] == 1).all():
            bottom[i + 1].text(
                *(0.5, 0.5, 'no map:\nthe lowest band\npasses as it is'),
                ha='center',
                va='center',
                transform=bottom[i + 1].transAxes,
            )
            bottom[i + 1].set_axis_off()
        else:
            head = f'map, mean {maps[i].mean():.3f}'
            _show_gate(bottom[i + 1], maps[i], head, reach)
    return figure


def draw_maps(found: Mapping[str, recording.FrequencyBands]) -> Any:
    """Draw the maps of several FBMs, a row each, the highest band first.

    Args:
        found: By layer, from :func:`mmfdconv.layers.record_bands`.
    """
    columns = max(one.maps.shape[1] for one in found.values())
    figure = new_figure(3.4 * columns, 2.7 * len(found), dpi=100)
    grid = figure.subplots(len(found), columns, squeeze=False)
    for row, (name, one) in zip(grid, found.items()):
        maps = one.maps.float().mean(dim=0).cpu().numpy()
        reach = max(float(abs(maps - 1).max()), 1e-3)
        for i, axes in enumerate(row):
            if i >= len(maps):
                axes.set_axis_off()
                continue
            head = f'band {i}, {float(one.energy[i]):.1%} of the energy'
            # The layer's name stands above its row.
            head = f'{name if i == 0 else ""}\n{head}'
            _show_gate(axes, maps[i], head, reach)
    return figure


def _show_gate(
    axes: Any, values: np.ndarray, title: str, reach: float
) -> None:
    scale = dict(centre=1, vmin=1 - reach, vmax=1 + reach)
    show_map(axes, values, title, 'gate, 1 is neutral', **scale)
