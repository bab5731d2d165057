"""Gates on a kernel's image, against the equation."""

import pytest
import torch

from mmfdconv.functional import gate_image

from .helpers import assert_same_with_gradients


def inputs(row_shape):
    tensors = torch.randn(2, 4, 3, 6), torch.randn(2, 4, 3, 6)
    row = torch.rand(row_shape)
    return [t.double().requires_grad_() for t in (*tensors, row)]


@pytest.mark.core
@pytest.mark.parametrize(
    'row_shape', [(2, 1, 3, 6), (1, 1, 1, 6), (2, 1, 1, 6), (2, 4, 3, 6)]
)
def test_it_is_the_product(row_shape):
    assert_same_with_gradients(
        gate_image,
        lambda image, logit, row: image * logit.sigmoid() * row,
        inputs(row_shape),
    )


def test_gradients():
    tensors = inputs((2, 1, 3, 6))
    assert torch.autograd.gradcheck(gate_image, tensors)
    assert torch.autograd.gradgradcheck(gate_image, tensors)


@pytest.mark.core
@pytest.mark.parametrize('alive', range(3))
def test_one_gradient_alone(alive):
    tensors = inputs((2, 1, 3, 6))
    (expected,) = torch.autograd.grad(
        gate_image(*tensors).square().sum(), tensors[alive]
    )
    frozen = [
        t.detach().requires_grad_(i == alive) for i, t in enumerate(tensors)
    ]
    gate_image(*frozen).square().sum().backward()
    torch.testing.assert_close(frozen[alive].grad, expected)
