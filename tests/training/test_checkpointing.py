"""Gradient checkpointing: the blocks' own, and MMEngine's for any module.

A checkpointed block runs forward twice in a step. What must not differ is
what training sees, loss and gradients; running statistics are updated twice,
those of the routers as those of the stock batch norms.
"""

import copy

import pytest
import torch
from mmengine.runner.activation_checkpointing import (
    turn_on_activation_checkpointing,
)

from ..layers.helpers import relative_error
from .helpers import (
    build_backbone,
    build_runner,
    classifier,
    gradients,
    images,
    loss_of,
)

pytestmark = [
    pytest.mark.core,
    # MMEngine leaves the kind of checkpointing to torch, which minds.
    pytest.mark.filterwarnings('ignore:.*use_reentrant'),
]


def step(model, x, bfloat16=False):
    """Loss of one training step; gradients are left in the model."""
    with torch.autocast('cpu', torch.bfloat16, enabled=bfloat16):
        outs = model(x)
    loss = loss_of(outs)
    loss.backward()
    return loss


def assert_same_step(model, other, x):
    """In float64: where paths meet, gradients are summed in another order."""
    model.double(), other.double()
    x = x.double()
    torch.testing.assert_close(step(model, x), step(other, x))
    expected = gradients(other)
    for name, grad in gradients(model).items():
        assert grad is not None, name
        torch.testing.assert_close(grad, expected[name], msg=name)


def updates(model):
    """How often the statistics of every batch norm were updated."""
    return {
        name[: -len('.num_batches_tracked')]: value.item()
        for name, value in model.named_buffers()
        if name.endswith('num_batches_tracked')
    }


@pytest.mark.parametrize('batch', [1, 2])
def test_with_cp(method, batch):
    plain = build_backbone(method).train()
    model = build_backbone(method, with_cp=True).train()
    model.load_state_dict(plain.state_dict())
    assert_same_step(model, plain, images(batch))


def test_with_cp_in_bfloat16(method):
    plain = build_backbone(method).train()
    model = build_backbone(method, with_cp=True).train()
    model.load_state_dict(plain.state_dict())
    x = images(4)
    assert step(model, x, bfloat16=True) == step(plain, x, bfloat16=True)
    flat, expected = (
        torch.cat([grad.flatten() for grad in gradients(net).values()])
        for net in (model, plain)
    )
    assert flat.dtype == torch.float32
    # Where paths meet, gradients are summed in another order, and in
    # bfloat16: the stock ResNet's differ by 1e-2.
    assert relative_error(flat, expected) < 5e-2


def test_with_cp_updates_all_statistics_alike(method):
    model = build_backbone(method, with_cp=True).train()
    before = copy.deepcopy(model.state_dict())
    step(model, images(2))
    counts = updates(model)
    assert counts.pop('bn1') == 1  # the stem is not checkpointed
    # The routers' as the stock ones: once per forward pass.
    assert set(counts.values()) == {2}
    routers = [name for name in counts if '.KSM_Global.' in name]
    assert len(routers) == (16 if method == 'FDConv' else 0)
    for name in counts:
        key = f'{name}.running_mean'
        assert not model.state_dict()[key].equal(before[key]), key


def test_a_single_image_leaves_the_routers_statistics(method):
    model = build_backbone(method, with_cp=True).train()
    before = copy.deepcopy(model.state_dict())
    step(model, images(1))
    for name, value in model.state_dict().items():
        if '.KSM_Global.bn.running' in name:
            assert value.equal(before[name]), name


@pytest.mark.parametrize(
    'modules',
    [
        ['layer2', 'layer4'],
        ['layer1.0.conv1', 'layer3.1.conv2'],  # dynamic layers themselves
    ],
    ids=str,
)
def test_turned_on_by_mmengine(method, modules):
    plain = build_backbone(method).train()
    model = copy.deepcopy(plain)
    calls = []
    for name in modules:
        model.get_submodule(name).register_forward_pre_hook(
            lambda *args: calls.append(args)
        )
    turn_on_activation_checkpointing(model, modules)
    # Below a checkpoint of the reentrant kind nothing is trained if its
    # input needs no gradient, so the stem has to.
    assert_same_step(model, plain, images())
    assert len(calls) == len(modules)
    assert set(updates(model).values()) == {1, 2} or method == 'FADConv'


def test_in_a_run(method, tmp_path):
    plain, model = classifier(method), classifier(method)
    build_runner(plain, tmp_path / 'plain', iters=1).train()
    build_runner(
        model,
        tmp_path / 'checkpointed',
        iters=1,
        cfg=dict(activation_checkpointing=['backbone.layer2']),
    ).train()
    counts = updates(model)
    assert counts['backbone.layer2.0.bn1'] == 2
    assert counts['backbone.layer3.0.bn1'] == 1
    expected = dict(plain.named_parameters())
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter, expected[name], msg=name)
