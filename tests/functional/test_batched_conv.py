"""One kernel per sample, against loops and nn.Conv2d."""

import math
from contextlib import nullcontext

import pytest
import torch
from torch import nn

from mmfdconv.functional import (
    accelerator_path,
    batched_conv,
    pad_input,
    per_sample_conv2d,
)

from ..reference.conv import pad, sample_conv

CASES = {
    'plain': dict(),
    'k1': dict(kernel_size=(1, 1)),
    'k1 stride': dict(kernel_size=(1, 1), stride=(2, 3)),
    'k1 padded': dict(kernel_size=(1, 1), padding=(1, 0)),
    'k1 groups': dict(kernel_size=(1, 1), groups=2),
    'k3x2': dict(kernel_size=(3, 2), stride=(2, 1), padding=(1, 2)),
    'dilation': dict(dilation=(2, 1), padding=(2, 1)),
    'k3x5': dict(kernel_size=(3, 5), padding=(1, 4), dilation=(1, 2)),
    'groups': dict(groups=2, padding=(1, 1)),
    'depthwise': dict(groups=4, out_channels=8),
}


def example(
    batch=3,
    in_channels=4,
    out_channels=6,
    kernel_size=(3, 3),
    groups=1,
    dtype=torch.float64,
    **options,
):
    x = torch.randn(batch, in_channels, 9, 10, dtype=dtype)
    shape = (batch, out_channels, in_channels // groups, *kernel_size)
    weight = torch.randn(shape, dtype=dtype)
    bias = torch.randn(out_channels, dtype=dtype)
    return x, weight, bias, dict(options, groups=groups)


@pytest.fixture(params=['as groups', 'one by one'])
def samples(request, monkeypatch):
    """However many elements they have."""
    limit = 0 if request.param == 'one by one' else 2**60
    monkeypatch.setattr(batched_conv, '_MAX_FEATURES', limit)


@pytest.mark.core
@pytest.mark.parametrize('batch', [1, 3])
@pytest.mark.parametrize('name', CASES)
def test_against_loops(name, batch, samples):
    x, weight, bias, options = example(batch, **CASES[name])
    expected = sample_conv(x, weight, **options)
    y = per_sample_conv2d(x, weight, None, **options)
    torch.testing.assert_close(y, expected)
    y = per_sample_conv2d(x, weight, bias, **options)
    torch.testing.assert_close(y, expected + bias.view(-1, 1, 1))


@pytest.mark.core
@pytest.mark.parametrize('name', CASES)
def test_empty_batch(name):
    x, weight, bias, options = example(0, **CASES[name])
    weight.requires_grad_()
    y = per_sample_conv2d(x, weight, bias, **options)
    full = per_sample_conv2d(*example(2, **CASES[name])[:3], **options)
    assert y.shape == (0, *full.shape[1:])
    y.sum().backward()
    assert weight.grad.shape == weight.shape


def test_bias_per_sample():
    x, weight, _, options = example()
    bias = torch.randn(3, 6, dtype=torch.float64)
    y = per_sample_conv2d(x, weight, bias, **options)
    plain = per_sample_conv2d(x, weight, **options)
    torch.testing.assert_close(y, plain + bias[:, :, None, None])


@pytest.mark.parametrize('name', CASES)
def test_gradients(name, samples):
    x, weight, bias, options = example(2, **CASES[name])
    x = x[..., :5, :6].clone()
    inputs = [t.requires_grad_() for t in (x, weight, bias)]
    assert torch.autograd.gradcheck(
        lambda *t: per_sample_conv2d(*t, **options), inputs, fast_mode=True
    )


@pytest.mark.parametrize('name', ['plain', 'k1', 'k1 stride', 'groups'])
def test_memory_formats(name, samples):
    x, weight, bias, options = example(**CASES[name])
    expected = per_sample_conv2d(x, weight, bias, **options)
    strided = x.contiguous(memory_format=torch.channels_last)
    turned = x.mT.contiguous().mT
    permuted = weight.permute(0, 2, 1, 3, 4).contiguous()
    permuted = permuted.permute(0, 2, 1, 3, 4)
    for other in (strided, turned):
        y = per_sample_conv2d(other, permuted, bias, **options)
        torch.testing.assert_close(y, expected)


@pytest.mark.core
@pytest.mark.parametrize('mode', ['zeros', 'reflect', 'replicate', 'circular'])
@pytest.mark.parametrize(
    'padding', [(0, 0), (1, 2), (2, 0), 'same', 'valid'], ids=str
)
@pytest.mark.parametrize(
    'kernel_size, dilation',
    [((3, 3), (1, 1)), ((2, 4), (1, 1)), ((3, 2), (2, 3))],
    ids=str,
)
def test_padding_is_that_of_conv2d(kernel_size, dilation, padding, mode):
    conv = nn.Conv2d(
        2,
        3,
        kernel_size,
        padding=padding,
        dilation=dilation,
        padding_mode=mode,
        bias=False,
    )
    x = torch.randn(2, 2, 8, 9)
    padded, left = pad_input(x, padding, mode, kernel_size, dilation)
    y = nn.functional.conv2d(
        padded, conv.weight, padding=left, dilation=dilation
    )
    torch.testing.assert_close(y, conv(x))


@pytest.mark.parametrize('mode', ['reflect', 'replicate', 'circular'])
def test_padding_against_index_arithmetic(mode):
    x = torch.randn(1, 2, 4, 5)
    padded, left = pad_input(x, (2, 3), mode, (3, 3), (1, 1))
    assert left == (0, 0)
    assert torch.equal(padded, pad(x, (2, 3), (2, 3), mode))


@pytest.mark.parametrize('mode', ['zeros', 'reflect', 'replicate', 'circular'])
@pytest.mark.parametrize('kernel', [1, 2, 3, 4])
@pytest.mark.parametrize('stride', [(2, 2), (3, 1)], ids=str)
def test_same_padding_with_a_stride(stride, kernel, mode):
    """As TensorFlow's: ceil(size / stride) windows, centred on the input."""
    for size in ((7, 8), (9, 10)):
        x = torch.randn(1, 2, *size)
        padded, left = pad_input(
            x, 'same', mode, (kernel,) * 2, (1, 1), stride
        )
        assert left == (0, 0)
        before, after = [], []
        for n, s in zip(size, stride):
            spanned = (math.ceil(n / s) - 1) * s + kernel
            before.append(max(spanned - n, 0) // 2)
            after.append(max(spanned - n, 0) - before[-1])
        assert torch.equal(padded, pad(x, before, after, mode))


def test_zero_padding_is_left_to_the_convolution():
    x = torch.randn(1, 2, 4, 5)
    for padding, numbers in (
        ((1, 2), (1, 2)),
        ('same', (1, 2)),
        ('valid', (0, 0)),
    ):
        padded, left = pad_input(x, padding, 'zeros', (3, 5), (1, 1))
        assert padded is x
        assert left == numbers


def test_gradients_of_gradients(samples):
    x, weight, _, options = example(2, padding=(1, 0))
    inputs = [x[..., :4, :4].clone().requires_grad_(), weight.requires_grad_()]

    def function(x, weight):
        return per_sample_conv2d(x, weight, None, **options)

    assert torch.autograd.gradgradcheck(function, inputs)


@pytest.mark.parametrize(
    'features, kernel, path, one_by_one',
    [
        (64, 64, nullcontext, False),
        (65, 64, nullcontext, True),
        (64, 63, nullcontext, True),
        (65, 63, accelerator_path, False),
    ],
)
def test_small_samples_and_other_devices_have_groups(
    features, kernel, path, one_by_one, monkeypatch
):
    monkeypatch.setattr(batched_conv, '_MAX_FEATURES', 64)
    monkeypatch.setattr(batched_conv, '_MAX_KERNEL', kernel)
    x = torch.empty(features, 1, 1, 1)
    weight = torch.empty(features, 4, 1, 4, 4)
    options = batched_conv.ConvOptions()
    with path():
        assert batched_conv._one_by_one(x, weight, options) is one_by_one


@pytest.mark.skipif(
    not hasattr(torch.library, 'custom_op'),
    reason=f'torch {torch.__version__}: compiled samples are always groups',
)
@pytest.mark.parametrize('limit, convolutions', [(0, 3), (2**60, 1)])
def test_compiled_large_kernels_are_convolved_one_by_one(
    limit, convolutions, monkeypatch
):
    """In one graph for the first size of the maps, and one for the others."""
    monkeypatch.setattr(batched_conv, '_MAX_KERNEL', limit)
    torch._dynamo.reset()
    found = []

    def backend(graph, inputs):
        names = [str(node.target) for node in graph.graph.nodes]
        found.append(sum('conv2d' in name for name in names))
        return graph

    compiled = torch.compile(per_sample_conv2d, backend=backend)
    _, weight, _, _ = example()
    for side in (7, 9, 12):
        x = torch.randn(3, 4, side, 10, dtype=torch.float64)
        torch.testing.assert_close(
            compiled(x, weight), per_sample_conv2d(x, weight)
        )
    assert found == [convolutions] * 2


@pytest.mark.parametrize('name', CASES)
def test_groups_have_the_same_gradients(name, monkeypatch):
    x, weight, _, options = example(2, **CASES[name])
    inputs = [t.requires_grad_() for t in (x, weight)]
    results = []
    for limit in (0, 2**60):
        monkeypatch.setattr(batched_conv, '_MAX_FEATURES', limit)
        y = per_sample_conv2d(x, weight, None, **options)
        grads = torch.autograd.grad(y, inputs, y.detach().cos())
        results.append((y, *grads))
    torch.testing.assert_close(*results)
