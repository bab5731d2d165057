"""What is made anew in the backward pass, against what is kept."""

from contextlib import nullcontext

import pytest
import torch

from mmfdconv.analysis.speed import saved_bytes
from mmfdconv.functional import (
    accelerator_path,
    per_sample_conv2d,
    recompute,
    recomputing,
)

from .helpers import assert_same_with_gradients

pytestmark = pytest.mark.core

SHAPE = (4, 3, 3, 2)  # (O, C, kh, kw)


def function(per_sample, shared, want_value=True):
    """Mix two experts, scale, and convolve a shifted input with them."""
    x, own, absent, gate = per_sample
    common, expert, scale = shared
    assert absent is None
    x = x + own[:, None, None, None] + common
    weight = torch.einsum('be,e...->b...', gate, expert) * scale
    return per_sample_conv2d(
        x, weight.to(x.dtype), padding=(1, 1), want_value=want_value
    )


def inputs(batch=3, dtype=torch.float64):
    shapes = (batch, 3, 6, 7), (batch,), (batch, 2), (), (2, *SHAPE), ()
    return [torch.randn(s, dtype=dtype).requires_grad_() for s in shapes]


def recomputed(x, own, gate, *shared):
    size = 4 * 18
    return recompute(function, (x, own, None, gate), shared, size)


def kept(x, own, gate, *shared):
    return function((x, own, None, gate), shared)


@pytest.fixture(params=['one sample', 'two', 'all', 'accelerator'])
def samples(request, monkeypatch):
    """How many at once; of an accelerator always all."""
    number = dict(two=2, all=64).get(request.param, 1)
    monkeypatch.setattr(recomputing, '_AT_ONCE', number * 4 * 18)
    other = request.param == 'accelerator'
    with accelerator_path() if other else nullcontext():
        yield


def test_it_is_the_same_function(samples):
    assert_same_with_gradients(recomputed, kept, inputs())


def test_gradients(samples):
    tensors = inputs(batch=2)
    run = recomputed
    assert torch.autograd.gradcheck(run, tensors, fast_mode=True)
    assert torch.autograd.gradgradcheck(run, tensors, fast_mode=True)


def test_gradients_of_gradients_where_inputs_hang_together(samples):
    x, own, *rest = inputs()
    penalties = []
    for run in (kept, recomputed):
        dependent = own + x.square().mean((1, 2, 3))
        (grad,) = torch.autograd.grad(
            run(x, dependent, *rest).square().sum(), x, create_graph=True
        )
        of_grad = torch.autograd.grad(grad.square().sum(), [x, *rest])
        penalties.append((grad, *of_grad))
    torch.testing.assert_close(*penalties)


@pytest.mark.parametrize(
    'frozen', [(0,), (0, 1, 3), (2,), (4, 5), (0, 2), (1, 2, 3, 4, 5)], ids=str
)
def test_only_what_is_wanted_gets_a_gradient(frozen, samples):
    tensors = inputs()
    alive = [t for i, t in enumerate(tensors) if i not in frozen]
    expected = torch.autograd.grad(kept(*tensors).square().sum(), alive)
    for i in frozen:
        tensors[i].requires_grad_(False)
    recomputed(*tensors).square().sum().backward()
    for tensor, grad in zip(alive, expected):
        torch.testing.assert_close(tensor.grad, grad)
    assert all(tensors[i].grad is None for i in frozen)


def test_backward_twice(samples):
    tensors = inputs()
    y = recomputed(*tensors)
    grad = torch.randn_like(y)
    before = [t.detach().clone() for t in (y, grad, *tensors)]
    first = torch.autograd.grad(y, tensors, grad, retain_graph=True)
    second = torch.autograd.grad(y, tensors, grad)
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    for tensor, value in zip((y, grad, *tensors), before):
        assert torch.equal(tensor, value)


def test_no_sample_and_no_gradient(samples):
    tensors = inputs(batch=0)
    y = recomputed(*tensors)
    assert y.shape == (0, 4, 6, 8)
    y.sum().backward()
    assert not tensors[4].grad.any()
    tensors = inputs()
    expected = kept(*tensors)
    with torch.no_grad():
        y = recomputed(*tensors)
    torch.testing.assert_close(y, expected)
    assert not y.requires_grad


def test_neither_kernels_nor_input_are_kept():
    tensors = inputs()
    size = saved_bytes(lambda: recomputed(*tensors))
    assert size == 8 * sum(t.numel() for t in tensors)
    assert saved_bytes(lambda: kept(*tensors)) > size


def test_autocast_is_as_it_was(samples):
    # Positive, so that no sum cancels, of which bfloat16 would leave nothing.
    drawn = inputs(dtype=torch.float32)
    tensors = [t.detach().abs().requires_grad_() for t in drawn]
    with torch.autocast('cpu', torch.bfloat16):
        y = recomputed(*tensors)
    assert y.dtype == torch.bfloat16
    grads = torch.autograd.grad(y.float().square().sum(), tensors)
    with torch.autocast('cpu', torch.bfloat16):
        reference = kept(*tensors)
    assert torch.equal(y, reference)
    expected = torch.autograd.grad(reference.float().square().sum(), tensors)
    for grad, other in zip(grads, expected):
        assert grad.dtype == torch.float32
        torch.testing.assert_close(
            grad, other, rtol=0.02, atol=0.02 * other.abs().max().item()
        )
