"""FDConv's two equations as operators of PyTorch's registry.

So a compiled model has a CPU's passes by hand, as an eager one has: a compiler
does not look into an operator, whatever the size of its images, and keeps what
its backward pass is registered to keep. The equations stand in
:mod:`.fd_kernels` and :mod:`.bands`, which call these while a model is
compiled for a CPU.
"""

from typing import List, Optional, Sequence, Tuple

import torch
from torch import Tensor

from .bands import bands_backward, bands_forward
from .fd_kernels import (
    KernelLayout,
    disjoint_weight_backward,
    disjoint_weight_forward,
    join,
    modulate_backward,
    modulate_forward,
)
from .frequency_order import frequency_order
from .low_pass import low_pass_coefficients, low_passes_by_products
from .recomputing import batch_parts


def register_operators() -> None:
    """Register ``torch.ops.mmfdconv``, where torch can (2.4 and later)."""
    if not hasattr(torch.library, 'custom_op'):
        return
    for function, fake in (
        (fd_kernel, _fake_kernel),
        (fd_kernel_backward, _fake_kernel_backward),
        (modulate_bands, _fake_bands),
        (modulate_bands_backward, _fake_bands_backward),
    ):
        name = f'mmfdconv::{function.__name__}'
        torch.library.custom_op(name, function, mutates_args=())
        torch.library.register_fake(name, fake)
    for name, backward, keep in (
        ('fd_kernel', _backward_of_kernel, _keep_for_kernel),
        ('modulate_bands', _backward_of_bands, _keep_for_bands),
    ):
        torch.library.register_autograd(
            f'mmfdconv::{name}', backward, setup_context=keep
        )


# -------------------------------------------------------------------- kernels


def fd_kernel(
    spectra: Tensor,
    group: Tensor,
    row: Optional[Tensor],
    filter: Optional[Tensor],
    neighbours: Optional[Tensor],
    taps: Optional[Tensor],
    shape: List[int],
    groups: int,
    num_kept: int,
) -> Tuple[Tensor, Tensor]:
    """Kernels, and what they are before the spatial gates.

    Args:
        spectra: As in :func:`.fd_kernels.fd_kernel`.
        group: Gate of frequency groups, of ``KernelGates`` like the next four.
        row: Gate of input channels and positions.
        filter: Gate of filters.
        neighbours: Local gate's input.
        taps: Local gate's weights.
        shape: ``(O, C/G, kh, kw)``, of ``KernelLayout`` like the next two.
        groups: Of the convolution, ``G``.
        num_kept: Frequencies that have gates.

    Returns:
        Two of ``(B, rows, cols)``.
    """
    layout = _layout(spectra, shape, groups, num_kept)
    size = len(group), *layout.order.size
    kernels, images = spectra.new_empty(size), spectra.new_empty(size)
    per_sample = group, row, filter, neighbours, images, kernels
    for own, *gates, image, kernel in batch_parts(
        per_sample, images[0].numel()
    ):
        image.copy_(disjoint_weight_forward(spectra, own, layout)[0])
        grid = image.view(-1, *layout.grid)
        product, _ = modulate_forward(grid, *gates, taps)
        kernel.copy_(product.view_as(kernel))
    return kernels, images


def fd_kernel_backward(
    grad: Tensor,
    image: Tensor,
    spectra: Tensor,
    group: Tensor,
    row: Optional[Tensor],
    filter: Optional[Tensor],
    neighbours: Optional[Tensor],
    taps: Optional[Tensor],
    shape: List[int],
    groups: int,
    num_kept: int,
    of_spectra: bool,
) -> List[Tensor]:
    """Gradients of those tensors from ``spectra`` on that there are."""
    layout = _layout(spectra, shape, groups, num_kept)
    per_sample = grad, image, group, row, filter, neighbours
    parts = []
    for of_kernel, one, own, *gates in batch_parts(
        per_sample, grad[0].numel()
    ):
        of_image, *of_gates, of_taps = modulate_backward(
            of_kernel.reshape(-1, *layout.grid),
            (),
            one.view(-1, *layout.grid),
            *gates,
            taps,
        )
        of_image = of_image.view(one.shape)
        grads = disjoint_weight_backward(
            of_image, (of_spectra,), spectra, own, layout
        )
        parts.append((*grads, *of_gates, of_taps))
    shared, *of_samples, of_taps = zip(*parts)
    grads = _add(shared), *map(join, of_samples), _add(of_taps)
    return [g.contiguous() for g in grads if g is not None]


def _add(parts: Sequence[Optional[Tensor]]) -> Optional[Tensor]:
    """Gradients of what samples share, into the first."""
    total, *others = parts
    for part in others if total is not None else ():
        total.add_(part)
    return total


def _layout(
    spectra: Tensor, shape: List[int], groups: int, num_kept: int
) -> KernelLayout:
    O, I, kh, kw = shape  # noqa: E741
    order = frequency_order(O * kh, I * kw, spectra.device)
    return KernelLayout((O, I, kh, kw), groups, order, num_kept)


def _fake_kernel(spectra, group, *others) -> Tuple[Tensor, Tensor]:
    *_, (O, I, kh, kw), _, _ = others  # noqa: E741
    size = group.shape[0], O * kh, I * kw
    return spectra.new_empty(size), spectra.new_empty(size)


def _fake_kernel_backward(grad, image, *others) -> List[Tensor]:
    *tensors, _, _, _, of_spectra = others
    if not of_spectra:
        tensors[0] = None
    return [grad.new_empty(t.shape) for t in tensors if t is not None]


def _keep_for_kernel(ctx, inputs, output) -> None:
    *tensors, shape, groups, num_kept = inputs
    _, image = output
    ctx.sizes = shape, groups, num_kept
    ctx.mark_non_differentiable(image)
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(image, *tensors)


def _backward_of_kernel(ctx, grad: Tensor, _) -> Tuple[Optional[Tensor], ...]:
    saved, needs_spectra = ctx.saved_tensors, ctx.needs_input_grad[0]
    grads = iter(
        torch.ops.mmfdconv.fd_kernel_backward(
            grad, *saved, *ctx.sizes, needs_spectra
        )
    )
    of_spectra = next(grads) if needs_spectra else None
    of_gates = (None if t is None else next(grads) for t in saved[2:])
    return (of_spectra, *of_gates, None, None, None)


# ---------------------------------------------------------------------- bands


def modulate_bands(x: Tensor, maps: Tensor, k_list: List[float]) -> Tensor:
    """:func:`.bands.modulate_bands` by products, whatever the size.

    Args:
        x: ``(B, S, C/S, H, W)``.
        maps: ``(B, S, bands, H, W)``.
        k_list: As there.
    """
    coefficients = low_pass_coefficients(x, k_list)
    y, _ = bands_forward(x, maps, coefficients, k_list)
    return y


def modulate_bands_backward(
    grad: Tensor, x: Tensor, maps: Tensor, k_list: List[float]
) -> Tuple[Tensor, Tensor]:
    """Gradients of ``x`` and ``maps``."""
    size = x.shape[-2:]
    coefficients = low_pass_coefficients(x, k_list)
    of_x, of_maps, of_coefficients = bands_backward(
        grad, (), x, maps, coefficients, k_list=k_list
    )
    of_x += next(low_passes_by_products(of_coefficients, size, k_list))
    return of_x, of_maps


def _fake_bands(x: Tensor, maps: Tensor, k_list: List[float]) -> Tensor:
    return x * maps[:, :, :1]  # in the same memory format, too


def _fake_bands_backward(grad, x, maps, k_list) -> Tuple[Tensor, Tensor]:
    return grad * x, maps.new_empty(maps.shape)


def _keep_for_bands(ctx, inputs, output) -> None:
    x, maps, ctx.k_list = inputs
    ctx.save_for_backward(x, maps)


def _backward_of_bands(ctx, grad: Tensor) -> Tuple[Optional[Tensor], ...]:
    grads = torch.ops.mmfdconv.modulate_bands_backward(
        grad, *ctx.saved_tensors, ctx.k_list
    )
    return (*grads, None)
