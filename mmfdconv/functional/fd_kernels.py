r"""FDConv's kernels: the Fourier Disjoint Weight times its spatial gates.

.. math::
    W_b = \sigma(L_b) \odot \mathrm{row}_b \odot \mathrm{filter}_b \odot
    \mathcal{F}^{-1}\Big(\sum_{r,g} a_{b,r,g}\, S_r \cdot [f \in P_g]\Big)

arXiv:2503.18783: FDW, Sec. 3.2, and Kernel Spatial Modulation, Sec. 3.3.
"""

from typing import List, NamedTuple, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .exported_kernels import gated_image
from .frequency import adjoint_of_inverse_rfft2, inverse_rfft2
from .frequency_order import FrequencyOrder, spread_over_groups
from .modes import (
    compiled_for_cpu,
    is_exported,
    is_traced,
    plain_backward,
    prefers_cpu_path,
    untraced,
)
from .permute import permute

__all__ = [
    'KernelGates',
    'KernelLayout',
    'disjoint_weight',
    'fd_kernel',
    'modulate_kernel',
]


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
    if is_traced() or not prefers_cpu_path(gate) or len(gate) == 0:
        return _disjoint_weight(spectra, gate, layout)
    return _DisjointWeight.apply(spectra, gate, layout)


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
    size, tensors = image.shape, gates[1:]
    image = image.view(-1, *layout.grid)
    if is_traced() or len(image) == 0:
        kernel = _modulate(image, *tensors)
    elif torch.is_grad_enabled():
        kernel = _Modulate.apply(image, *tensors)
    else:
        kernel, _ = modulate_forward(image, *tensors)
    return kernel.view(size)


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
    gated = weights.view(B, R, rows, half, 1) * spectra
    gated = gated.squeeze(1) if R == 1 else gated.sum(1)
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


class _DisjointWeight(torch.autograd.Function):
    """A CPU's, in a third of the time.

    Gates are looked up in a small table, and no complex numbers multiplied.
    """

    @staticmethod
    def forward(
        ctx, spectra: Tensor, gate: Tensor, layout: KernelLayout
    ) -> Tensor:
        ctx.layout = layout
        ctx.save_for_backward(spectra, gate)
        return disjoint_weight_forward(spectra, gate, layout)

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tuple[Optional[Tensor], ...]:
        tensors, layout = ctx.saved_tensors, ctx.layout
        needed = ctx.needs_input_grad
        if torch.is_grad_enabled():  # gradients of gradients are wanted
            grads = plain_backward(
                lambda *tensors: _disjoint_weight(*tensors, layout),
                tensors,
                needed,
                grad,
            )
        else:
            grads = disjoint_weight_backward(grad, *tensors, layout, needed[0])
        return (*grads, None)


def disjoint_weight_forward(
    spectra: Tensor, gate: Tensor, layout: KernelLayout
) -> Tensor:
    """:func:`disjoint_weight` on a CPU."""
    groups = layout.order.groups(gate.shape[2], layout.num_kept)
    gated = None
    for pairs, own in zip(spectra, gate.unbind(1)):
        weights = _look_up(own, groups)
        if gated is None:
            gated = weights.mul_(pairs)
        else:
            gated.addcmul_(weights, pairs)
    return inverse_rfft2(torch.view_as_complex(gated), layout.order.size)


def disjoint_weight_backward(
    grad: Tensor,
    spectra: Tensor,
    gate: Tensor,
    layout: KernelLayout,
    of_both: bool,
) -> Tuple[Optional[Tensor], Tensor]:
    """Gradients of the spectra, or None, and of the gate."""
    groups = layout.order.groups(gate.shape[2], layout.num_kept)
    grad = adjoint_of_inverse_rfft2(grad, layout.order.size)
    grad = torch.view_as_real(grad)
    of_spectra: List[Tensor] = []
    of_gates: List[Tensor] = []
    for pairs, own in zip(spectra, gate.unbind(1)):
        if of_both:
            term = _look_up(own, groups).mul_(grad)
            term = term if len(term) == 1 else term.sum(0, keepdim=True)
            of_spectra.append(term)
        term = grad * pairs
        term = term[..., 0] + term[..., 1]  # (B, rows, cols//2 + 1)
        bins = term.new_zeros(*term.shape[:2], gate.shape[2])
        index = groups.expand(len(term), -1, -1)
        of_gates.append(bins.scatter_add_(2, index, term).sum(1))
    return (
        _cat(of_spectra) if of_both else None,
        torch.stack(of_gates, dim=1),
    )


def _cat(parts: List[Tensor]) -> Tensor:
    """For nothing where there is one."""
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _look_up(gate: Tensor, groups: Tensor) -> Tensor:
    """Gates of every frequency, for its real and imaginary part.

    Args:
        gate: ``(B, K)``.
        groups: ``(rows, cols//2 + 1)``.

    Returns:
        ``(B, rows, cols//2 + 1, 2)``, memory of its own.
    """
    pairs = torch.complex(gate, gate)
    if gate.is_meta:  # torch 2.1 has the loop's call wrong there
        return torch.view_as_real(pairs[:, groups])
    found = pairs.new_empty(len(gate), *groups.shape)
    # One sample after the other: CPUs are slow where there are rows.
    for one, out in zip(pairs, found.flatten(1)):
        torch.index_select(one, 0, groups.view(-1), out=out)
    return torch.view_as_real(found)


class _Modulate(torch.autograd.Function):
    """With half of what autograd keeps, which overwrites what is its own."""

    @staticmethod
    def forward(ctx, *tensors: Optional[Tensor]) -> Tensor:
        kernel, local = modulate_forward(*tensors, keep=True)
        ctx.save_for_backward(*tensors, local)
        return kernel

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tuple[Optional[Tensor], ...]:
        *tensors, local = ctx.saved_tensors
        if torch.is_grad_enabled():  # gradients of gradients are wanted
            return plain_backward(
                _modulate, tensors, ctx.needs_input_grad, grad
            )
        return modulate_backward(grad, *tensors, local)


def modulate_forward(
    image: Tensor,
    row: Optional[Tensor],
    filter: Optional[Tensor],
    neighbours: Optional[Tensor],
    taps: Optional[Tensor],
    keep: bool = False,
) -> Tuple[Tensor, Optional[Tensor]]:
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
    return kernel, local if keep else None


def modulate_backward(
    grad: Tensor,
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
        product.mul_(row)
        grad.mul_(row)
    if filter is not None:
        of_filter = product.sum((3, 4), keepdim=True)
        product.mul_(filter)
        grad.mul_(filter)
    if local is not None:
        product.addcmul_(product, local, value=-1)
        logit = product.view(len(image), len(taps), -1, image.shape[-1])
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
