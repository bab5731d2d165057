"""Batches and images of any size and layout."""

import copy

import pytest
import torch

from ..layers.helpers import relative_error
from .helpers import build_backbone, gradients, images, loss_of

pytestmark = pytest.mark.core


def test_batch_of_one_in_training(method):
    model = build_backbone(method).train()
    outs = model(images(1))
    loss_of(outs).backward()
    for name, grad in gradients(model).items():
        assert grad is not None and grad.isfinite().all(), name


def test_batch_of_one_trains_as_it_infers(method):
    # With frozen statistics, as detectors are trained at one image per GPU.
    model = build_backbone(method)
    model.norm_eval = True
    x = images(1)
    for out, other in zip(model.train()(x), model.eval()(x)):
        assert out.equal(other)


@pytest.mark.parametrize('norm_eval', [True, False])
def test_empty_batch(method, norm_eval):
    model = build_backbone(method)
    model.norm_eval = norm_eval
    statistics = {n: b.clone() for n, b in model.named_buffers()}
    if norm_eval:
        model.train()
    else:  # the stock batch norms refuse an empty batch in training
        model.eval()
    x = images(2)[:0].requires_grad_()
    outs = model(x)
    assert [out.shape[:2] for out in outs] == [
        (0, 8 * 2**stage) for stage in range(4)
    ]
    sum(out.sum() for out in outs).backward()
    assert x.grad.shape == x.shape
    for name, grad in gradients(model).items():
        # None of it may stay away, or DDP waits for it.
        assert grad is not None and not grad.any(), name
    for name, buffer in model.named_buffers():
        assert buffer.equal(statistics[name]), name


def test_sizes_from_step_to_step(method):
    sizes = [(64, 64), (48, 80), (65, 33), (37, 71), (33, 33), (64, 64)]
    model = build_backbone(method).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    for number, size in enumerate(sizes):
        x = images(2, size, seed=number)
        # One that has seen no other size before.
        expected = copy.deepcopy(model)(x)
        optimizer.zero_grad()
        outs = model(x)
        for out, other in zip(outs, expected):
            assert out.equal(other), size
        loss_of(outs).backward()
        for name, grad in gradients(model).items():
            assert grad is not None and grad.isfinite().all(), (size, name)
        optimizer.step()


@pytest.mark.parametrize('batch', [1, 2])
def test_channels_last(method, batch):
    model = build_backbone(method).train().double()
    last = copy.deepcopy(model).to(memory_format=torch.channels_last)
    x = images(batch, (64, 49), dtype=torch.float64)
    x_last = x.clone(memory_format=torch.channels_last)
    assert last.conv1.weight.is_contiguous(memory_format=torch.channels_last)
    outs, others = model(x), last(x_last)
    for out, other in zip(outs, others):
        assert relative_error(other, out) < 1e-10
    loss_of(outs).backward()
    loss_of(others).backward()
    expected = gradients(model)
    for name, grad in gradients(last).items():
        # The loss is float32.
        assert relative_error(grad, expected[name]) < 1e-6, name
