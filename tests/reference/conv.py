"""Convolution with one kernel per sample, position by position."""

import torch


def source_index(i, n, mode):
    """Where padded position ``i`` (0 = first real one) reads; None = 0."""
    if 0 <= i < n:
        return i
    if mode == 'zeros':
        return None
    if mode == 'replicate':
        return min(max(i, 0), n - 1)
    if mode == 'circular':
        return i % n
    assert mode == 'reflect'
    return -i if i < 0 else 2 * (n - 1) - i


def pad(x, before, after, mode):
    """Pad the last two dimensions, row by row and column by column."""
    for dim, (first, last) in zip((-2, -1), zip(before, after)):
        n = x.shape[dim]
        lines = []
        for i in range(-first, n + last):
            source = source_index(i, n, mode)
            line = x.select(dim, source or 0)
            lines.append(line * 0 if source is None else line)
        x = torch.stack(lines, dim)
    return x


def sample_conv(
    x,
    weight,
    stride=(1, 1),
    padding=(0, 0),
    dilation=(1, 1),
    groups=1,
    padding_mode='zeros',
):
    """Convolve sample b with ``weight[b]``, kernel position by position."""
    B, O, I, kh, kw = weight.shape  # noqa: E741
    if padding == 'same':
        total = [d * (k - 1) for d, k in zip(dilation, (kh, kw))]
        before = [t // 2 for t in total]
        after = [t - t // 2 for t in total]
    else:
        before = after = (0, 0) if padding == 'valid' else padding
    x = pad(x, before, after, padding_mode)
    rows = (x.shape[-2] - dilation[0] * (kh - 1) - 1) // stride[0] + 1
    cols = (x.shape[-1] - dilation[1] * (kw - 1) - 1) // stride[1] + 1
    samples = []
    for b in range(B):
        maps = []
        for o in range(O):
            first = o // (O // groups) * I
            mine = x[b, first : first + I]
            y = 0
            for ky in range(kh):
                for kx in range(kw):
                    seen = mine[:, ky * dilation[0] :, kx * dilation[1] :]
                    seen = seen[:, :: stride[0], :: stride[1]]
                    seen = seen[:, :rows, :cols]
                    factor = weight[b, o, :, ky, kx].reshape(I, 1, 1)
                    y = y + (factor * seen).sum(0)
            maps.append(y)
        samples.append(torch.stack(maps))
    return torch.stack(samples)
