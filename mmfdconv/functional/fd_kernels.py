r"""FDConv's kernels: the Fourier Disjoint Weight times its spatial gates.

.. math::
    W_b = \sigma(L_b) \odot \mathrm{row}_b \odot \mathrm{filter}_b \odot
    \mathcal{F}^{-1}\Big(\sum_{r,g} a_{b,r,g}\, S_r \cdot [f \in P_g]\Big)

arXiv:2503.18783: FDW, Sec. 3.2, and Kernel Spatial Modulation, Sec. 3.3.
"""

from functools import partial
from typing import List, NamedTuple, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .by_hand import by_hand, permute
from .exported import gated_image
from .frequency import adjoint_of_inverse_rfft2, inverse_rfft2
from .frequency_order import (
    FrequencyOrder,
    spread_over_groups,
    sum_over_groups,
)
from .modes import (
    compiled_for_cpu,
    is_exported,
    prefers_cpu_path,
    untraced,
)


class KernelLayout(NamedTuple):
    """How kernels lie in images ``(rows, cols) = (O*kh, C/G*kw)``."""

    shape: Tuple[int, int, int, int]  # (O, C/G, kh, kw)
    groups: int  # G, of channels
    order: FrequencyOrder  # of the images' frequencies
    #: How many frequencies, the lowest, are cut into groups; in those above
    #: spectra are 0.
    num_kept: int

    @property
    def grid(self) -> Tuple[int, int, int, int]:
        """An image's ``(G, O/G, kh, C/G*kw)``."""
        O, I, kh, kw = self.shape  # noqa: E741
        return self.groups, O // self.groups, kh, I * kw


class KernelGates(NamedTuple):
    """What kernels are multiplied with; None where there is no such gate."""

    #: Of the frequency groups, ``a``, ``(B, R, K)``.
    group: Optional[Tensor]
    #: Of input channels and of positions, as rows of the kernel,
    #: ``(B, G or 1, 1, kh or 1, cols)``.
    row: Optional[Tensor]
    #: Of output channels, ``(B, G, O/G, 1, 1)``.
    filter: Optional[Tensor]
    #: Of every element, ``L = taps @ neighbours``: ``(B, G, depth, cols)``,
    neighbours: Optional[Tensor]
    #: and ``(G, O/G*kh, depth)``, which the samples share.
    taps: Optional[Tensor]


def fd_kernel(
    spectra: Tensor, gates: KernelGates, layout: KernelLayout
) -> Tensor:
    """The kernel of every sample.

    Args:
        spectra: ``S``, half planes of (real, imaginary) pairs, float32 or
            float64, ``(R, rows, cols//2 + 1, 2)``.
        gates: In the same dtype.
        layout: Of the kernels.

    Returns:
        ``W`` as images, ``(B, rows, cols)``.
    """
    if compiled_for_cpu(spectra) and len(gates.group):
        sizes = list(layout.shape), layout.groups, layout.num_kept
        return torch.ops.mmfdconv.fd_kernel(spectra, *gates, *sizes)[0]
    image = disjoint_weight(spectra, gates.group, layout)
    return modulate_kernel(image, gates, layout)


def disjoint_weight(
    spectra: Tensor, gate: Tensor, layout: KernelLayout
) -> Tensor:
    r"""Weigh the disjoint frequency groups and go back to space.

    .. math::
        \mathcal{F}^{-1}\Big(\sum_{r,g} a_{b,r,g}\, S_r \cdot [f \in P_g]\Big)

    The groups are disjoint, so one inverse FFT serves all of them. Several
    spectra, each with gates of its own, add up.

    Args:
        spectra: As for :func:`fd_kernel`.
        gate: ``(B, R, K)``.
        layout: Of the kernels.

    Returns:
        Images ``(B, rows, cols)``.
    """
    return by_hand(
        partial(_disjoint_weight, layout=layout),
        partial(disjoint_weight_forward, layout=layout),
        partial(disjoint_weight_backward, layout=layout),
        spectra,
        gate,
    )


def modulate_kernel(
    image: Tensor, gates: KernelGates, layout: KernelLayout
) -> Tensor:
    """Multiply kernels with their spatial gates.

    Args:
        image: From :func:`disjoint_weight`.
        gates: All but ``group`` count.
        layout: Of the kernels.

    Returns:
        Images ``(B, rows, cols)``.
    """
    grid = image.view(-1, *layout.grid)
    kernel = by_hand(
        _modulate, modulate_forward, modulate_backward, grid, *gates[1:]
    )
    return kernel.view(image.shape)


# ------------------------------------------------------ in plain operations


def _disjoint_weight(
    spectra: Tensor, gate: Tensor, layout: KernelLayout
) -> Tensor:
    """:func:`disjoint_weight` as the equation stands."""
    order, num_kept = layout.order, layout.num_kept
    if is_exported():
        with untraced():
            groups = order.groups(gate.shape[2], num_kept)
        return gated_image(spectra, gate, groups, order.size)
    B, R, _ = gate.shape
    _, rows, half, _ = spectra.shape
    # The gates in order of rank, then where the frequencies are.
    weights = spread_over_groups(gate.flatten(0, 1), num_kept)
    if num_kept < rows * half:
        weights = F.pad(weights, (0, rows * half - num_kept))
    weights = permute(weights, order.rank, order.order)
    gated = (weights.view(B, R, rows, half, 1) * spectra).sum(1)
    if B == 0:
        # FFT libraries refuse an empty batch; stay in the graph without one.
        return gated.new_zeros(0, *order.size) + gated.sum()
    return inverse_rfft2(torch.view_as_complex(gated), order.size)


def _modulate(
    image: Tensor,
    row: Optional[Tensor],
    filter: Optional[Tensor],
    neighbours: Optional[Tensor],
    taps: Optional[Tensor],
) -> Tensor:
    """:func:`modulate_kernel` as the equation stands."""
    if taps is not None:
        image = image * (taps @ neighbours).sigmoid().view(image.shape)
    for gate in (row, filter):
        if gate is not None:
            image = image * gate
    return image


# ----------------------------------------------------------- passes by hand


def disjoint_weight_forward(
    spectra: Tensor, gate: Tensor, layout: KernelLayout, keep: bool = False
) -> Tuple[Tensor, Sequence[Tensor]]:
    """:func:`disjoint_weight`, with gates that are looked up in a table."""
    groups = layout.order.groups(gate.shape[2], layout.num_kept)
    gated = None
    for pairs, own in zip(spectra, gate.unbind(1)):
        term = _gated(pairs, own, groups)
        gated = term if gated is None else gated.add_(term)
    gated = torch.view_as_complex(gated)
    return inverse_rfft2(gated, layout.order.size), ()


def disjoint_weight_backward(
    grad: Tensor,
    needed: Sequence[bool],
    spectra: Tensor,
    gate: Tensor,
    layout: KernelLayout,
) -> Tuple[Optional[Tensor], Tensor]:
    """Gradients of the spectra, or None, and of the gate."""
    groups = layout.order.groups(gate.shape[2], layout.num_kept)
    grad = adjoint_of_inverse_rfft2(grad, layout.order.size)
    grad = torch.view_as_real(grad)
    of_spectra: List[Tensor] = []
    of_gates: List[Tensor] = []
    for pairs, own in zip(spectra, gate.unbind(1)):
        if needed[0]:
            term = _gated(grad, own, groups)
            term = term if len(term) == 1 else term.sum(0, keepdim=True)
            of_spectra.append(term)
        term = grad * pairs
        term = term[..., 0] + term[..., 1]  # (B, rows, cols//2 + 1)
        of_gates.append(_sum_groups(term, groups, own.shape[1], layout))
    return (
        join(of_spectra) if needed[0] else None,
        join([own[:, None] for own in of_gates], dim=1),
    )


def join(parts: Sequence[Optional[Tensor]], dim: int = 0) -> Optional[Tensor]:
    """Concatenate, for nothing where there is one; or all are None."""
    if len(parts) == 1 or parts[0] is None:
        return parts[0]
    return torch.cat(parts, dim)


def _gated(pairs: Tensor, gate: Tensor, groups: Tensor) -> Tensor:
    """Multiply frequencies with the gates of their groups.

    Args:
        pairs: ``(B or none, rows, cols//2 + 1, 2)``.
        gate: ``(B, K)``.
        groups: ``(rows, cols//2 + 1)``.

    Returns:
        ``(B, rows, cols//2 + 1, 2)``.
    """
    places = groups.view(-1)
    if gate.is_meta or not prefers_cpu_path(gate):
        # On meta, too: torch 2.1 has the loop's call wrong there.
        found = gate.index_select(1, places)
        return found.view(-1, *groups.shape, 1) * pairs
    # For both parts at once, and one sample after the other: CPUs are slow
    # where there are rows.
    twice = torch.complex(gate, gate)
    found = twice.new_empty(len(gate), *groups.shape)
    for one, out in zip(twice, found.flatten(1)):
        torch.index_select(one, 0, places, out=out)
    return torch.view_as_real(found).mul_(pairs)


def _sum_groups(
    values: Tensor, groups: Tensor, num_groups: int, layout: KernelLayout
) -> Tensor:
    """Sums over the groups, ``(B, rows, cols//2 + 1) -> (B, K)``."""
    if prefers_cpu_path(values):
        bins = values.new_zeros(*values.shape[:2], num_groups)
        groups = groups.expand(len(values), -1, -1)
        return bins.scatter_add_(2, groups, values).sum(1)
    # In a fixed order, which accelerators do not scatter in.
    ranked = values.flatten(1).index_select(1, layout.order.order)
    return sum_over_groups(ranked[:, : layout.num_kept], num_groups)


def modulate_forward(
    image: Tensor,
    row: Optional[Tensor],
    filter: Optional[Tensor],
    neighbours: Optional[Tensor],
    taps: Optional[Tensor],
    keep: bool = False,
) -> Tuple[Tensor, Sequence[Optional[Tensor]]]:
    """:func:`_modulate`, and the local gates if they are to be kept."""
    local = None
    if taps is not None:
        local = _local_gates(neighbours, taps).view(image.shape)
        kernel = local * image if keep else local.mul_(image)
    else:
        kernel = image.clone()
    for gate in (row, filter):
        if gate is not None:
            kernel.mul_(gate)
    return kernel, (local,) if keep else ()


def modulate_backward(
    grad: Tensor,
    needed: Sequence[bool],
    image: Tensor,
    row: Optional[Tensor],
    filter: Optional[Tensor],
    neighbours: Optional[Tensor],
    taps: Optional[Tensor],
    local: Optional[Tensor] = None,
) -> Tuple[Optional[Tensor], ...]:
    """Gradients of ``image`` to ``taps``; made anew is what was not kept.

    W = l r f I for the gates l, r, f, and D = dW: dr = sum D l f I,
    df = sum D l r I, dL = D l r f I (1 - l), dI = D l r f.
    """
    if taps is not None and local is None:
        local = _local_gates(neighbours, taps).view(image.shape)
    grad = grad.clone() if local is None else grad * local
    product = grad * image
    of_row = of_filter = of_neighbours = of_taps = None
    if row is not None:
        of_row = _sum_filters(product, filter).sum_to_size(row.shape)
        grad.mul_(row)
    if filter is not None:
        of_filter = _sum_rows(product, row)
        grad.mul_(filter)
    if local is not None:
        logit = torch.mul(grad, image, out=product)
        logit.addcmul_(logit, local, value=-1)
        logit = logit.view(len(image), len(taps), -1, image.shape[-1])
        of_neighbours = taps.mT @ logit
        # In this order CPUs need half the time for few columns.
        of_taps = (neighbours @ logit.mT).sum(0).mT
    return grad, of_row, of_filter, of_neighbours, of_taps


def _local_gates(neighbours: Tensor, taps: Tensor) -> Tensor:
    return torch.matmul(taps, neighbours).sigmoid_()


def _sum_filters(x: Tensor, weights: Optional[Tensor]) -> Tensor:
    """Add up what the filters of a group have, ``(B, G, 1, kh, cols)``."""
    if weights is None:
        return x.sum(2, keepdim=True)
    weights = weights.flatten(2)[:, :, None]  # (B, G, 1, O/G)
    return (weights @ x.flatten(3)).unflatten(3, x.shape[3:])


def _sum_rows(x: Tensor, weights: Optional[Tensor]) -> Tensor:
    """Add up what a filter has, ``(B, G, O/G, 1, 1)``."""
    if weights is None:
        return x.sum((3, 4), keepdim=True)
    weights = weights.expand(-1, x.shape[1], 1, *x.shape[3:]).flatten(3)
    return (x.flatten(3) @ weights.mT)[..., None]
