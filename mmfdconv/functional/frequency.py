"""Frequencies of kernels and of feature maps.

Kernels: the Fourier Disjoint Weight (FDW) of FDConv, arXiv:2503.18783,
Sec. 3.2. A kernel ``(O, I, kh, kw)`` is laid out as the image
``(O*kh, I*kw)``; the half plane of its real FFT, ``(O*kh, I*kw//2 + 1)``, is
sorted by radius and cut into ``K`` disjoint groups.

Feature maps: the octave bands of Frequency Band Modulation (FBM), Sec. 3.4.
"""

from typing import List, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .frequency_groups import gate_groups, half_plane_of_lowest

__all__ = [
    'MASK_RULES',
    'frequency_bands',
    'fourier_disjoint_weight',
    'image_to_weight',
    'inverse_rfft2',
    'kernel_to_spectrum',
    'low_pass_mask',
    'spectrum_to_kernel',
    'symmetric_columns',
    'weight_to_image',
]

#: ``'exact'``: the paper's definition, at the size of the feature map.
#: ``'nearest64'``: the published code's masks, made at 64x64 and resized.
MASK_RULES = ('exact', 'nearest64')


# --------------------------------------------------------------- kernels


def weight_to_image(weight: Tensor) -> Tensor:
    """Lay a kernel out as an image, ``(O, I, kh, kw) -> (O*kh, I*kw)``."""
    O, I, kh, kw = weight.shape  # noqa: E741
    return weight.permute(0, 2, 1, 3).reshape(O * kh, I * kw)


def image_to_weight(image: Tensor, kernel_size: Tuple[int, int]) -> Tensor:
    """Undo :func:`weight_to_image` for a batch of images.

    Args:
        image: ``(B, O*kh, I*kw)``.
        kernel_size: ``(kh, kw)``.

    Returns:
        ``(B, O, I, kh, kw)``, a strided view of ``image``.
    """
    B, rows, cols = image.shape
    kh, kw = kernel_size
    image = image.view(B, rows // kh, kh, cols // kw, kw)
    return image.permute(0, 1, 3, 2, 4)  # (B, O, kh, I, kw) -> (B, O, I, ...)


def kernel_to_spectrum(weight: Tensor) -> Tensor:
    """Half plane of a kernel's real FFT.

    Args:
        weight: ``(O, I, kh, kw)``, float32 or float64.

    Returns:
        (real, imaginary) pairs, ``(O*kh, I*kw//2 + 1, 2)``.
    """
    return torch.view_as_real(torch.fft.rfft2(weight_to_image(weight)))


def spectrum_to_kernel(
    spectrum: Tensor,
    image_size: Tuple[int, int],
    kernel_size: Tuple[int, int],
) -> Tensor:
    """Undo :func:`kernel_to_spectrum`.

    Args:
        spectrum: ``(O*kh, I*kw//2 + 1, 2)``.
        image_size: ``(O*kh, I*kw)``; the width cannot be told from the half
            plane.
        kernel_size: ``(kh, kw)``.

    Returns:
        ``(O, I, kh, kw)``.
    """
    pairs = torch.view_as_complex(spectrum.contiguous())
    image = inverse_rfft2(pairs, image_size)
    return image_to_weight(image[None], kernel_size)[0]


def fourier_disjoint_weight(
    spectrum: Tensor,
    gate: Tensor,
    order: Tensor,
    rank: Tensor,
    image_size: Tuple[int, int],
    num_kept: Optional[int] = None,
) -> Tensor:
    r"""Weigh the disjoint frequency groups and go back to space.

    .. math:: W_b = \sum_g a_{b,g} \mathcal{F}^{-1}(S \cdot [f \in P_g])

    (arXiv:2503.18783, Sec. 3.2.) The groups are disjoint, so one inverse FFT
    serves all of them. Several spectra, each with gates of its own, add up.

    Args:
        spectrum: ``R`` spectra as (real, imaginary) pairs, float32 or
            float64: the half planes ``(R, rows, cols//2 + 1, 2)``, or only
            their ``n`` lowest frequencies in order of rank, ``(R, n, 2)``.
        gate: ``(B, R, K)``.
        order: From :func:`radius_order`.
        rank: From :func:`radius_order`.
        image_size: ``(rows, cols) = (O*kh, I*kw)``; ``cols`` may be odd.
        num_kept: How many frequencies of a half plane, the lowest, are cut
            into groups, those above being 0. Defaults to all.

    Returns:
        Kernels laid out as images, ``(B, rows, cols)``.
    """
    B = gate.shape[0]
    rows, cols = image_size
    if spectrum.dim() == 3:
        num_kept = spectrum.shape[1]
        spectrum = half_plane_of_lowest(spectrum, order, rank)
    spectrum = spectrum.view(-1, rows, cols // 2 + 1, 2)
    gated = gate_groups(spectrum, gate, order, rank, num_kept or order.numel())
    if B == 0:
        # FFT libraries refuse an empty batch; stay in the graph without one.
        return gated.new_zeros(0, rows, cols) + gated.sum()
    return inverse_rfft2(torch.view_as_complex(gated), image_size)


def inverse_rfft2(spectrum: Tensor, size: Tuple[int, int]) -> Tensor:
    """Real image of a half plane that no image need have had.

    Two columns of a half plane hold a frequency and its negative both: the
    first and, of an even width, the last. Where they contradict each other,
    as learned, gated or masked ones may, the image is that of
    :func:`symmetric_columns`. Libraries differ otherwise: those of CPUs
    ignore what contradicts, cuFFT takes one of the two for right.

    Args:
        spectrum: Complex, ``(..., rows, cols//2 + 1)``.
        size: ``(rows, cols)``.

    Returns:
        ``(..., rows, cols)``.
    """
    if not _ignores_contradictions(spectrum.device):
        spectrum = symmetric_columns(spectrum, size[1])
    return torch.fft.irfft2(spectrum, s=size)


def _ignores_contradictions(device: torch.device) -> bool:
    return device.type == 'cpu'


def symmetric_columns(spectrum: Tensor, cols: int) -> Tensor:
    r"""Make the first and the Nyquist column those of a real image.

    .. math:: z_k \leftarrow (z_k + \overline{z_{-k}}) / 2

    Args:
        spectrum: Complex, ``(..., rows, cols//2 + 1)``.
        cols: Width of the image; an odd one has no Nyquist column.

    Returns:
        Like ``spectrum``.
    """
    inner = (cols + 1) // 2  # columns that stand for one frequency each
    columns = spectrum[..., :1], spectrum[..., inner:]
    first, nyquist = ((z + z.flip(-2).roll(1, -2).conj()) / 2 for z in columns)
    return torch.cat([first, spectrum[..., 1:inner], nyquist], dim=-1)


# ----------------------------------------------------------- feature maps


def low_pass_mask(
    size: Tuple[int, int],
    divisor: int,
    rule: str = 'exact',
    device: torch.device = None,
) -> Tensor:
    r"""Ideal low-pass :math:`\max(|f_y|, |f_x|) < 1 / (2 k)`.

    Args:
        size: ``(H, W)`` of the feature map.
        divisor: ``k``, the factor below the Nyquist frequency.
        rule: One of :data:`MASK_RULES`.
        device: Where to put the mask.

    Returns:
        Boolean half-plane mask ``(H, W//2 + 1)``.
    """
    H, W = size
    rows, cols = (H, W) if rule == 'exact' else (64, 64)
    # float32 for every input: the bound of the published code, 0.5/k + 1e-8,
    # is a float32 number there, and which frequencies lie on it depends on
    # its rounding.
    bound = 0.5 / divisor + 1e-8
    keep_y = _frequencies(rows, rows, device) < bound
    keep_x = _frequencies(cols, cols // 2 + 1, device) < bound
    if rule == 'nearest64':
        # max() < bound is a box, so each axis is resized on its own.
        keep_y = _resize_nearest(keep_y, H)
        keep_x = _resize_nearest(keep_x, W // 2 + 1)
    return keep_y[:, None] & keep_x


def _frequencies(
    length: int, number: int, device: Optional[torch.device]
) -> Tensor:
    """Magnitudes of the first of ``torch.fft.fftfreq(length)``.

    The same numbers; but that function makes a compiler take the length for
    a constant, and compile anew for every other.
    """
    steps = torch.arange(number, device=device, dtype=torch.float32)
    return torch.minimum(steps, length - steps) * (1 / length)


def _resize_nearest(mask: Tensor, length: int) -> Tensor:
    resized = F.interpolate(mask.float()[None, None], length, mode='nearest')
    return resized[0, 0].bool()


def frequency_bands(
    x: Tensor, k_list: List[int], rule: str = 'exact'
) -> List[Tensor]:
    """Split a feature map into bands that add up to it again.

    Args:
        x: ``(B, C, H, W)``, float32 or float64.
        k_list: Divisors of the Nyquist frequency, growing, e.g. ``[2, 4, 8]``
            for octaves (arXiv:2503.18783, Sec. 3.4).
        rule: One of :data:`MASK_RULES`.

    Returns:
        ``len(k_list) + 1`` maps like ``x``, highest frequencies first.
    """
    if x.shape[0] == 0:  # FFT libraries refuse an empty batch
        return [x] * (len(k_list) + 1)
    size = x.shape[-2:]
    spectrum = torch.fft.rfft2(x)
    bands, rest = [], x
    for k in k_list:
        mask = low_pass_mask(size, k, rule, x.device)
        low = inverse_rfft2(spectrum * mask, size)
        bands.append(rest - low)
        rest = low
    return [*bands, rest]
