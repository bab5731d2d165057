"""FDConv's kernels: a fast pair of passes against the equation."""

import functools

import pytest
import torch

from mmfdconv.analysis.speed import saved_bytes
from mmfdconv.functional import (
    ModulatedKernel,
    apply_stage,
    fourier_disjoint_weight,
    half_plane_of_lowest,
    radius_order,
)

from .helpers import assert_same_with_gradients

pytestmark = pytest.mark.core

#: (O, C/G, kh, kw), G, and which of row, filter and local gates there are
CASES = {
    'all': ((4, 3, 3, 2), 1, 'row filter local'),
    'odd width': ((3, 3, 2, 3), 1, 'row local'),
    'groups': ((6, 2, 3, 3), 3, 'row filter local'),
    'depthwise': ((4, 1, 3, 3), 4, 'row local'),
    'depthwise 1x1': ((4, 1, 1, 1), 4, 'row filter local'),
    'pointwise': ((5, 4, 1, 1), 1, 'local'),
    'global': ((4, 3, 3, 3), 1, 'row filter'),
    'frequencies alone': ((4, 3, 3, 3), 1, ''),
}


def make(case, batch=2, num_spectra=1, part=1.0):
    """A stage and its tensors, of which the absent ones are None."""
    (O, I, kh, kw), G, gates = CASES[case]  # noqa: E741
    rows, cols = size = O * kh, I * kw
    order, rank = radius_order(*size)
    num_kept = int(part * order.numel())
    stage = ModulatedKernel(size, kh, G, order, rank, num_kept)
    shapes = dict(
        gate=(batch, num_spectra, min(3, num_kept)),
        row=(batch, G, 1, kh, cols),
        filter=(batch, G, O // G, 1, 1),
        neighbours=(batch, G, 5, cols),
        spectra=(num_spectra, rows, cols // 2 + 1, 2),
        taps=(G, rows // G, 5),
    )
    absent = {name for name in ('row', 'filter') if name not in gates}
    absent |= set() if 'local' in gates else {'neighbours', 'taps'}
    return stage, [
        None
        if name in absent
        else torch.randn(shape, dtype=torch.double).requires_grad_()
        for name, shape in shapes.items()
    ]


def on_present(function, tensors):
    """A function of those tensors that are there, and these."""
    present = [t for t in tensors if t is not None]

    def run(*values):
        values = iter(values)
        return function(*(t if t is None else next(values) for t in tensors))

    return run, present


@pytest.mark.parametrize('case', CASES)
@pytest.mark.parametrize('batch, num_spectra', [(1, 1), (2, 1), (3, 2)])
@pytest.mark.parametrize('keep', [False, True])
def test_passes_are_the_equation(case, batch, num_spectra, keep):
    stage, tensors = make(case, batch, num_spectra)
    fast = functools.partial(apply_stage, stage, keep=keep)
    fast, present = on_present(fast, tensors)
    plain, _ = on_present(stage.plain, tensors)
    assert_same_with_gradients(fast, plain, present)


@pytest.mark.parametrize('part', [0.3, 0.8])
def test_lowest_frequencies_alone(part):
    stage, tensors = make('all', part=part)
    lowest = torch.randn(1, stage.num_kept, 2).double().requires_grad_()
    size = tensors[4].shape

    def with_lowest(function):
        def run(gate, row, filter, neighbours, lowest, taps):
            spectra = half_plane_of_lowest(lowest, stage.order, stage.rank)
            spectra = spectra.view(size)
            return function(gate, row, filter, neighbours, spectra, taps)

        return run

    assert_same_with_gradients(
        with_lowest(functools.partial(apply_stage, stage)),
        with_lowest(stage.plain),
        [*tensors[:4], lowest, tensors[5]],
    )


def test_the_equation():
    stage, tensors = make('all')
    gate, row, filter, neighbours, spectra, taps = tensors
    image = fourier_disjoint_weight(
        spectra, gate, stage.order, stage.rank, stage.image_size
    )
    logit = torch.einsum('ord,bdc->borc', taps.view(4, 3, 5), neighbours[:, 0])
    expected = image.view(2, 4, 3, 6) * logit.sigmoid()
    expected = expected * row.view(2, 1, 3, 6) * filter.view(2, 4, 1, 1)
    torch.testing.assert_close(
        stage.plain(*tensors), expected.view(2, *stage.image_size)
    )


@pytest.mark.parametrize('case', ['all', 'depthwise', 'frequencies alone'])
def test_gradients(case):
    stage, tensors = make(case)
    fast, present = on_present(functools.partial(apply_stage, stage), tensors)
    assert torch.autograd.gradcheck(fast, present)
    assert torch.autograd.gradgradcheck(fast, present)


@pytest.mark.parametrize('alive', range(6))
def test_one_gradient_alone(alive):
    stage, tensors = make('all')
    (expected,) = torch.autograd.grad(
        stage.plain(*tensors).square().sum(), tensors[alive]
    )
    frozen = [
        t.detach().requires_grad_(i == alive) for i, t in enumerate(tensors)
    ]
    apply_stage(stage, *frozen).square().sum().backward()
    torch.testing.assert_close(frozen[alive].grad, expected)
    assert all(t.grad is None for i, t in enumerate(frozen) if i != alive)


@pytest.mark.parametrize('keep', [False, True])
def test_backward_twice(keep):
    """What a backward pass overwrites is its own."""
    stage, tensors = make('all')
    kernel = apply_stage(stage, *tensors, keep=keep)
    before = kernel.detach().clone()
    grad = torch.randn_like(kernel)
    kept = grad.clone()
    first = torch.autograd.grad(kernel, tensors, grad, retain_graph=True)
    second = torch.autograd.grad(kernel, tensors, grad)
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    assert torch.equal(kernel, before)
    assert torch.equal(grad, kept)


def test_nothing_is_kept_but_the_tensors():
    stage, tensors = make('all')
    size = saved_bytes(lambda: apply_stage(stage, *tensors))
    assert size == 8 * sum(t.numel() for t in tensors)


@pytest.mark.parametrize('case', CASES)
def test_what_it_remembers_spares_the_inverse_fft(case, monkeypatch):
    stage, tensors = make(case)
    stage = stage._replace(remembers=True)
    tensors = [None if t is None else t.detach() for t in tensors]
    kernel, memo, _ = stage.forward(tensors)
    torch.testing.assert_close(kernel, stage.plain(*tensors))
    assert [t.numel() for t in memo] == [kernel.numel()]
    before = memo[0].clone()
    monkeypatch.setattr(torch.fft, 'irfft2', None)
    again, _, kept = stage.forward(tensors, memo, keep=True)
    torch.testing.assert_close(again, kernel)
    grad, num = torch.randn_like(kernel), len(tensors)
    stage.backward(tensors, kept, grad, [True] * num, [None] * num, again)
    assert torch.equal(memo[0], before)


def test_it_remembers_nothing_unless_asked():
    stage, tensors = make('all')
    with torch.no_grad():
        _, memo, _ = stage.forward(tensors)
    assert memo == ()


def test_no_sample():
    stage, tensors = make('all', batch=0)
    kernel = apply_stage(stage, *tensors)
    assert kernel.shape == (0, *stage.image_size)
    kernel.sum().backward()
    assert not tensors[4].grad.any()
