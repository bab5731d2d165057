"""The parallel kernels of a layer, and the frequencies they answer to."""

from typing import Any, List, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...functional import image_to_weight, weight_to_image
from ...layers import FDConv, KWConv
from ...layers.expert_conv import ExpertConv2d
from ..outputs import PathLike
from .canvas import (
    new_figure,
    plain_axes,
    save_figure,
    series_colours,
    show_map,
)
from .subject import Subject, pick_layer

_FLOOR = -60  # dB


# ----------------------------------------------------------------- kernels


def kernels_misfit(layer: nn.Module) -> Optional[str]:
    """Say why a layer has no parallel kernels; None where it has."""
    name = type(layer).__name__
    if isinstance(layer, FDConv):
        number = layer.kernel_num * layer.param_ratio
    elif isinstance(layer, ExpertConv2d):
        number = layer.num_experts
    elif isinstance(layer, KWConv):
        number = len(layer.cells)
    else:
        return (
            f'{name} has one static kernel and a dynamic path beside it, no '
            'parallel kernels'
        )
    return None if number > 1 else f'this {name} has only one kernel'


def kernel_noun(layer: nn.Module) -> str:
    """What one of the parallel kernels of a layer is called."""
    if isinstance(layer, FDConv):
        return 'group'
    return 'cell' if isinstance(layer, KWConv) else 'expert'


@torch.no_grad()
def parallel_kernels(layer: nn.Module) -> Tensor:
    """The kernels that a layer mixes.

    * CondConv, DYConv, ODConv, FADConv: the experts.
    * FDConv: what each group of frequencies is in space, at neutral gates,
      so that the sum of all is the kernel without modulation.
    * KWConv: the cells of the layer's warehouse, shared with other layers.

    Returns:
        ``(K, O, I, kh, kw)``, float32 at least, on the CPU.
    """
    if isinstance(layer, KWConv):
        return layer.cells.detach().float().cpu()
    if isinstance(layer, ExpertConv2d):
        return layer.experts.detach().float().cpu()
    K = layer.kernel_num * layer.param_ratio
    images = [
        # One group at a time: the spectra of all of a wide layer are large.
        layer.spectral_image(row[None] / K).cpu()
        for row in torch.eye(K, device=next(layer.parameters()).device)
    ]
    return image_to_weight(torch.cat(images), layer.kernel_size).contiguous()


# --------------------------------------------------------------- responses


def filter_response(kernels: Tensor, size: int = 32) -> Tensor:
    """Magnitude of what the kernels do to each frequency of a feature map.

    The kernel's Fourier transform on a grid of ``size x size``; the root mean
    square over pairs of channels.

    Args:
        kernels: ``(K, O, I, kh, kw)``.
        size: Side of the grid, at least the kernel's.

    Returns:
        ``(K, size, size)``, frequency 0 in the middle.
    """
    K, kh, kw = kernels.shape[0], *kernels.shape[-2:]
    size = max(size, kh, kw)
    power = kernels.new_zeros(K, size, size)
    pairs = kernels.flatten(1, 2)  # (K, O * I, kh, kw)
    for part in pairs.split(4096, dim=1):
        spectrum = torch.fft.fft2(part, s=(size, size))
        power += spectrum.abs().square().sum(dim=1)
    magnitude = (power / pairs.shape[1]).sqrt()
    return torch.fft.fftshift(magnitude, dim=(1, 2))


def image_spectrum(kernels: Tensor) -> Tensor:
    """Magnitude of the kernels' spectra in FDConv's plane.

    That is, of the kernel laid out as the image ``(O*kh, I*kw)``, in which
    FDConv divides the frequencies (arXiv:2503.18783, Sec. 3.2).

    Args:
        kernels: ``(K, O, I, kh, kw)``.

    Returns:
        ``(K, O*kh, I*kw)``, frequency 0 in the middle.
    """
    images = torch.stack([weight_to_image(kernel) for kernel in kernels])
    magnitude = torch.stack([torch.fft.fft2(i).abs() for i in images])
    return torch.fft.fftshift(magnitude, dim=(1, 2))


def frequency_radius(H: int, W: int) -> Tensor:
    """Radius of every frequency in cycles per sample, 0 in the middle."""
    fy, fx = (torch.fft.fftshift(torch.fft.fftfreq(n)) for n in (H, W))
    return torch.hypot(fy[:, None], fx)


def radial_profile(
    maps: Tensor, bins: int = 16, limit: float = 0.5
) -> Tuple[Tensor, Tensor]:
    """Mean over rings of equal radius.

    Args:
        maps: ``(..., H, W)``, functions of frequency, 0 in the middle.
        bins: Number of rings up to ``limit``; what lies beyond, in the
            corners, is left out.
        limit: The largest radius, in cycles per sample.

    Returns:
        The rings' middles ``(bins,)``, and the means ``(..., bins)``; NaN
        where a ring holds no frequency.
    """
    radius = frequency_radius(*maps.shape[-2:])
    ring = (radius / limit * bins).long()
    ring[radius >= limit] = bins
    ring[radius == limit] = bins - 1
    one_hot = F.one_hot(ring.flatten(), bins + 1)[:, :bins].to(maps.dtype)
    means = maps.flatten(-2) @ one_hot / one_hot.sum(dim=0)
    return (torch.arange(bins) + 0.5) * (limit / bins), means


# ------------------------------------------------------------------ figure


def responses(
    subject: Subject,
    out: PathLike,
    layer: Optional[str] = None,
    number: int = 6,
) -> List[str]:
    """Frequency responses of a layer's parallel kernels."""
    name, found = pick_layer(subject.model, layer, kernels_misfit)
    kernels, noun = parallel_kernels(found), kernel_noun(found)
    title = subject.title(name, found)
    save_figure(draw_responses(kernels, title, noun, number), out)
    return [f'{name}: {len(kernels)} {noun}s']


def draw_responses(
    kernels: Tensor, title: str, noun: str = 'kernel', number: int = 6
) -> Any:
    """Draw what frequencies the parallel kernels of a layer answer to.

    Args:
        kernels: ``(K, O, I, kh, kw)``.
        title: Heading.
        noun: What a kernel is called: expert, group, cell.
        number: How many of the kernels to show, spread evenly.
    """
    K = len(kernels)
    shown = torch.linspace(0, K - 1, min(number, K)).round().long()
    kernels = kernels[shown]
    names = [f'{noun} {int(k) + 1}' for k in shown]
    plane, response = image_spectrum(kernels), filter_response(kernels)

    figure = new_figure(10.4, 7.2)
    figure.suptitle(f'{title}\n{len(shown)} of {K} {noun}s')
    top, middle, bottom = figure.subfigures(3, 1, height_ratios=[1, 0.9, 1.3])
    _row(
        top,
        20 * (plane / plane.max()).clamp_min(10 ** (_FLOOR / 20)).log10(),
        names,
        "spectrum of the kernel as an\nimage, FDConv's plane",
        'dB of the largest',
        vmin=_FLOOR,
        vmax=0,
    )
    _row(
        middle,
        response / response.amax(dim=(1, 2), keepdim=True).clamp_min(1e-30),
        [''] * len(names),
        'response of the filters\nto a feature map',
        'of its own peak',
        vmin=0,
        vmax=1,
    )
    left, right = bottom.subplots(1, 2)
    # Small planes have few frequencies: not more rings than these fill.
    rings = max(min(32, min(plane.shape[1:]) // 2), 2)
    corner = 0.5 * 2**0.5
    _profiles(left, radial_profile(plane, rings, corner), names, corner)
    left.set(
        title="mean magnitude by radius, in FDConv's plane",
        xlabel='cycles per element of the image',
    )
    _profiles(right, radial_profile(response, 12), names, 0.5)
    right.set(
        title='mean response by radius, to a feature map',
        xlabel='cycles per pixel',
    )
    right.legend(frameon=False, fontsize='small', ncols=1 + (len(names) > 4))
    return figure


def _row(
    figure: Any,
    maps: Tensor,
    names: Sequence[str],
    side: str,
    label: str,
    **scale: float,
) -> None:
    axes = figure.subplots(1, len(maps), squeeze=False)[0]
    extent = (-0.5, 0.5, -0.5, 0.5)
    for ax, values, name in zip(axes, maps.numpy(), names):
        drawn = show_map(ax, values, name, extent=extent, ticks=True, **scale)
        ax.set(xticks=[-0.5, 0, 0.5], yticks=[])
        ax.set_xticklabels(['-.5', '0', '.5'], fontsize='small')
    axes[0].set_ylabel(side, fontsize='small')
    figure.colorbar(drawn, ax=axes, shrink=0.9, pad=0.01).set_label(label)


def _profiles(
    axes: Any,
    profile: Tuple[Tensor, Tensor],
    names: Sequence[str],
    limit: float,
) -> None:
    radius, means = profile
    for curve, name, colour in zip(means, names, series_colours(len(names))):
        seen = ~curve.isnan()
        axes.plot(radius[seen], curve[seen], label=name, color=colour)
    top = 1.25 * float(means.nan_to_num().max()) or 1
    plain_axes(axes, ylabel='magnitude', xlim=(0, limit), ylim=(0, top))
