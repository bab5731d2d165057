"""Frequencies of feature maps: bands, spectra, effective frequency."""

from typing import NamedTuple, Optional, Tuple

import torch
from torch import Tensor, nn

from ..functional import frequency_bands, wide
from ..layers import FDConv
from .kernels import frequency_radius, radial_profile

__all__ = [
    'Bands',
    'band_names',
    'bands_misfit',
    'effective_frequency',
    'power_profile',
    'split_bands',
]


# ------------------------------------------------------------------- bands


class Bands(NamedTuple):
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
def split_bands(layer: FDConv, x: Tensor) -> Bands:
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
    return Bands(images, maps)


def band_names(layer: FDConv) -> Tuple[str, ...]:
    """What the bands are, in cycles per pixel of the feature map."""
    bounds = [1 / (2 * k) for k in layer.FBM.k_list]
    inner = [
        f'{low:.3g} to {high:.3g}' for high, low in zip(bounds, bounds[1:])
    ]
    return (f'{bounds[0]:.3g} and above', *inner, f'below {bounds[-1]:.3g}')


# ----------------------------------------------------- effective frequency


def _power(x: Tensor) -> Tensor:
    """Power spectrum without the mean, ``(B, C, H, W) -> (B, C, H, W)``.

    Frequency 0 in the middle.
    """
    x = x.to(wide(x.dtype))
    x = x - x.mean(dim=(2, 3), keepdim=True)
    power = torch.fft.fft2(x).abs().square()
    return torch.fft.fftshift(power, dim=(2, 3))


def effective_frequency(x: Tensor) -> Tensor:
    r"""Energy-weighted mean radius of a feature map's power spectrum.

    .. math:: f_\mathrm{eff} =
        \frac{\sum_{f \ne 0} |X(f)|^2 \, \|f\|}{\sum_{f \ne 0} |X(f)|^2}

    in cycles per pixel of that map, over all channels together. The mean,
    frequency 0, is left out: it has no radius and after a ReLU most of the
    energy.

    Args:
        x: ``(B, C, H, W)``.

    Returns:
        ``(B,)``; NaN for a map without any variation.
    """
    power = _power(x).sum(dim=1)  # (B, H, W)
    radius = frequency_radius(*x.shape[2:], x.device).to(power.dtype)
    total = power.sum(dim=(1, 2))
    return (power * radius).sum(dim=(1, 2)) / total


def power_profile(x: Tensor, bins: int = 16) -> Tuple[Tensor, Tensor]:
    """Share of the energy per frequency, over rings of equal radius.

    Args:
        x: ``(B, C, H, W)``.
        bins: Number of rings up to 0.5 cycles per pixel.

    Returns:
        The rings' middles ``(bins,)`` and the mean power of a frequency in
        each, over the power of the map, ``(B, bins)``; NaN for a ring that
        holds no frequency of a small map.
    """
    power = _power(x).sum(dim=1)
    power = power / power.sum(dim=(1, 2), keepdim=True)
    return radial_profile(power, bins)
