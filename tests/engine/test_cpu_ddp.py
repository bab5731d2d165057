"""DDP on CPUs: synchronised batch norm computes as one process would."""

import os

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mmengine.registry import MODEL_WRAPPERS
from torch import nn

from mmfdconv.engine.cpu_ddp import CpuSyncBatchNorm
from mmfdconv.engine.launch import close_process_group

from ..layers.helpers import relative_error
from ..processes import START, free_port

SIZES = (3, 1)  # images of the two processes
#: Mean and deviation of features far from 0.
FAR = [(100.0, 0.1), (100.0, 0.01), (1e4, 0.1)]


def build(sync):
    torch.manual_seed(0)
    norm = nn.SyncBatchNorm if sync else nn.BatchNorm2d
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3), norm(4), nn.ReLU(), norm(4, momentum=None)
    )
    with torch.no_grad():
        for p in net.parameters():
            p.add_(torch.randn_like(p))
    return net.double()


def images():
    torch.manual_seed(1)
    return torch.randn(sum(SIZES), 3, 7, 6, dtype=torch.double)


def train(net, x):
    """Two steps; the loss is a sum, so that batches of any size add up."""
    for _ in range(2):
        loss = net(x).pow(3).sum()
        loss.backward()


def far_from_zero(mean, std):
    """Features of both processes, and gradients of their outputs."""
    torch.manual_seed(2)
    x = mean + std * torch.randn(sum(SIZES), 4, 16, 16)
    return x, torch.randn(x.shape)


def normalise(norm, x, grad):
    x = x.clone().requires_grad_()
    y = norm(x)
    y.backward(grad)
    return dict(
        y=y.detach(),
        grad=x.grad,
        mean=norm.running_mean,
        var=norm.running_var,
    )


def sync_norm():
    norm = nn.SyncBatchNorm(4)
    norm.__class__ = CpuSyncBatchNorm
    return norm


def _process(rank, port, out_dir):
    os.environ.update(MASTER_ADDR='127.0.0.1', MASTER_PORT=port)
    torch.set_num_threads(1)
    dist.init_process_group('gloo', rank=rank, world_size=len(SIZES))
    model = MODEL_WRAPPERS.build(
        dict(
            type='CpuDistributedDataParallel',
            module=build(sync=True),
            broadcast_buffers=False,
        )
    )
    assert isinstance(model.module[1], CpuSyncBatchNorm)
    train(model, images().split(SIZES)[rank])
    result = dict(
        state=model.module.state_dict(),
        grads=[p.grad for p in model.parameters()],
        test=model.module.eval()(images()),
        far=[
            normalise(
                sync_norm(), *(t.split(SIZES)[rank] for t in far_from_zero(*f))
            )
            for f in FAR
        ],
    )
    torch.save(result, f'{out_dir}/{rank}.pth')
    close_process_group()


@pytest.mark.slow
def test_two_processes_compute_as_one(tmp_path):
    mp.start_processes(
        _process, (free_port(), str(tmp_path)), nprocs=len(SIZES), **START
    )
    one = build(sync=False)
    train(one, images())
    test = one.eval()(images())
    for rank in range(len(SIZES)):
        two = torch.load(tmp_path / f'{rank}.pth', weights_only=False)
        for key, value in one.state_dict().items():
            torch.testing.assert_close(two['state'][key], value)
        for grad, p in zip(two['grads'], one.parameters()):
            # DDP takes the mean over the processes
            torch.testing.assert_close(grad * len(SIZES), p.grad)
        torch.testing.assert_close(two['test'], test)
        for case, found in zip(FAR, two['far']):
            # in float64, of the same float32 values
            x, grad = (t.double() for t in far_from_zero(*case))
            expected = normalise(nn.BatchNorm2d(4).double(), x, grad)
            for key in ('y', 'grad'):
                expected[key] = expected[key].split(SIZES)[rank]
            for key, value in expected.items():
                error = relative_error(found[key], value)
                assert error < 1e-5, (case, key, error)


@pytest.mark.core
def test_one_process_is_plain_batch_norm():
    one, other = build(sync=False), build(sync=True)
    for layer in other:
        if isinstance(layer, nn.SyncBatchNorm):
            layer.__class__ = CpuSyncBatchNorm
    for mode in (True, False):
        one.train(mode), other.train(mode)
        torch.testing.assert_close(other(images()), one(images()))
    for key, value in one.state_dict().items():
        torch.testing.assert_close(other.state_dict()[key], value)


@pytest.mark.skipif(
    not hasattr(torch.library, 'custom_op'),
    reason=f'torch {torch.__version__} is older than 2.4: not compiled',
)
def test_compiled_gradients_have_the_sums_of_processes():
    fake = pytest.importorskip('torch.testing._internal.distributed.fake_pg')
    dist.init_process_group(
        'fake', store=fake.FakeStore(), rank=0, world_size=2
    )
    try:
        model = MODEL_WRAPPERS.build(
            dict(
                type='CpuDistributedDataParallel',
                module=nn.Sequential(nn.SyncBatchNorm(4)),
                broadcast_buffers=False,
            )
        )
        norm, data = model.module[0], far_from_zero(0, 1)
        eager = normalise(norm, *data)['grad']
        compiled = torch.compile(norm, backend='aot_eager')
        torch.testing.assert_close(normalise(compiled, *data)['grad'], eager)
    finally:
        dist.destroy_process_group()
