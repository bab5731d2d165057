"""KernelWarehouse in slow loops, float64 (arXiv:2406.07879, Eq. (2)-(4)).

Nothing here is imported from the package.
"""

import torch


def contrasting_attention(logits, assigned, temperature):
    """One mixture: logits of all cells and of the empty one -> weights."""
    total = sum(abs(float(v)) for v in logits) + 1e-3
    out = []
    for j, value in enumerate(logits):
        beta = 1.0 if j == assigned else 0.0
        out.append((1 - temperature) * value / total + temperature * beta)
    return torch.stack(out)[:-1]  # the empty cell adds nothing


def assemble(attention, cells, kernel_shape):
    """Put one sample's mixtures together.

    Args:
        attention: ``(mixtures, cells)``; mixtures run over positions, then
            output, then input channels.
        cells: ``(cells, co, ci, 1, 1)`` or with the kernel's own size.
        kernel_shape: ``(O, I, kh, kw)``.
    """
    O, I, kh, kw = kernel_shape  # noqa: E741
    _, co, ci, ch, cw = cells.shape
    kernel = torch.zeros(kernel_shape, dtype=cells.dtype)
    mixture = 0
    for y in range(kh // ch):
        for x in range(kw // cw):
            for o in range(O // co):
                for i in range(I // ci):
                    piece = torch.zeros(cells.shape[1:], dtype=cells.dtype)
                    for j in range(len(cells)):
                        piece = piece + attention[mixture, j] * cells[j]
                    kernel[
                        o * co : (o + 1) * co,
                        i * ci : (i + 1) * ci,
                        y * ch : (y + 1) * ch,
                        x * cw : (x + 1) * cw,
                    ] = piece
                    mixture += 1
    return kernel
