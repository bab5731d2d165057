"""A convolution with few outputs, against PyTorch's."""

import functools

import pytest
import torch
import torch.nn.functional as F

from mmfdconv.functional import convolve_to_few
from mmfdconv.functional.few_outputs import convolve_to_few_backward

from .helpers import assert_same_with_gradients

pytestmark = pytest.mark.core


@pytest.mark.parametrize('size', [(7, 9), (1, 4), (2, 1)], ids=str)
@pytest.mark.parametrize('k, groups', [(1, 1), (3, 1), (3, 2), (5, 1)])
def test_few_outputs_are_the_same_convolution(size, k, groups):
    few, channels = 2 * groups, 2 * groups * k * k  # as many as products
    tensors = [
        torch.randn(shape, dtype=torch.double).requires_grad_()
        for shape in (
            (2, channels, *size),
            (few, channels // groups, k, k),
            (few,),
        )
    ]
    assert_same_with_gradients(
        functools.partial(convolve_to_few, groups=groups),
        functools.partial(F.conv2d, padding=k // 2, groups=groups),
        tensors,
    )


@pytest.mark.parametrize('batch, channels', [(2, 26), (0, 27)])
def test_many_outputs_or_no_sample(batch, channels):
    x = torch.randn(batch, channels, 5, 6)
    weight, bias = torch.randn(3, channels, 3, 3), torch.randn(3)
    torch.testing.assert_close(
        convolve_to_few(x, weight, bias),
        F.conv2d(x, weight, bias, padding=1),
    )


@pytest.mark.parametrize('layout', ['contiguous_format', 'channels_last'])
def test_few_outputs_under_autocast(layout):
    layout = getattr(torch, layout)
    x = torch.randn(2, 32, 6, 5).contiguous(memory_format=layout)
    weight, bias = torch.randn(3, 32, 3, 3), torch.randn(3)
    tensors = [t.requires_grad_() for t in (x, weight, bias)]
    expected = F.conv2d(*tensors, padding=1)
    wanted = torch.autograd.grad(expected.square().sum(), tensors)
    with torch.autocast('cpu', torch.bfloat16):
        y = convolve_to_few(*tensors)
    grads = torch.autograd.grad(y.float().square().sum(), tensors)
    for found, other in zip((y.float(), *grads), (expected, *wanted)):
        assert found.dtype == torch.float32
        torch.testing.assert_close(
            found, other, rtol=0.05, atol=0.03 * other.abs().max().item()
        )


@pytest.mark.parametrize('channels', [26, 54])  # a convolution, a product
@pytest.mark.parametrize('batch, groups', [(1, 1), (3, 1), (2, 2)])
def test_backward_pass(batch, groups, channels):
    x = torch.randn(batch, channels * groups, 5, 6, dtype=torch.double)
    weight = torch.randn(3 * groups, channels, 3, 3, dtype=torch.double)
    bias = torch.randn(3 * groups, dtype=torch.double)
    tensors = [t.requires_grad_() for t in (x, weight, bias)]
    y = F.conv2d(*tensors, padding=1, groups=groups)
    grad = torch.randn_like(y)
    expected = torch.autograd.grad(y, tensors, grad)
    before = torch.randn_like(x)
    grad_x = before.clone()
    with torch.no_grad():
        others = convolve_to_few_backward(grad, x, weight, groups, grad_x)
    torch.testing.assert_close((grad_x - before, *others), expected)
