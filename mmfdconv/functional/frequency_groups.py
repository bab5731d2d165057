"""Disjoint groups of frequencies, and a gate for each of them.

The Fourier Disjoint Weight (FDW) of FDConv, arXiv:2503.18783, Sec. 3.2, sorts
the frequencies of a kernel's half plane by radius and cuts them into ``K``
groups.
"""

from functools import lru_cache
from typing import Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .modes import is_traced, plain_backward

__all__ = [
    'gate_groups',
    'gate_lowest_groups',
    'group_sizes',
    'radius_order',
    'spread_over_groups',
]


@lru_cache(maxsize=64)
def radius_order(rows: int, cols: int) -> Tuple[Tensor, Tensor]:
    """Sort the half-plane frequencies of a real image by their radius.

    The order among equal radii decides which group a frequency falls into,
    so a published checkpoint means the same only in the published order:
    float32 radii under ``torch.sort``, not stable, on the CPU. Hence no
    shortcut in integers here, and no stable sort. (On a CPU without AVX2
    some radii round differently, and a few frequencies at the borders of
    groups change sides, as with the published code.)

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
        grid = torch.stack(torch.meshgrid(fy, fx, indexing='ij'), dim=-1)
        order = torch.sort(grid.norm(dim=-1).flatten()).indices
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
def _group_of_frequency(
    rows: int, cols: int, num_groups: int, device: torch.device
) -> Tensor:
    """Group of every frequency of the half plane, ``(N,)``, int32."""
    with torch.inference_mode(False):  # as in radius_order
        _, rank = radius_order(rows, cols)
        groups = torch.arange(num_groups, dtype=torch.int32, device='cpu')
        groups = spread_over_groups(groups[None], rank.numel())[0]
        return groups[rank.long()].to(device)


class _GateGroups(torch.autograd.Function):
    """:func:`_gate_groups` in few passes over the spectra.

    To look the group of a frequency up in a small table is faster than to
    move all gates to their places; and pairs are multiplied as what they are
    in memory, twice as many numbers.
    """

    @staticmethod
    def forward(ctx, spectrum: Tensor, gate: Tensor, order, rank, groups):
        ctx.save_for_backward(spectrum, gate, order, rank, groups)
        gated = _spread_pairs(gate[:, 0], groups)
        gated.mul_(spectrum[0].reshape(-1, 2))
        for r in range(1, len(spectrum)):
            term = _spread_pairs(gate[:, r], groups)
            gated.addcmul_(term, spectrum[r].reshape(-1, 2))
        return gated.view(-1, *spectrum.shape[1:])

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tuple[Optional[Tensor], ...]:
        spectrum, gate, order, rank, groups = ctx.saved_tensors
        needed = ctx.needs_input_grad[:2]
        if torch.is_grad_enabled():  # gradients of gradients are wanted
            grads = plain_backward(
                lambda *inputs: _gate_groups(*inputs, order, rank),
                (spectrum, gate),
                needed,
                grad,
            )
            return (*grads, None, None, None)
        grad = grad.reshape(len(grad), -1, 2)
        grad_spectrum = grad_gate = None
        if needed[0]:
            terms = [
                _sum_samples(_spread_pairs(gate[:, r], groups).mul_(grad))
                for r in range(len(spectrum))
            ]
            grad_spectrum = terms[0] if len(terms) == 1 else torch.stack(terms)
            grad_spectrum = grad_spectrum.view(spectrum.shape)
        if needed[1]:
            of_gates = []
            for pairs in spectrum:
                term = grad * pairs.reshape(-1, 2)
                term = (term[..., 0] + term[..., 1]).index_select(1, order)
                of_gates.append(_sum_groups(term, gate.shape[2]))
            grad_gate = torch.stack(of_gates, dim=1)
        return grad_spectrum, grad_gate, None, None, None


def _spread_pairs(gate: Tensor, groups: Tensor) -> Tensor:
    """Gates ``(B, K)`` of groups, for real and imaginary parts, (B, N, 2)."""
    table = torch.complex(gate, gate)
    if table.device.type != 'cpu':
        return torch.view_as_real(table.index_select(1, groups))
    # One sample after the other: CPUs are slow where there are rows.
    pairs = table.new_empty(len(table), len(groups))
    for row, out in zip(table, pairs):
        torch.index_select(row, 0, groups, out=out)
    return torch.view_as_real(pairs)


def _sum_samples(x: Tensor) -> Tensor:
    """Sum over the first dimension, for nothing where there is one sample."""
    return x[0] if len(x) == 1 else x.sum(0)


def _sum_groups(x: Tensor, num_groups: int) -> Tensor:
    """Adjoint of :func:`spread_over_groups`, ``(B, N) -> (B, K)``."""
    size, num_large = group_sizes(x.shape[1], num_groups)
    border = num_large * (size + 1)
    large = x[:, :border].view(len(x), num_large, size + 1).sum(2)
    small = x[:, border:].view(len(x), num_groups - num_large, size).sum(2)
    return torch.cat([large, small], dim=1)


def _gate_groups(
    spectrum: Tensor, gate: Tensor, order: Tensor, rank: Tensor
) -> Tensor:
    """:func:`gate_groups` by plain operations."""
    gated = 0
    for r, pairs in enumerate(spectrum):
        per_frequency = spread_over_groups(gate[:, r], order.numel())
        per_frequency = _Permute.apply(per_frequency, rank, order)
        gated = gated + per_frequency.view(-1, *pairs.shape[:2], 1) * pairs
    return gated


def gate_groups(
    spectrum: Tensor,
    gate: Tensor,
    order: Tensor,
    rank: Tensor,
    image_size: Tuple[int, int],
) -> Tensor:
    """Weigh the groups of whole spectra, and add the spectra up.

    Args:
        spectrum: ``R`` half planes of pairs, ``(R, rows, cols//2 + 1, 2)``.
        gate: ``(B, R, K)``.
        order: From :func:`radius_order`.
        rank: From :func:`radius_order`.
        image_size: ``(rows, cols)``.

    Returns:
        ``(B, rows, cols//2 + 1, 2)``.
    """
    if is_traced() or len(gate) == 0:
        return _gate_groups(spectrum, gate, order, rank)
    groups = _group_of_frequency(*image_size, gate.shape[2], gate.device)
    gate = gate.to(spectrum.dtype)
    return _GateGroups.apply(spectrum, gate, order, rank, groups)


def gate_lowest_groups(
    spectrum: Tensor, gate: Tensor, order: Tensor, rank: Tensor
) -> Tensor:
    """:func:`gate_groups` where only the lowest frequencies are kept.

    Args:
        spectrum: The ``n`` lowest in order of rank, ``(R, n, 2)``; they alone
            are cut into groups.
        gate: ``(B, R, K)``.
        order: From :func:`radius_order`.
        rank: From :func:`radius_order`.

    Returns:
        ``(B, N, 2)``; the frequencies left out are 0.
    """
    n = spectrum.shape[1]
    gated = 0
    for r, pairs in enumerate(spectrum):
        gated = gated + spread_over_groups(gate[:, r], n)[..., None] * pairs
    gated = F.pad(gated, (0, 0, 0, order.numel() - n))
    return _Permute.apply(gated, rank, order)
