"""KernelWarehouse with checkpointed blocks, alone and under DDP."""

import copy
import os
import pickle

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

pytest.importorskip('mmdet')

from mmfdconv.engine.launch import close_process_group

from ..processes import START, free_port

pytestmark = pytest.mark.core


def build(with_cp=True):
    import mmdet.models  # noqa: F401
    from mmengine.registry import MODELS

    import mmfdconv  # noqa: F401

    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type='DynamicBackbone',
            backbone=dict(
                type='mmdet.ResNet',
                depth=18,
                base_channels=8,
                norm_eval=True,
                with_cp=with_cp,
            ),
            conv_cfg=dict(type='KWConv', temperature=0.5),
        )
    )
    return model.double().train()


def gradients(model, x):
    sum(out.square().mean() for out in model(x)).backward()
    return {n: p.grad for n, p in model.named_parameters()}


def test_the_gradients_are_those_without():
    x = torch.randn(2, 3, 64, 64, dtype=torch.double)
    model, plain = build(), build(with_cp=False)
    assert not any(m.with_cp for m in model.layer1)
    calls = []
    model.layer2[1].conv1.register_forward_pre_hook(
        lambda *args: calls.append(args)
    )
    expected = gradients(plain, x)
    for name, grad in gradients(model, x).items():
        torch.testing.assert_close(grad, expected[name], msg=name)
    assert len(calls) == 2  # forward, and again in the backward pass
    with torch.no_grad():
        model(x)
    assert len(calls) == 3


def test_copies_checkpoint_their_own_blocks():
    x = torch.randn(1, 3, 64, 64, dtype=torch.double)
    model = build()
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert other.layer1[0].forward.module is other.layer1[0]
        gradients(other, x)
        assert other.layer1[0].conv1.attention.fc1.weight.grad is not None
    assert model.layer1[0].conv1.attention.fc1.weight.grad is None


def _step(rank, port, out_dir):
    from mmengine.model import MMDistributedDataParallel

    os.environ.update(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port))
    torch.set_num_threads(1)
    dist.init_process_group('gloo', rank=rank, world_size=2)
    ddp = MMDistributedDataParallel(module=build(), broadcast_buffers=False)
    torch.manual_seed(rank)
    x = torch.randn(1, 3, 64, 64, dtype=torch.double)
    sum(out.square().mean() for out in ddp(x)).backward()
    grads = {n: p.grad for n, p in ddp.module.named_parameters()}
    torch.save(dict(x=x, grads=grads), f'{out_dir}/{rank}.pth')
    close_process_group()


@pytest.mark.slow
def test_two_processes(tmp_path):
    mp.start_processes(_step, (free_port(), str(tmp_path)), nprocs=2, **START)
    a, b = (torch.load(tmp_path / f'{rank}.pth') for rank in (0, 1))
    expected = [gradients(build(with_cp=False), r['x']) for r in (a, b)]
    for name, grad in a['grads'].items():
        assert grad.equal(b['grads'][name]), name
        mean = (expected[0][name] + expected[1][name]) / 2
        torch.testing.assert_close(grad, mean, msg=name)
