"""Disjoint groups of frequencies, and a gate for each of them.

The Fourier Disjoint Weight (FDW) of FDConv, arXiv:2503.18783, Sec. 3.2, sorts
the frequencies of a kernel's half plane by radius and cuts them into ``K``
groups.
"""

from functools import lru_cache
from typing import Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = [
    'gate_groups',
    'group_sizes',
    'groups_of_frequencies',
    'half_plane_of_lowest',
    'radius_order',
    'spread_over_groups',
    'sum_groups',
]


@lru_cache(maxsize=64)
def radius_order(rows: int, cols: int) -> Tuple[Tensor, Tensor]:
    """Sort the half-plane frequencies of a real image by their radius.

    The order among equal radii decides which group a frequency falls into,
    so a published checkpoint means the same only in the published order:
    float32 radii under ``torch.sort``, not stable, on the CPU. Hence no
    shortcut in integers here, and no stable sort. Radii are rounded as a CPU
    with fused multiplication and addition rounds them, on any other too.

    Args:
        rows: Height of the image, ``O*kh``.
        cols: Width of the image, ``I*kw``.

    Returns:
        Two int32 index vectors of length ``N = rows * (cols//2 + 1)`` on the
        CPU: ``order`` (the flat frequency at each rank) and its inverse
        ``rank`` (the rank of each flat frequency). They are cached and
        shared: do not write to them.
    """
    # The cache may be filled by a model that is built for inference and read
    # by one that trains.
    with torch.inference_mode(False):
        fy = torch.fft.fftfreq(rows, device='cpu', dtype=torch.float32)
        fx = torch.fft.rfftfreq(cols, device='cpu', dtype=torch.float32)
        square = (fy * fy).double()[:, None] + fx.double().square()
        radius = square.float().double().sqrt().float()
        order = torch.sort(radius.flatten()).indices
        rank = torch.empty_like(order)
        rank[order] = torch.arange(order.numel(), device='cpu')
        return order.int(), rank.int()


def group_sizes(num_frequencies: int, num_groups: int) -> Tuple[int, int]:
    """Split ``N`` ranks into ``K`` runs as even as can be.

    The first ``N % K`` groups hold one frequency more than the others, as
    with ``torch.tensor_split``.

    Returns:
        ``(N // K, N % K)``: size of a small group, number of large groups.
    """
    # Under a tracer (ONNX export, FLOP counters) sizes are tensors.
    return divmod(int(num_frequencies), int(num_groups))


class _Permute(torch.autograd.Function):
    """Reorder columns by a permutation whose inverse is known.

    ``index_select`` alone would scatter in its backward, which is slow on a
    CPU and, on a GPU, slow and in no fixed order. Here both ways gather.
    """

    @staticmethod
    def forward(ctx, x: Tensor, index: Tensor, inverse: Tensor) -> Tensor:
        ctx.save_for_backward(index, inverse)
        return x.index_select(1, index)

    @staticmethod
    def backward(ctx, grad: Tensor):
        index, inverse = ctx.saved_tensors
        return _Permute.apply(grad, inverse, index), None, None


def spread_over_groups(gate: Tensor, num_frequencies: int) -> Tensor:
    """Give every rank the gate of its group.

    Args:
        gate: One value per group, ``(B, K)``.
        num_frequencies: ``N``.

    Returns:
        ``(B, N)`` in the order of ranks.
    """
    B, K = gate.shape
    size, num_large = group_sizes(num_frequencies, K)
    # Groups are runs of ranks, so an expand does what a gather would; its
    # backward is a plain sum.
    large = gate[:, :num_large, None].expand(-1, -1, size + 1)
    small = gate[:, num_large:, None].expand(-1, -1, size)
    return torch.cat([large.flatten(1), small.flatten(1)], dim=1)


@lru_cache(maxsize=64)
def groups_of_frequencies(
    rows: int,
    cols: int,
    num_groups: int,
    num_kept: int,
    device: torch.device,
) -> Tensor:
    """Group of every frequency of the half plane.

    Args:
        rows: Height of the image.
        cols: Width of the image.
        num_groups: ``K``.
        num_kept: How many frequencies, the lowest, are cut into groups; those
            above are put into the last one.
        device: Where to put them.

    Returns:
        ``(rows, cols//2 + 1)``, int64. It is cached and shared: do not write
        to it.
    """
    with torch.inference_mode(False):  # as in radius_order
        _, rank = radius_order(rows, cols)
        groups = torch.arange(num_groups, device='cpu')
        groups = spread_over_groups(groups[None], num_kept)[0]
        above = groups[-1:].expand(rank.numel() - num_kept)
        groups = torch.cat([groups, above])[rank.long()]
        return groups.view(rows, -1).to(device)


def sum_groups(x: Tensor, num_groups: int) -> Tensor:
    """Adjoint of :func:`spread_over_groups`, ``(B, N) -> (B, K)``."""
    size, num_large = group_sizes(x.shape[1], num_groups)
    border = num_large * (size + 1)
    large = x[:, :border].view(len(x), num_large, size + 1).sum(2)
    small = x[:, border:].view(len(x), num_groups - num_large, size).sum(2)
    return torch.cat([large, small], dim=1)


def gate_groups(
    spectrum: Tensor,
    gate: Tensor,
    order: Tensor,
    rank: Tensor,
    num_kept: int,
) -> Tensor:
    """Weigh the groups of whole spectra, and add the spectra up.

    Args:
        spectrum: ``R`` half planes of pairs, ``(R, rows, cols//2 + 1, 2)``.
        gate: ``(B, R, K)``.
        order: From :func:`radius_order`.
        rank: From :func:`radius_order`.
        num_kept: How many frequencies, the lowest, are cut into groups; those
            above become 0.

    Returns:
        ``(B, rows, cols//2 + 1, 2)``.
    """
    gated = 0
    for r, pairs in enumerate(spectrum):
        per_frequency = spread_over_groups(gate[:, r], num_kept)
        per_frequency = F.pad(per_frequency, (0, order.numel() - num_kept))
        per_frequency = _Permute.apply(per_frequency, rank, order)
        gated = gated + per_frequency.view(-1, *pairs.shape[:2], 1) * pairs
    return gated


def half_plane_of_lowest(
    lowest: Tensor, order: Tensor, rank: Tensor
) -> Tensor:
    """Put the lowest frequencies in their places and 0 in all others.

    Args:
        lowest: Pairs in order of rank, ``(R, n, 2)``.
        order: From :func:`radius_order`, ``(N,)``.
        rank: From :func:`radius_order`.

    Returns:
        ``(R, N, 2)``.
    """
    missing = order.numel() - lowest.shape[1]
    return _Permute.apply(F.pad(lowest, (0, 0, 0, missing)), rank, order)
