"""SyncBatchNorm in place of BatchNorm, in the backbone and in routers.

It trains across processes on GPUs only. What is tested here is all around
that: conversion, one process, evaluation, and the way back.
"""

import copy

import pytest
import torch
import torch.distributed as dist
from mmengine.model import convert_sync_batchnorm, revert_sync_batchnorm
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmfdconv.layers.routers import RouterBatchNorm, normalise

from .helpers import build_backbone, dynamic_layers, gradients, images, loss_of

pytestmark = pytest.mark.core

CONVERSIONS = {
    'torch': nn.SyncBatchNorm.convert_sync_batchnorm,
    'mmengine': convert_sync_batchnorm,
}
conversions = pytest.mark.parametrize(
    'convert', CONVERSIONS.values(), ids=CONVERSIONS
)


def norms(model):
    return [m for m in model.modules() if isinstance(m, _BatchNorm)]


def assert_same_training_step(model, other, x):
    for net in (model, other):
        net.train()
        net.zero_grad()
    outs, expected = model(x), other(x)
    for out, value in zip(outs, expected):
        torch.testing.assert_close(out, value)
    loss_of(outs).backward()
    loss_of(expected).backward()
    grads = gradients(other)
    for name, grad in gradients(model).items():
        torch.testing.assert_close(grad, grads[name], msg=name)
    state = other.state_dict()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, state[name], msg=name)


@conversions
def test_conversion_keeps_what_the_model_is(method, convert):
    plain = build_backbone(method)
    model = convert(copy.deepcopy(plain))
    assert type(model) is type(plain)
    assert {type(m) for m in norms(model)} == {nn.SyncBatchNorm}
    in_routers = 16 if method == 'FDConv' else 0
    assert len(norms(model)) == len(norms(plain)) == 20 + in_routers
    expected = plain.state_dict()
    assert list(model.state_dict()) == list(expected)
    for name, value in model.state_dict().items():
        assert value.equal(expected[name]), name
    x = images()
    for out, other in zip(model.eval()(x), plain.eval()(x)):
        assert out.equal(other)


@pytest.mark.parametrize('batch', [1, 2])
@conversions
def test_the_way_back(method, convert, batch):
    plain = build_backbone(method)
    model = revert_sync_batchnorm(convert(copy.deepcopy(plain)))
    assert nn.SyncBatchNorm not in {type(m) for m in norms(model)}
    assert list(model.state_dict()) == list(plain.state_dict())
    x = images(batch)
    for out, other in zip(model.eval()(x), plain.eval()(x)):
        assert out.equal(other)
    assert_same_training_step(model, plain, x)


@pytest.mark.parametrize('batch', [1, 2])
@conversions
def test_one_process_trains_as_before(method, convert, batch):
    # Also one image: a router without statistics takes the running ones.
    plain = build_backbone(method)
    model = convert(copy.deepcopy(plain))
    assert_same_training_step(model, plain, images(batch))


@conversions
def test_frozen_statistics_stay_frozen(method, convert):
    model = convert(build_backbone(method, frozen_stages=1))
    model.norm_eval = True
    model.train()
    assert not any(norm.training for norm in norms(model))
    for layer in dynamic_layers(model):
        assert all(p.requires_grad for p in layer.router_parameters())
    before = copy.deepcopy(model.state_dict())
    loss_of(model(images())).backward()
    for name, value in model.state_dict().items():
        assert value.equal(before[name]), name


def test_half_precision_weights_normalise_wide_features():
    # A router computes in float32, whatever its weights are stored in.
    norm = RouterBatchNorm(3)
    norm.running_mean.fill_(0.5)
    x = torch.rand(2, 3)
    expected = norm.eval()(x)
    for layer in (norm, convert_sync_batchnorm(norm)):
        y = normalise(layer.eval().bfloat16(), x)
        assert y.dtype == torch.float32
        torch.testing.assert_close(y, expected, rtol=1e-2, atol=1e-2)
        layer.float()


@pytest.fixture
def two_processes():
    """A process group of two, the other one imaginary."""
    fake = pytest.importorskip('torch.testing._internal.distributed.fake_pg')
    dist.init_process_group(
        'fake', store=fake.FakeStore(), rank=0, world_size=2
    )
    yield
    dist.destroy_process_group()


@pytest.mark.parametrize('batch', [1, 2])
def test_every_process_takes_part_whatever_its_batch(two_processes, batch):
    # One that went its own way with a single image would leave the others
    # waiting. On a CPU the layer refuses, which shows that it was asked.
    x = torch.rand(batch, 3)
    norm = convert_sync_batchnorm(RouterBatchNorm(3)).train()
    with pytest.raises(ValueError, match='on GPU'):
        normalise(norm, x)
    # One that is not synchronised decides for itself, as does inference.
    assert normalise(RouterBatchNorm(3).train(), x).shape == x.shape
    assert normalise(norm.eval(), x).shape == x.shape
