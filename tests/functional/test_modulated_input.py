"""FDConv's input: a fast pair of passes against the equation."""

import functools

import pytest
import torch

from mmfdconv.functional import (
    BandOptions,
    ModulatedInput,
    apply_stage,
    band_maps,
    frequency_bands,
)

from .helpers import assert_same_with_gradients

pytestmark = pytest.mark.core

OCTAVES = (2, 4, 8)


def make(act='sigmoid', groups=1, bands=3, channels=36, kernel=3):
    """A stage and its tensors."""
    k_list = OCTAVES[:1] if bands == 1 else OCTAVES
    stage = ModulatedInput(BandOptions(k_list, act, groups))
    shapes = (
        (2, channels, 7, 10),
        (2, channels, 1, 1),
        (groups * bands, channels // groups, kernel, kernel),
        (groups * bands,),
    )
    x, channel, weight, bias = (
        torch.randn(shape, dtype=torch.double) for shape in shapes
    )
    tensors = x, channel, weight / 10, bias
    return stage, [t.requires_grad_() for t in tensors]


@pytest.mark.parametrize('act', ['sigmoid', 'tanh', 'softmax'])
@pytest.mark.parametrize(
    'options',
    [
        dict(),  # 27 products of 36 channels, a matrix product
        dict(channels=8),  # a convolution
        dict(groups=2, bands=4),
        dict(bands=1, kernel=5),
    ],
    ids=str,
)
def test_passes_are_the_equation(act, options):
    stage, tensors = make(act, **options)
    assert_same_with_gradients(
        functools.partial(apply_stage, stage), stage.plain, tensors
    )


@pytest.mark.parametrize('act', ['sigmoid', 'tanh', 'softmax'])
def test_the_equation(act):
    stage, (x, channel, weight, bias) = make(act, groups=2, bands=4)
    maps = band_maps(x, weight, bias, act, 2)
    expected = sum(
        maps[:, :, i].repeat_interleave(18, dim=1) * band
        for i, band in enumerate(frequency_bands(x, OCTAVES))
    )
    torch.testing.assert_close(
        stage.plain(x, channel, weight, bias), expected * channel
    )


@pytest.mark.parametrize('act', ['sigmoid', 'tanh', 'softmax'])
def test_maps(act):
    _, (x, _, weight, bias) = make(groups=2)
    logit = torch.nn.functional.conv2d(x, weight, bias, padding=1, groups=2)
    logit = logit.view(2, 2, 3, 7, 10)
    expected = dict(
        sigmoid=2 * logit.sigmoid(),
        tanh=1 + logit.tanh(),
        softmax=2 * logit.softmax(1),
    )
    torch.testing.assert_close(
        band_maps(x, weight, bias, act, 2), expected[act]
    )


def test_gradients():
    stage, tensors = make(channels=4, groups=2, bands=4)
    run = functools.partial(apply_stage, stage)
    assert torch.autograd.gradcheck(run, tensors)
    assert torch.autograd.gradgradcheck(run, tensors)


def test_gates_alone():
    x, channel = (torch.randn(2, 3, *s).double() for s in ((4, 5), (1, 1)))
    stage = ModulatedInput(None)
    assert_same_with_gradients(
        lambda x, channel: apply_stage(stage, x, channel, None, None),
        torch.mul,
        [x.requires_grad_(), channel.requires_grad_()],
    )


def test_nothing_at_all():
    x = torch.randn(2, 3, 4, 5).double().requires_grad_()
    y = apply_stage(ModulatedInput(None), x, None, None, None)
    assert torch.equal(y, x)
    (grad,) = torch.autograd.grad(y.square().sum(), x)
    torch.testing.assert_close(grad, 2 * x)


def test_memo_spares_work_and_changes_nothing():
    stage, tensors = make()
    with torch.no_grad():
        first, memo, _ = stage.forward(tensors)
        again, _, _ = stage.forward(tensors, memo)
    assert torch.equal(first, again)
    x = tensors[0]
    assert sum(t.numel() for t in memo) < 0.5 * x.numel()
    assert all(len(t) == len(x) for t in memo)


def test_half_precision_comes_back_as_it_came():
    dtype = torch.bfloat16
    stage, tensors = make()
    expected = stage.plain(*tensors)
    wanted = torch.autograd.grad(expected.sum(), tensors)
    x = tensors[0].detach().to(dtype).requires_grad_()
    others = [t.detach().float().requires_grad_() for t in tensors[1:]]
    y = apply_stage(stage, x, *others)
    assert y.dtype == dtype
    grads = torch.autograd.grad(y.float().sum(), [x, *others])
    assert grads[0].dtype == dtype
    for found, other in zip((y, *grads), (expected, *wanted)):
        scale = other.abs().max().item()
        torch.testing.assert_close(
            found.double(), other, rtol=0.05, atol=0.05 * scale
        )
