"""Convolution that keeps neither kernels nor input, against one that does."""

import functools

import pytest
import torch

from mmfdconv.analysis.speed import saved_bytes
from mmfdconv.functional import (
    image_to_weight,
    per_sample_conv2d,
    recomputed_conv2d,
)
from mmfdconv.functional.stages import add_to

from .helpers import assert_same_with_gradients

SHAPE = (4, 3, 3, 2)  # (O, C/G, kh, kw)
SIZE = 12, 6  # of its image
OPTIONS = {
    'plain': dict(),
    'dilation': dict(padding=(2, 1), dilation=(2, 1)),
    'stride': dict(stride=(2, 1), padding=(1, 0)),
    'groups': dict(groups=2, padding=(1, 1)),
}


class Shifted:
    """The input plus a number of each sample and one of all."""

    num_per_sample = 2
    chunk = 2**20

    def plain(self, x, own, common):
        return x + own[:, None, None, None] + common

    def forward(self, tensors, memo=(), keep=False):
        (doubled,) = memo or (2 * tensors[1],)
        assert torch.equal(doubled, 2 * tensors[1])
        return self.plain(*tensors), (doubled,), None

    def backward(self, tensors, kept, grad, needed, sums, scratch=None):
        own = grad.sum((1, 2, 3))
        return [grad, own, add_to(sums[2], own.sum())]


class Mixed:
    """Two experts and a factor that all samples have."""

    num_per_sample = 2
    chunk = 2**20

    def plain(self, gate, absent, expert, scale):
        assert absent is None
        return torch.einsum('be,erc->brc', gate, expert) * scale

    def forward(self, tensors, memo=(), keep=False):
        assert not torch.is_grad_enabled()
        (first,) = memo or (tensors[0][:, 0],)
        assert torch.equal(first, tensors[0][:, 0])
        return self.plain(*tensors), (first,), None

    def backward(self, tensors, kept, grad, needed, sums, scratch=None):
        if scratch is not None:
            scratch.fill_(torch.nan)  # it may be overwritten
        gate, _, expert, scale = tensors
        mixed = torch.einsum('be,erc->brc', gate, expert)
        grad_scale = add_to(sums[3], (grad * mixed).sum())
        grad.mul_(scale)  # it may be overwritten
        return [
            torch.einsum('brc,erc->be', grad, expert),
            None,
            add_to(sums[2], torch.einsum('be,brc->erc', gate, grad)),
            grad_scale,
        ]


def inputs(groups=1, batch=3, dtype=torch.float64):
    x = torch.randn(batch, groups * SHAPE[1], 6, 7, dtype=dtype)
    own = torch.randn(batch, dtype=dtype)
    common = torch.randn((), dtype=dtype)
    gate = torch.rand(batch, 2, dtype=dtype)
    expert = torch.randn(2, *SIZE, dtype=dtype)
    scale = torch.rand((), dtype=dtype)
    tensors = x, own, common, gate, expert, scale
    return [t.requires_grad_() for t in tensors]


def recomputed(x, own, common, gate, expert, scale, shape=SHAPE, **options):
    return recomputed_conv2d(
        Shifted(),
        Mixed(),
        (x, own, common),
        (gate, None, expert, scale),
        shape,
        **options,
    )


def kept(x, own, common, gate, expert, scale, shape=SHAPE, **options):
    x = Shifted().plain(x, own, common)
    images = Mixed().plain(gate, None, expert, scale)
    weight = image_to_weight(images, shape[2:])
    return per_sample_conv2d(x, weight, None, **options)


@pytest.fixture(params=[(1, 1), (2, 1), (2, 2), (64, 1), (64, 64)], ids=str)
def samples_at_once(request, monkeypatch):
    kernels, features = request.param
    monkeypatch.setattr(Mixed, 'chunk', kernels * 4 * 18)
    monkeypatch.setattr(Shifted, 'chunk', features * 3 * 42)


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


@pytest.mark.core
def test_pointwise(samples_at_once):
    *others, expert, scale = inputs()
    pointwise = dict(shape=(4, 3, 1, 1), stride=(2, 3))
    expert = expert.detach()[:, :4, :3].contiguous().requires_grad_()
    assert_same_with_gradients(
        functools.partial(recomputed, **pointwise),
        functools.partial(kept, **pointwise),
        [*others, expert, scale],
    )


@pytest.mark.core
@pytest.mark.parametrize(
    'frozen',
    [(0,), (0, 1, 2), (3,), (4, 5), (3, 4, 5), (0, 3), (1, 2, 3, 4, 5)],
    ids=str,
)
def test_only_what_is_wanted_gets_a_gradient(frozen, samples_at_once):
    tensors = inputs()
    alive = [t for i, t in enumerate(tensors) if i not in frozen]
    expected = torch.autograd.grad(kept(*tensors).square().sum(), alive)
    for i in frozen:
        tensors[i].requires_grad_(False)
    recomputed(*tensors).square().sum().backward()
    for tensor, grad in zip(alive, expected):
        torch.testing.assert_close(tensor.grad, grad)
    assert all(tensors[i].grad is None for i in frozen)


@pytest.mark.core
def test_backward_twice(samples_at_once):
    tensors = inputs()
    y = recomputed(*tensors)
    grad = torch.randn_like(y)
    before = [t.detach().clone() for t in (y, grad, *tensors)]
    first = torch.autograd.grad(y, tensors, grad, retain_graph=True)
    second = torch.autograd.grad(y, tensors, grad)
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    for tensor, value in zip((y, grad, *tensors), before):
        assert torch.equal(tensor, value)


@pytest.mark.core
def test_no_sample():
    tensors = inputs(batch=0)
    y = recomputed(*tensors)
    assert y.shape == (0, 4, 4, 6)
    y.sum().backward()
    assert not tensors[4].grad.any()


@pytest.mark.core
def test_neither_kernels_nor_input_are_kept():
    tensors = inputs()
    num_kept = sum(t.numel() for t in tensors)
    num_kept += 3  # what the input's stage asks for, a number per sample
    size = saved_bytes(lambda: recomputed(*tensors))
    assert size == 8 * num_kept  # the kernels' stage asks for views
    assert saved_bytes(lambda: kept(*tensors)) > size


@pytest.mark.core
def test_autocast_reaches_the_convolution_only(monkeypatch):
    tensors = inputs(dtype=torch.float32)
    seen = []
    forward = Mixed.forward

    def watch(self, *args, **kwargs):
        result = forward(self, *args, **kwargs)
        seen.append(result[0].dtype)
        return result

    monkeypatch.setattr(Mixed, 'forward', watch)
    with torch.autocast('cpu', torch.bfloat16):
        y = recomputed(*tensors)
    assert y.dtype == torch.bfloat16
    grads = torch.autograd.grad(y.float().square().sum(), tensors)
    assert set(seen) == {torch.float32}
    reference = kept(*tensors)
    torch.testing.assert_close(y.float(), reference, rtol=0.02, atol=0.1)
    for grad, other in zip(
        grads, torch.autograd.grad(reference.square().sum(), tensors)
    ):
        assert grad.dtype == torch.float32
        torch.testing.assert_close(
            grad, other, rtol=0.05, atol=0.05 * other.abs().max().item()
        )
