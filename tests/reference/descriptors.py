"""Descriptors ``(B, C, H, W) -> (B, C)`` in slow, obvious steps.

Global average pooling, and FAT of arXiv:2504.03510: adaptive pooling, a 2-D
DCT as its defining sum, and the fusions of the paper's Table 6.
"""

import math
from functools import lru_cache

import torch

DEFAULTS = dict(pool_size=16, low_freq=4, high_freq=0, fusion='net')


def average(x):
    """Mean over each plane."""
    return torch.stack(
        [torch.stack([plane.mean() for plane in sample]) for sample in x]
    )


def pooled_map(plane, size):
    """Adaptive average pooling of ``(H, W)`` to ``size x size``.

    Cell i covers the rows from floor(i * H / size) to, exclusive,
    ceil((i + 1) * H / size).
    """
    H, W = plane.shape

    def cell(i, n):
        return slice(i * n // size, -(-(i + 1) * n // size))

    rows = [
        torch.stack(
            [plane[cell(i, H), cell(j, W)].mean() for j in range(size)]
        )
        for i in range(size)
    ]
    return torch.stack(rows)


@lru_cache(maxsize=None)
def wave(size, u, v):
    """Cosines of frequency u down the rows and v along the columns."""

    def cosine(i, frequency):
        return math.cos((2 * i + 1) * frequency * math.pi / (2 * size))

    rows = [
        [cosine(i, u) * cosine(j, v) for j in range(size)] for i in range(size)
    ]
    return torch.tensor(rows, dtype=torch.float64)


def dct_coefficient(plane, u, v):
    """One coefficient of the DCT-II of a square map, the mean at (0, 0)."""
    return (plane * wave(len(plane), u, v)).mean()


def coefficients(x, pool_size, low_freq, high_freq):
    """The low corner, then the high one, row by row: ``(B, C, n)``."""
    corners = [
        (u, v)
        for frequencies in (
            range(low_freq),
            range(pool_size - high_freq, pool_size),
        )
        for u in frequencies
        for v in frequencies
    ]
    samples = []
    for sample in x:
        planes = [pooled_map(plane, pool_size) for plane in sample]
        samples.append(
            torch.stack(
                [
                    torch.stack(
                        [dct_coefficient(plane, u, v) for u, v in corners]
                    )
                    for plane in planes
                ]
            )
        )
    return torch.stack(samples)


def frequency_attention(x, state, options, prefix='descriptor'):
    """FAT; ``state`` has the fusion net below ``prefix``."""
    options = {**DEFAULTS, **options}
    fusion = options.pop('fusion')
    values = coefficients(x, **options)
    if fusion == 'add':
        return sum(values.unbind(2))
    if fusion == 'add_abs':
        return sum(abs(v) for v in values.unbind(2))
    if fusion == 'fca':
        C, n = values.shape[1:]
        columns = [values[:, c, c * n // C] for c in range(C)]
        return torch.stack(columns, dim=1)
    assert fusion == 'net'
    first = state[f'{prefix}.fusion.0.weight']
    second = state[f'{prefix}.fusion.2.weight']
    hidden = values @ first.t() + state[f'{prefix}.fusion.0.bias']
    hidden = hidden * (hidden > 0)
    logit = hidden @ second.t() + state[f'{prefix}.fusion.2.bias']
    return 1 / (1 + torch.exp(-logit[..., 0]))


def describe(x, state, descriptor='gap'):
    """What the option ``descriptor`` of the layers stands for."""
    if descriptor == 'gap':
        return average(x)
    options = {} if descriptor == 'fat' else dict(descriptor)
    assert options.pop('type', 'fat') == 'fat'
    return frequency_attention(x, state, options)
