"""Kernels and their spectra.

A kernel ``(O, I, kh, kw)`` is laid out as the image ``(O*kh, I*kw)``; the half
plane of its real FFT is ``(O*kh, I*kw//2 + 1)`` (arXiv:2503.18783, Sec. 3.2).
"""

from typing import Tuple

import torch
from torch import Tensor

from .constant_tables import constant_table
from .exported import forward_rfft2
from .modes import is_exported, prefers_cpu_path


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
    image = weight_to_image(weight)
    if is_exported():
        return forward_rfft2(image)
    return torch.view_as_real(torch.fft.rfft2(image))


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


def inverse_rfft2(spectrum: Tensor, size: Tuple[int, int]) -> Tensor:
    r"""Real image of a half plane that no image need have had.

    Two columns of a half plane hold a frequency and its negative both: the
    first and, of an even width, the last. Where they contradict each other,
    as learned, gated or masked ones may, both count by half,
    :math:`z_k \leftarrow (z_k + \overline{z_{-k}}) / 2`. Libraries differ
    otherwise: those of CPUs do so, cuFFT takes one of the two for right.

    Args:
        spectrum: Complex, ``(..., rows, cols//2 + 1)``.
        size: ``(rows, cols)``.

    Returns:
        ``(..., rows, cols)``.
    """
    if prefers_cpu_path(spectrum):
        return torch.fft.irfft2(spectrum, s=size)
    # Along the rows first, what contradicts is the imaginary part of these
    # columns.
    spectrum = torch.view_as_real(torch.fft.ifft(spectrum, dim=-2))
    spectrum = spectrum * _parts(size[1], spectrum.device, spectrum.dtype)
    return torch.fft.irfft(torch.view_as_complex(spectrum), n=size[1], dim=-1)


@constant_table
def _parts(cols: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """1, or 0 for the imaginary part of columns that stand for two.

    Returns:
        ``(cols//2 + 1, 2)``.
    """
    columns = torch.arange(cols // 2 + 1, device=device)[:, None]
    is_real = torch.arange(2, device=device) == 0
    # Not by whether the width is even, which a compiler would guard.
    return (is_real | (columns * 2 % cols > 0)).to(dtype)


def adjoint_of_inverse_rfft2(grad: Tensor, size: Tuple[int, int]) -> Tensor:
    """Gradient of the half plane, from that of the image.

    Args:
        grad: ``(..., rows, cols)``.
        size: ``(rows, cols)``.

    Returns:
        Complex, ``(..., rows, cols//2 + 1)``.
    """
    spectrum = torch.fft.rfft2(grad, norm='forward')
    # A column that stands for two counts twice; the others come out symmetric
    # by themselves.
    spectrum[..., 1 : (size[1] + 1) // 2].mul_(2)
    return spectrum


def wide(dtype: torch.dtype) -> torch.dtype:
    """Float32 at least: the type of FFTs, gates and their products.

    ``torch.promote_types`` says the same, but the compiler of torch 2.1
    cannot look through it.
    """
    return torch.float64 if dtype == torch.float64 else torch.float32
