"""Kernels that are assembled anew, against kernels that are kept."""

import functools

import pytest
import torch

from mmfdconv.analysis.benchmark import saved_bytes
from mmfdconv.functional import (
    per_sample_conv2d,
    recomputed_conv,
    recomputed_conv2d,
)

from .helpers import assert_same_with_gradients

SHAPE = (4, 3, 3, 2)  # (O, C/G, kh, kw)
OPTIONS = {
    'plain': dict(),
    'same': dict(padding='same', dilation=(1, 2)),
    'stride': dict(stride=(2, 1), padding=(1, 0)),
    'groups': dict(groups=2, padding=(1, 1)),
}


def assemble(gate, absent, expert, scale):
    """Two experts and a factor that all samples have."""
    assert absent is None
    return torch.einsum('be,eoihw->boihw', gate, expert) * scale


def inputs(groups=1, batch=3, dtype=torch.float64):
    x = torch.randn(batch, groups * SHAPE[1], 6, 7, dtype=dtype)
    gate = torch.rand(batch, 2, dtype=dtype)
    expert = torch.randn(2, *SHAPE, dtype=dtype)
    scale = torch.rand((), dtype=dtype)
    return [t.requires_grad_() for t in (x, gate, expert, scale)]


def recomputed(x, gate, expert, scale, **options):
    return recomputed_conv2d(
        x, assemble, (gate, None), (expert, scale), SHAPE, **options
    )


def kept(x, gate, expert, scale, **options):
    kernels = assemble(gate, None, expert, scale)
    return per_sample_conv2d(x, kernels, None, **options)


@pytest.fixture(params=[1, 2, 64])
def samples_at_once(request, monkeypatch):
    monkeypatch.setattr(recomputed_conv, '_CHUNK', request.param * 4 * 18)


@pytest.mark.core
@pytest.mark.parametrize('name', OPTIONS)
def test_it_is_the_same_convolution(name, samples_at_once):
    options = OPTIONS[name]
    assert_same_with_gradients(
        functools.partial(recomputed, **options),
        functools.partial(kept, **options),
        inputs(options.get('groups', 1)),
    )


def test_gradients(samples_at_once):
    tensors = inputs()
    assert torch.autograd.gradcheck(recomputed, tensors)
    assert torch.autograd.gradgradcheck(recomputed, tensors)


def test_pointwise_gradients(samples_at_once):
    x, gate, expert, scale = inputs()
    tensors = x, gate, expert[..., :1, :1], scale

    def pointwise(x, gate, expert, scale):
        return recomputed_conv2d(
            x,
            assemble,
            (gate, None),
            (expert, scale),
            (4, 3, 1, 1),
            stride=(2, 3),
        )

    assert torch.autograd.gradcheck(pointwise, tensors)


@pytest.mark.core
@pytest.mark.parametrize('frozen', [(0,), (1,), (2, 3), (1, 2, 3), (0, 1)])
def test_only_what_is_wanted_gets_a_gradient(frozen):
    tensors = inputs()
    alive = [t for i, t in enumerate(tensors) if i not in frozen]
    expected = torch.autograd.grad(kept(*tensors).sum(), alive)
    for i in frozen:
        tensors[i].requires_grad_(False)
    recomputed(*tensors).sum().backward()
    for tensor, grad in zip(alive, expected):
        torch.testing.assert_close(tensor.grad, grad)
    assert all(tensors[i].grad is None for i in frozen)


@pytest.mark.core
def test_no_sample():
    tensors = inputs(batch=0)
    y = recomputed(*tensors)
    assert y.shape == (0, 4, 4, 6)
    y.sum().backward()
    assert not tensors[2].grad.any()


@pytest.mark.core
def test_the_result_of_an_expansion_is_no_buffer():
    """The gradient of ``shared`` may be a view that cannot be added to."""

    def assemble(gate, shared):
        return gate[..., None, None, None] + shared.expand(len(gate), *SHAPE)

    x, _, expert, _ = inputs()
    gate = torch.rand(3, 4, dtype=x.dtype)
    y = recomputed_conv2d(x, assemble, (gate,), (expert[0],), SHAPE)
    torch.testing.assert_close(
        y, per_sample_conv2d(x, assemble(gate, expert[0]))
    )
    y.sum().backward()
    assert expert.grad[0].any()


@pytest.mark.core
def test_no_kernel_is_kept():
    tensors = inputs()
    num_kept = sum(t.numel() for t in tensors)
    size = saved_bytes(lambda: recomputed(*tensors))
    assert size == 8 * num_kept
    assert saved_bytes(lambda: kept(*tensors)) > size


@pytest.mark.core
def test_autocast_reaches_the_convolution_only():
    tensors = inputs(dtype=torch.float32)
    kernels = []

    def watch(*args):
        kernels.append(assemble(*args))
        return kernels[-1]

    x, gate, expert, scale = tensors
    with torch.autocast('cpu', torch.bfloat16):
        y = recomputed_conv2d(x, watch, (gate, None), (expert, scale), SHAPE)
    assert y.dtype == torch.bfloat16
    grads = torch.autograd.grad(y.float().square().sum(), tensors)
    assert {k.dtype for k in kernels} == {torch.float32}
    reference = kept(*tensors)
    torch.testing.assert_close(y.float(), reference, rtol=0.02, atol=0.1)
    for grad, other in zip(
        grads, torch.autograd.grad(reference.square().sum(), tensors)
    ):
        assert grad.dtype == torch.float32
        torch.testing.assert_close(
            grad, other, rtol=0.05, atol=0.05 * other.abs().max().item()
        )
