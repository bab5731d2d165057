"""Mixing of experts, against a loop."""

import pytest
import torch

from mmfdconv.analysis.speed import saved_bytes
from mmfdconv.functional import mix_experts

from ..reference.experts import mixture
from .helpers import assert_same_with_gradients

SHAPES = [(4, 6, 2, 3, 3), (1, 3, 1, 1, 1), (5, 6), (3, 7, 4, 3, 2)]


@pytest.mark.core
@pytest.mark.parametrize('batch', [0, 1, 3])
@pytest.mark.parametrize('shape', SHAPES, ids=str)
def test_against_a_loop(shape, batch):
    routing = torch.randn(batch, shape[0], dtype=torch.float64)
    experts = torch.randn(shape, dtype=torch.float64)
    mixed = mix_experts(routing, experts)
    assert mixed.shape == (batch, *shape[1:])
    if batch:
        torch.testing.assert_close(mixed, mixture(routing, experts))


@pytest.mark.core
@pytest.mark.parametrize('shape', SHAPES[:3], ids=str)
def test_gradcheck(shape):
    routing = torch.randn(2, shape[0], dtype=torch.float64)
    experts = torch.randn(shape, dtype=torch.float64)
    inputs = (routing.requires_grad_(), experts.requires_grad_())
    assert torch.autograd.gradcheck(mix_experts, inputs)
    assert torch.autograd.gradgradcheck(mix_experts, inputs)


def test_empty_batch_keeps_the_graph():
    experts = torch.randn(4, 6, 2, 3, 3, requires_grad=True)
    mix_experts(torch.randn(0, 4), experts).sum().backward()
    assert torch.equal(experts.grad, torch.zeros_like(experts))


def test_strided_experts():
    experts = torch.randn(3, 3, 6, 4, 5)
    strided = experts.permute(4, 3, 2, 0, 1)  # (5, 4, 6, 3, 3)
    routing = torch.randn(2, 5)
    torch.testing.assert_close(
        mix_experts(routing, strided),
        mix_experts(routing, strided.contiguous()),
    )


@pytest.mark.core
def test_one_hot_routing_selects():
    experts = torch.randn(4, 6, 2, 3, 3)
    mixed = mix_experts(torch.eye(4)[[2, 0]], experts)
    torch.testing.assert_close(mixed, experts[[2, 0]])


def with_positions(batch=2, shape=(4, 6, 2, 3, 2)):
    sizes = (batch, shape[0]), shape, (batch, shape[3] * shape[4])
    tensors = [torch.randn(size, dtype=torch.float64) for size in sizes]
    return [t.requires_grad_() for t in tensors]


def one_after_the_other(routing, experts, spatial):
    gates = spatial.view(-1, 1, 1, *experts.shape[3:])
    return mix_experts(routing, experts) * gates


@pytest.mark.core
@pytest.mark.parametrize('batch', [0, 1, 3])
def test_gates_of_positions(batch):
    assert_same_with_gradients(
        mix_experts, one_after_the_other, with_positions(batch)
    )


@pytest.mark.core
def test_gradients_with_positions():
    tensors = with_positions()
    assert torch.autograd.gradcheck(mix_experts, tensors)
    assert torch.autograd.gradgradcheck(mix_experts, tensors)


@pytest.mark.core
def test_no_kernel_is_kept():
    tensors = with_positions()
    size = saved_bytes(lambda: mix_experts(*tensors))
    assert size == 8 * sum(t.numel() for t in tensors)
    assert saved_bytes(lambda: one_after_the_other(*tensors)) > size


@pytest.mark.core
@pytest.mark.parametrize('alive', range(3))
def test_one_gradient_alone(alive):
    tensors = with_positions()
    (expected,) = torch.autograd.grad(
        one_after_the_other(*tensors).square().sum(), tensors[alive]
    )
    frozen = [
        t.detach().requires_grad_(i == alive) for i, t in enumerate(tensors)
    ]
    mix_experts(*frozen).square().sum().backward()
    torch.testing.assert_close(frozen[alive].grad, expected)
