"""FDConv's kernels, by either path, against loops and against the equation."""

import functools
from unittest import mock

import pytest
import torch

from mmfdconv.functional import (
    KernelGates,
    KernelLayout,
    disjoint_weight,
    fd_kernel,
    fd_kernels,
    frequency_order,
    half_plane_of_lowest,
    image_to_weight,
    kernel_to_spectrum,
    modulate_kernel,
)

from ..reference import fdw as slow_fdw
from ..reference.fourier import image_of
from .helpers import (
    KERNEL_CASES,
    assert_same_with_gradients,
    kernel_case,
)

IMAGES = [(7, 1), (6, 4), (9, 5), (12, 11), (48, 48)]


def layout(size, num_kept=None):
    """Of kernels of one row and column, for the frequencies alone."""
    order = frequency_order(*size, torch.device('cpu'))
    kept = order.order.numel() if num_kept is None else num_kept
    return KernelLayout((size[0], size[1], 1, 1), 1, order, kept)


# ------------------------------------------------------------ frequency groups


@pytest.mark.core
@pytest.mark.parametrize('size', IMAGES, ids=str)
@pytest.mark.parametrize('num_spectra', [1, 2])
@pytest.mark.parametrize('num_groups', [1, 3, 4])
def test_disjoint_weight(size, num_spectra, num_groups, path):
    rows, cols = size
    half = cols // 2 + 1
    # Not the spectrum of a real image: a learned one need not be.
    spectra = torch.randn(num_spectra, rows, half, 2, dtype=torch.float64)
    gates = torch.randn(2, num_spectra, num_groups, dtype=torch.float64)
    image = disjoint_weight(spectra, gates, layout(size))
    groups = slow_fdw.frequency_groups(
        slow_fdw.sorted_frequencies(*size), num_groups
    )
    for b in range(2):
        gated = torch.zeros(rows * half, dtype=torch.complex128)
        for r in range(num_spectra):
            flat = torch.view_as_complex(spectra[r]).flatten()
            for g, members in enumerate(groups):
                for f in members:
                    gated[f] += gates[b, r, g] * flat[f]
        expected = image_of(gated.reshape(rows, half), cols)
        torch.testing.assert_close(image[b], expected)


def test_neutral_gates_give_the_kernel_back():
    weight = torch.randn(4, 3, 3, 3, dtype=torch.float64)
    size = (12, 9)
    image = disjoint_weight(
        kernel_to_spectrum(weight)[None],
        torch.ones(2, 1, 5, dtype=torch.float64),
        layout(size),
    )
    for one in image_to_weight(image, (3, 3)):
        torch.testing.assert_close(one, weight)


@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('batch', [1, 3])
def test_pairs_need_not_lie_as_complex_numbers(batch, offset):
    """A parameter may be a view into a buffer of many, at any offset."""
    rows, cols, groups = 6, 8, 5
    flat = torch.randn(offset + rows * (cols // 2 + 1) * 2).double()
    gate = torch.rand(batch, 1, groups).double().requires_grad_()

    def weight(flat, gate):
        spectrum = flat[offset:].view(1, rows, cols // 2 + 1, 2)
        return disjoint_weight(spectrum, gate, layout((rows, cols)))

    flat.requires_grad_()
    apart = flat[offset:].detach().clone()
    torch.testing.assert_close(
        weight(flat, gate),
        disjoint_weight(
            apart.view(1, rows, -1, 2), gate, layout((rows, cols))
        ),
    )
    assert torch.autograd.gradcheck(weight, (flat, gate))
    assert torch.autograd.gradgradcheck(weight, (flat, gate))


# ------------------------------------------------------------------ all gates


def on_present(layout, tensors):
    """:func:`fd_kernel` of those tensors that are there, and these."""
    present = [t for t in tensors if t is not None]

    def run(*values):
        values = iter(values)
        spectra, *gates = (t if t is None else next(values) for t in tensors)
        return fd_kernel(spectra, KernelGates(*gates), layout)

    return run, present


def in_plain_operations(function):
    """The same as tracers see it."""

    @functools.wraps(function)
    def run(*args):
        with mock.patch.object(
            fd_kernels, 'by_hand', lambda plain, _, __, *t: plain(*t)
        ):
            return function(*args)

    return run


@pytest.mark.core
def test_the_equation(path):
    layout, tensors = kernel_case('all')
    spectra, group, row, filter, neighbours, taps = tensors
    image = disjoint_weight(spectra, group, layout)
    logit = torch.einsum('ord,bdc->borc', taps.view(4, 3, 5), neighbours[:, 0])
    expected = image.view(2, 4, 3, 6) * logit.sigmoid()
    expected = expected * row.view(2, 1, 3, 6) * filter.view(2, 4, 1, 1)
    torch.testing.assert_close(
        fd_kernel(spectra, KernelGates(*tensors[1:]), layout),
        expected.view(2, 12, 6),
    )


@pytest.mark.core
@pytest.mark.parametrize('case', KERNEL_CASES)
@pytest.mark.parametrize('batch, num_spectra', [(1, 1), (2, 1), (3, 2)])
def test_passes_by_hand_are_the_equation(case, batch, num_spectra, path):
    run, present = on_present(*kernel_case(case, batch, num_spectra))
    assert_same_with_gradients(run, in_plain_operations(run), present)
    with torch.no_grad():
        kernel = run(*present)
    torch.testing.assert_close(kernel, run(*present))


@pytest.mark.core
@pytest.mark.parametrize('num_kept', [5, 12, 24])
@pytest.mark.parametrize('num_groups', [1, 3, 5])
def test_lowest_frequencies_alone(num_groups, num_kept, path):
    size = rows, cols = 6, 7
    own = layout(size, num_kept)
    order = own.order.order.long()
    lowest = torch.randn(1, num_kept, 2).double().requires_grad_()
    gate = torch.randn(2, 1, num_groups).double().requires_grad_()

    def run(lowest, gate):
        spectra = half_plane_of_lowest(lowest, own.order)
        return disjoint_weight(spectra.view(1, rows, -1, 2), gate, own)

    def by_definition(lowest, gate):
        """Every frequency times the gate of its group."""
        gated = torch.zeros(2, rows * (cols // 2 + 1), 2).double()
        start = 0
        for g, part in enumerate(order[:num_kept].tensor_split(num_groups)):
            pairs = lowest[0, start : start + len(part)]
            gated[:, part] = gate[:, 0, g, None, None] * pairs
            start += len(part)
        gated = torch.view_as_complex(gated)
        return image_of(gated.view(2, rows, -1), cols)

    assert_same_with_gradients(run, by_definition, (lowest, gate))


@pytest.mark.core
@pytest.mark.parametrize('case', ['all', 'depthwise', 'frequencies alone'])
def test_gradients(case, path):
    run, present = on_present(*kernel_case(case))
    assert torch.autograd.gradcheck(run, present, fast_mode=True)
    assert torch.autograd.gradgradcheck(run, present, fast_mode=True)


@pytest.mark.core
@pytest.mark.parametrize('alive', range(6))
def test_one_gradient_alone(alive, path):
    run, tensors = on_present(*kernel_case('all'))
    (expected,) = torch.autograd.grad(
        in_plain_operations(run)(*tensors).square().sum(), tensors[alive]
    )
    frozen = [
        t.detach().requires_grad_(i == alive) for i, t in enumerate(tensors)
    ]
    run(*frozen).square().sum().backward()
    torch.testing.assert_close(frozen[alive].grad, expected)
    assert all(t.grad is None for i, t in enumerate(frozen) if i != alive)


@pytest.mark.core
def test_backward_twice(path):
    """What a backward pass overwrites is its own."""
    run, tensors = on_present(*kernel_case('all'))
    kernel = run(*tensors)
    before = kernel.detach().clone()
    grad = torch.randn_like(kernel)
    kept = grad.clone()
    first = torch.autograd.grad(kernel, tensors, grad, retain_graph=True)
    second = torch.autograd.grad(kernel, tensors, grad)
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    assert torch.equal(kernel, before)
    assert torch.equal(grad, kept)


@pytest.mark.core
@pytest.mark.parametrize('case', KERNEL_CASES)
def test_an_image_that_is_kept_stays_as_it_is(case, path):
    layout, (spectra, *gates) = kernel_case(case)
    image = disjoint_weight(spectra, gates[0], layout)
    before = image.detach().clone()
    for enabled in (False, True):
        with torch.set_grad_enabled(enabled):
            kernel = modulate_kernel(image, KernelGates(*gates), layout)
    kernel.sum().backward()
    assert torch.equal(image, before)


@pytest.mark.core
def test_no_sample(path):
    layout, (spectra, *gates) = kernel_case('all', batch=0)
    kernel = fd_kernel(spectra, KernelGates(*gates), layout)
    assert kernel.shape == (0, 12, 6)
    kernel.sum().backward()
    assert not spectra.grad.any()


@pytest.mark.core
def test_transforms_of_functions(path):
    """``torch.func`` and forward-mode differentiation."""
    run, (spectra, group, *rest) = on_present(*kernel_case('all'))
    tangent = torch.randn_like(group)
    plain = in_plain_operations(run)

    def of_gate(run):
        return lambda gate: run(spectra, gate, *rest)

    def energy(run):
        return lambda gate: run(spectra, gate, *rest).square().sum()

    (expected,) = torch.autograd.grad(energy(plain)(group), group)
    found = torch.func.grad(energy(run))(group)
    torch.testing.assert_close(found, expected)
    _, along = torch.func.jvp(of_gate(run), (group,), (tangent,))
    torch.testing.assert_close(
        along, of_gate(plain)(group + tangent) - of_gate(plain)(group)
    )
    many = torch.stack([group, tangent])
    found = torch.func.vmap(of_gate(run))(many)
    expected = torch.stack([of_gate(plain)(gate) for gate in many])
    torch.testing.assert_close(found, expected)
