"""Frequency groups of the Fourier Disjoint Weight, arXiv:2503.18783, Sec. 3.2.

FDConv sorts the frequencies of a kernel's half plane by radius and cuts them
into ``K`` groups.
"""

from typing import Dict, Tuple
from weakref import WeakValueDictionary

import torch
import torch.nn.functional as F
from torch import Tensor

from .by_hand import permute


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
        ``rank`` (the rank of each flat frequency).
    """
    fy = torch.fft.fftfreq(rows, device='cpu', dtype=torch.float32)
    fx = torch.fft.rfftfreq(cols, device='cpu', dtype=torch.float32)
    square = (fy * fy).double()[:, None] + fx.double().square()
    radius = square.float().double().sqrt().float()
    order = torch.sort(radius.flatten()).indices
    rank = torch.empty_like(order)
    rank[order] = torch.arange(order.numel(), device='cpu')
    return order.int(), rank.int()


class FrequencyOrder:
    """What :func:`radius_order` says of one size of images, on one device.

    Made by :func:`frequency_order`.
    """

    def __init__(self, rows: int, cols: int, device: torch.device) -> None:
        self.size = rows, cols
        self.device = device
        self._groups: Dict[Tuple[int, int], Tensor] = {}
        if device.type == 'meta':
            number = rows * (cols // 2 + 1)
            self.order, self.rank = torch.empty(
                2, number, dtype=torch.int32, device=device
            )
            return
        if device.type == 'cpu':
            order, rank = radius_order(rows, cols)
        else:
            cpu = frequency_order(rows, cols, torch.device('cpu'))
            order, rank = cpu.order, cpu.rank
        self.order, self.rank = order.to(device), rank.to(device)

    def groups(self, num_groups: int, num_kept: int) -> Tensor:
        """Group of every frequency of the half plane.

        Args:
            num_groups: ``K``.
            num_kept: How many frequencies, the lowest, are cut into groups;
                those above are put into the last one.

        Returns:
            ``(rows, cols//2 + 1)``, int64. It is shared: do not write to it.
        """
        key = num_groups, num_kept
        if key not in self._groups:
            with torch.inference_mode(False):  # a model that trains may ask
                groups = torch.arange(num_groups, device=self.device)
                groups = spread_over_groups(groups[None], num_kept)[0]
                above = groups[-1:].expand(self.rank.numel() - num_kept)
                groups = torch.cat([groups, above])[self.rank.long()]
                self._groups[key] = groups.view(self.size[0], -1)
        return self._groups[key]

    def __reduce__(self):
        # A copy is the same table; a file goes to machines with other devices.
        return frequency_order, (*self.size, torch.device('cpu'))


_orders: 'WeakValueDictionary[tuple, FrequencyOrder]' = WeakValueDictionary()


def frequency_order(
    rows: int, cols: int, device: torch.device
) -> FrequencyOrder:
    """The one order that all layers of a size share on a device.

    It lives as long as one of them holds it: an order as buffers would be as
    large as every kernel, in each copy of a model and each checkpoint.
    """
    key = rows, cols, device
    found = _orders.get(key)
    if found is None:
        # A model that is built for inference may be the first to ask, and one
        # that trains the next.
        with torch.inference_mode(False):
            found = _orders[key] = FrequencyOrder(rows, cols, device)
    return found


def spread_over_groups(gate: Tensor, num_frequencies: int) -> Tensor:
    """Give every rank the gate of its group.

    Groups are as even as can be: the first ``N % K`` hold one frequency more
    than the others, as with ``torch.tensor_split``.

    Args:
        gate: One value per group, ``(B, K)``.
        num_frequencies: ``N``.

    Returns:
        ``(B, N)`` in the order of ranks.
    """
    B, K = gate.shape
    # Under a tracer (ONNX export, FLOP counters) sizes are tensors.
    size, num_large = divmod(int(num_frequencies), int(K))
    # Groups are runs of ranks, so an expand does what a gather would; its
    # backward is a plain sum.
    small = gate[:, num_large:, None].expand(-1, -1, size).flatten(1)
    if not num_large:
        return small
    large = gate[:, :num_large, None].expand(-1, -1, size + 1)
    return torch.cat([large.flatten(1), small], dim=1)


def sum_over_groups(values: Tensor, num_groups: int) -> Tensor:
    """Add up each group: the gradient of :func:`spread_over_groups`.

    Args:
        values: In the order of ranks, ``(B, N)``.
        num_groups: ``K``.

    Returns:
        ``(B, K)``.
    """
    size, num_large = divmod(values.shape[1], num_groups)
    first = num_large * (size + 1)
    small = values[:, first:].unflatten(1, (-1, size)).sum(2)
    if not num_large:
        return small
    large = values[:, :first].unflatten(1, (-1, size + 1)).sum(2)
    return torch.cat([large, small], dim=1)


def half_plane_of_lowest(lowest: Tensor, order: FrequencyOrder) -> Tensor:
    """Put the lowest frequencies in their places and 0 in all others.

    Args:
        lowest: Pairs in order of rank, ``(R, n, 2)``.
        order: Of the kernel's image.

    Returns:
        ``(R, N, 2)``.
    """
    missing = order.rank.numel() - lowest.shape[1]
    lowest = F.pad(lowest, (0, 0, 0, missing))
    return permute(lowest, order.rank, order.order)
