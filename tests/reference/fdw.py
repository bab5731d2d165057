"""Fourier Disjoint Weight (FDW) of FDConv, arXiv:2503.18783, Sec. 3.2."""

from functools import lru_cache

import torch

from .fourier import frequencies, half_frequencies, image_of, spectrum_of


@lru_cache(maxsize=None)
def sorted_frequencies(rows, cols):
    """Flat positions in the half plane, by growing radius.

    The published order is that of ``torch.sort`` on float32 radii, as torch
    rounds them and as its default (not stable) sort leaves ties. Checkpoints
    depend on it, so this is the one place where the reference cannot do
    without an operator of torch.
    """
    points = [
        [float(fy), float(fx)]
        for fy in frequencies(rows)
        for fx in half_frequencies(cols)
    ]
    radii = torch.tensor(points, dtype=torch.float32).norm(dim=-1)
    return torch.sort(radii).indices.tolist()


def frequency_groups(order, num_groups):
    """Cut the sorted frequencies; the first N % K groups hold one more."""
    groups, start = [], 0
    for g in range(num_groups):
        size = len(order) // num_groups
        if g < len(order) % num_groups:
            size += 1
        groups.append(order[start : start + size])
        start += size
    assert start == len(order)
    return groups


def weight_image(weight):
    """Kernel ``(O, C/G, kh, kw)`` as an image ``(O*kh, C/G*kw)``."""
    out, inner, kh, kw = weight.shape
    image = weight.new_empty(out * kh, inner * kw)
    for o in range(out):
        for i in range(inner):
            for ky in range(kh):
                for kx in range(kw):
                    image[o * kh + ky, i * kw + kx] = weight[o, i, ky, kx]
    return image


def image_weight(image, kernel_size):
    """Image ``(O*kh, C/G*kw)`` as a kernel ``(O, C/G, kh, kw)``."""
    kh, kw = kernel_size
    out, inner = image.shape[0] // kh, image.shape[1] // kw
    rows = []
    for o in range(out):
        for i in range(inner):
            tile = image[o * kh : (o + 1) * kh, i * kw : (i + 1) * kw]
            rows.append(tile.reshape(-1))
    return torch.stack(rows).reshape(out, inner, kh, kw)


def stored_spectra(state, options):
    """The parameter in the published layout, computed when it is not there.

    With ``convert_param=False`` the state holds the kernel and each of the R
    spectra is the kernel's, in the unit of storage.
    """
    if 'dft_weight' in state:
        return state['dft_weight']
    inner = options['in_channels'] // options['groups']
    shape = (options['out_channels'], inner, *options['kernel_size'])
    image = weight_image(state['weight'].reshape(shape))
    spectrum = spectrum_of(image)
    pairs = torch.stack([spectrum.real, spectrum.imag], dim=-1)
    if options['param_reduction'] < 1:
        order = sorted_frequencies(*image.shape)
        kept = order[: int(len(order) * options['param_reduction'])]
        # Nothing is multiplied back on the way to the kernel, except for
        # the R * K groups' gates, each about 1 / (R K).
        number = options['param_ratio'] * options['kernel_num']
        pairs = pairs.reshape(-1, 2)[kept] * number
    else:
        pairs = pairs / unit(options)
    return torch.stack([pairs] * options['param_ratio'])


def unit(options):
    """The spectrum is stored divided by half the smaller width.

    That is as published; of grouped layers, which are not, by so much less
    as their kernels have fewer values.
    """
    half = max(min(options['in_channels'], options['out_channels']) // 2, 1)
    return half / options['groups'] ** 0.5


def disjoint_weight(dft_weight, gates, options):
    """Kernel of one sample: the gated frequency groups, back in space.

    Args:
        dft_weight: ``(R, O*kh, cols//2 + 1, 2)``; or ``(R, N', 2)``, the N'
            lowest frequencies in sorted order, which is what
            ``param_reduction < 1`` keeps.
        gates: ``(R, K)``.
        options: Result of :func:`full_options`.
    """
    num_spectra, num_groups = gates.shape
    kh, kw = options['kernel_size']
    rows = options['out_channels'] * kh
    cols = options['in_channels'] // options['groups'] * kw
    half = cols // 2 + 1
    order = sorted_frequencies(rows, cols)
    scale = unit(options) * num_groups * num_spectra
    values = dft_weight.flatten(1, -2)  # (R, N, 2)
    if dft_weight.dim() == 3:
        order = order[: dft_weight.shape[1]]
        scale = 1  # the published code multiplies nothing back here
        full = values.new_zeros(num_spectra, rows * half, 2)
        values = full.index_copy(1, torch.tensor(order), values)
    spectra = torch.complex(values[..., 0], values[..., 1])
    total = 0
    for r in range(num_spectra):
        for g, members in enumerate(frequency_groups(order, num_groups)):
            here = torch.zeros(rows * half, dtype=torch.complex128)
            here[members] = 1
            part = image_of((spectra[r] * here).reshape(rows, half), cols)
            total = total + gates[r, g] * part
    return image_weight(scale * total, options['kernel_size'])
