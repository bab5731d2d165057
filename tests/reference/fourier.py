"""Fourier transforms of real images as sums, and frequency grids."""

import math
from functools import lru_cache

import numpy as np
import torch


@lru_cache(maxsize=None)
def fourier_matrix(n, sign):
    """``exp(sign * 2 pi i j k / n)`` as an n x n table."""
    turns = [math.tau * m / n for m in range(n)]
    roots = [complex(math.cos(t), sign * math.sin(t)) for t in turns]
    rows = [[roots[j * k % n] for k in range(n)] for j in range(n)]
    return torch.tensor(rows, dtype=torch.complex128)


def spectrum_of(image):
    """The half plane ``(..., M, N//2 + 1)`` of a real ``(..., M, N)``."""
    rows, cols = image.shape[-2:]
    along_cols = fourier_matrix(cols, -1)[:, : cols // 2 + 1]
    return fourier_matrix(rows, -1) @ image.to(torch.complex128) @ along_cols


def image_of(spectrum, cols):
    """The real image that a half plane ``(..., M, N//2 + 1)`` describes.

    Each column stands for itself and for its mirror image, so it counts
    twice; but not the first one, nor the last one when N is even.
    """
    rows, half = spectrum.shape[-2:]
    count = torch.full((half,), 2.0, dtype=torch.float64)
    count[0] = 1
    if cols % 2 == 0:
        count[-1] = 1
    along_cols = fourier_matrix(cols, +1)[:half]
    image = fourier_matrix(rows, +1) @ (spectrum * count) @ along_cols
    return image.real / (rows * cols)


def frequencies(n):
    """Signed frequencies of n samples in FFT order, in float32.

    The integer is multiplied by a rounded 1/n, as in the published code: the
    order of nearly equal radii depends on that rounding.
    """
    step = np.float32(1.0 / n)
    signed = [i if i < (n + 1) // 2 else i - n for i in range(n)]
    return [np.float32(i) * step for i in signed]


def half_frequencies(n):
    """The non-negative frequencies 0 ... 1/2 of n samples, in float32."""
    step = np.float32(1.0 / n)
    return [np.float32(i) * step for i in range(n // 2 + 1)]
