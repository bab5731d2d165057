"""The parallel kernels of a layer: responses, similarity, principal plane."""

from typing import List, NamedTuple, Optional, Tuple

import torch
from torch import Tensor, nn

from ..functional import image_to_weight, weight_to_image
from ..layers import FDConv, KWConv
from ..layers.expert_conv import ExpertConv2d

__all__ = [
    'Plane',
    'Similarity',
    'cosine_matrix',
    'filter_response',
    'frequency_radius',
    'image_spectrum',
    'kernel_noun',
    'kernels_misfit',
    'parallel_kernels',
    'principal_plane',
    'radial_profile',
    'similarity',
]


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
        ``(K, O, I, kh, kw)``, float32 at least.
    """
    if isinstance(layer, KWConv):
        return layer.cells.detach().float()
    if isinstance(layer, ExpertConv2d):
        return layer.experts.detach().float()
    K = layer.kernel_num * layer.param_ratio
    images = [
        # One group at a time: the spectra of all of a wide layer are large.
        layer.spectral_image(row[None] / K)
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
    H, W = maps.shape[-2:]
    radius = frequency_radius(H, W, maps.device)
    ring = (radius / limit * bins).long()
    ring[radius >= limit] = bins
    ring[radius == limit] = bins - 1
    one_hot = torch.nn.functional.one_hot(ring.flatten(), bins + 1)
    one_hot = one_hot[:, :bins].to(maps.dtype)  # (H * W, bins)
    means = maps.flatten(-2) @ one_hot / one_hot.sum(dim=0)
    middles = (torch.arange(bins) + 0.5) * (limit / bins)
    return middles, means


def frequency_radius(
    H: int, W: int, device: Optional[torch.device] = None
) -> Tensor:
    """Radius of every frequency in cycles per sample, 0 in the middle."""
    fy = torch.fft.fftshift(torch.fft.fftfreq(H, device=device))
    fx = torch.fft.fftshift(torch.fft.fftfreq(W, device=device))
    return torch.hypot(fy[:, None], fx[None, :])


# ---------------------------------------------------------------- similarity


def cosine_matrix(vectors: Tensor) -> Tensor:
    """Cosines between the rows of ``(K, ...)``; 0 with a row of zeros."""
    rows = vectors.flatten(1)
    gram = rows.new_zeros(len(rows), len(rows), dtype=torch.double)
    for part in rows.split(1 << 20, dim=1):
        part = part.double()
        gram += part @ part.T
    norm = gram.diagonal().sqrt()
    norm = norm.clamp_min(torch.finfo(torch.double).tiny ** 0.5)
    return gram / norm[:, None] / norm[None, :]


class Similarity(NamedTuple):
    """How alike parallel kernels are, two ways."""

    kernels: Tensor  # (K, K), cosines of the kernels
    magnitudes: Tensor  # (K, K), cosines of the magnitudes of their spectra

    def summary(self) -> List[float]:
        """Mean and largest of either matrix off its diagonal."""
        values = []
        for matrix in self:
            K = len(matrix)
            others = matrix[~torch.eye(K, dtype=torch.bool)]
            values += [float(others.mean()), float(others.max())]
        return values


def similarity(kernels: Tensor) -> Similarity:
    """Compare parallel kernels.

    The cosine of the complex frequency responses is that of the kernels
    themselves (Parseval), whatever the plane. The cosine of the magnitudes
    forgets the phases; it is taken in FDConv's plane, where spectra of
    independent white noise reach pi / 4 = 0.785 on average and disjoint
    groups 0.

    Args:
        kernels: ``(K, O, I, kh, kw)``.
    """
    return Similarity(
        cosine_matrix(kernels), cosine_matrix(image_spectrum(kernels))
    )


class Plane(NamedTuple):
    """Filters of parallel kernels as points of a plane."""

    points: Tensor  # (n, 2)
    owner: Tensor  # (n,), the number of each one's kernel
    how: str  # what the axes are
    filters: Tensor  # (n,), the number of each one in its kernel


def principal_plane(
    kernels: Tensor, method: str = 'pca', limit: int = 1024
) -> Plane:
    """Place every filter of every parallel kernel in a plane.

    Args:
        kernels: ``(K, O, I, kh, kw)``; a filter is one of the ``O``.
        method: ``'pca'``, or ``'tsne'``, which needs scikit-learn.
        limit: Show at most so many filters, spread evenly over ``O``.
    """
    K, O = kernels.shape[:2]  # noqa: E741
    n = max(min(O, limit // K), 1)
    chosen = torch.linspace(0, O - 1, n).round().long()
    points = kernels[:, chosen].flatten(0, 1).flatten(1).double()
    points = (points - points.mean(dim=0)).cpu()
    owner = torch.arange(K).repeat_interleave(n)
    filters = chosen.repeat(K)
    if method == 'tsne':
        return Plane(_tsne(points), owner, 't-SNE', filters)
    _, scale, axes = torch.linalg.svd(points, full_matrices=False)
    share = scale.square() / scale.square().sum().clamp_min(1e-300)
    shown = float(share[:2].sum())
    plane = points @ axes[:2].T
    if plane.shape[1] < 2:
        plane = torch.nn.functional.pad(plane, (0, 1))
    how = f'PCA, {shown:.0%} of the variance'
    return Plane(plane, owner, how, filters)


def _tsne(points: Tensor) -> Tensor:
    try:
        from sklearn.manifold import TSNE
    except ImportError as error:
        raise ValueError(
            "embedding: 'tsne' needs scikit-learn; install it (pip install "
            "scikit-learn) or use 'pca'"
        ) from error
    perplexity = min(30.0, (len(points) - 1) / 3)
    fitted = TSNE(
        n_components=2, perplexity=perplexity, init='pca', random_state=0
    ).fit_transform(points.numpy())
    return torch.from_numpy(fitted)
