"""Figure of Frequency Band Modulation: the bands and their maps."""

from pathlib import Path
from typing import List, Sequence

import numpy as np

from ..canvas import (
    new_figure,
    save_figure,
    show_map,
    show_picture,
)
from ..outputs import PathLike
from ..spectra import Bands

__all__ = ['band_energies', 'draw_bands']


def band_energies(bands: Bands) -> List[float]:
    """Share of each band in the bands' energy, the mean left out."""
    images = bands.images - bands.images.mean(dim=(3, 4), keepdim=True)
    energy = images.square().flatten(1).sum(dim=1)
    return (energy / energy.sum()).tolist()


def draw_bands(
    bands: Bands,
    names: Sequence[str],
    picture: np.ndarray,
    out: PathLike,
    title: str,
) -> Path:
    """Draw what each band of a layer's input holds, and its gate.

    Args:
        bands: Of one image.
        names: Of the bands, in cycles per pixel.
        picture: The image, ``(H, W, 3)`` of uint8.
        out: The picture to write.
        title: Heading.
    """
    # Over the channels: root mean square, mean over groups of maps.
    strength = bands.images[:, 0].square().mean(dim=1).sqrt().cpu().numpy()
    maps = bands.maps[:, 0].mean(dim=1).cpu().numpy()
    whole = bands.images[:, 0].sum(dim=0).square().mean(dim=0).sqrt()
    energies = band_energies(bands)
    aspect = picture.shape[0] / picture.shape[1]
    columns = len(names) + 1
    width = 2.75
    figure = new_figure(
        width * columns, 2 * (width * 0.7 * aspect + 0.5) + 0.6
    )
    groups = bands.maps.shape[2]
    many = f', mean of {groups} maps per band' if groups > 1 else ''
    figure.suptitle(f'{title}{many}')
    axes = figure.subplots(2, columns)
    show_picture(axes[0, 0], picture, 'image')
    H, W = whole.shape
    show_map(
        axes[1, 0],
        whole.cpu().numpy(),
        f'layer input, {W} x {H}',
        label='RMS over channels',
    )
    # One scale for all maps: a band that is gated more shows it.
    reach = max(float(abs(maps - 1).max()), 1e-3)
    for i, name in enumerate(names):
        show_map(
            axes[0, i + 1],
            strength[i],
            f'{name} cycles/pixel\n{energies[i]:.1%} of the energy',
            label='RMS over channels',
        )
        if i == len(names) - 1 and (maps[i] == 1).all():
            axes[1, i + 1].text(
                *(0.5, 0.5),
                'no map:\nthe lowest band\npasses as it is',
                ha='center',
                va='center',
                transform=axes[1, i + 1].transAxes,
            )
            axes[1, i + 1].set_axis_off()
            continue
        show_map(
            axes[1, i + 1],
            maps[i],
            f'map, mean {maps[i].mean():.3f}',
            label='gate, 1 is neutral',
            centre=1,
            vmin=1 - reach,
            vmax=1 + reach,
        )
    return save_figure(figure, out, dpi=100)
