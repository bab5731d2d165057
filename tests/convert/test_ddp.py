"""Two CPU processes under DDP: routers of frozen stages are all-reduced."""

import os

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

pytest.importorskip('mmdet')

from mmfdconv.engine.launch import close_process_group

from ..processes import START, free_port

BACKBONE = dict(
    type='mmdet.ResNet',
    depth=18,
    base_channels=8,
    frozen_stages=1,
    norm_eval=True,
    norm_cfg=dict(type='BN', requires_grad=True),
)


def _step(rank, port, out_dir):
    import mmdet.models  # noqa: F401
    from mmengine.model import MMDistributedDataParallel
    from mmengine.registry import MODELS

    import mmfdconv  # noqa: F401

    os.environ.update(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port))
    torch.set_num_threads(1)
    dist.init_process_group('gloo', rank=rank, world_size=2)
    torch.manual_seed(rank)  # DDP itself must make the parameters equal
    model = MODELS.build(
        dict(
            type='DynamicBackbone',
            backbone=BACKBONE,
            conv_cfg=dict(type='FDConv', kernel_num=4),
        )
    )
    start = {n: p.detach().clone() for n, p in model.named_parameters()}
    ddp = MMDistributedDataParallel(module=model, broadcast_buffers=False)
    optimizer = torch.optim.SGD(
        (p for p in model.parameters() if p.requires_grad), lr=0.1
    )
    ddp.train()
    for _ in range(2):
        optimizer.zero_grad()
        outs = ddp(torch.randn(1, 3, 96, 96))
        sum(out.square().mean() for out in outs).backward()
        optimizer.step()
    reached = [
        n
        for n, p in model.named_parameters()
        if n.startswith('layer1') and p.grad is not None
    ]
    torch.save(
        dict(start=start, end=model.state_dict(), reached=reached),
        f'{out_dir}/{rank}.pth',
    )
    close_process_group()


@pytest.mark.slow
def test_every_rank_holds_the_same_parameters(tmp_path):
    mp.start_processes(_step, (free_port(), str(tmp_path)), nprocs=2, **START)
    a, b = (torch.load(tmp_path / f'{rank}.pth') for rank in (0, 1))
    for name, value in a['end'].items():
        assert value.equal(b['end'][name]), name
    routers = [
        n
        for n in a['start']
        if n.startswith('layer1') and ('KSM' in n or 'FBM' in n)
    ]
    assert set(routers) == set(a['reached'])
    for name in routers:
        if 'kernel_fc' in name or 'freq_weight_conv_list.0' in name:
            assert not a['end'][name].equal(a['start'][name]), name
    # The frozen weights are those of rank 0, as DDP laid them down.
    for name, value in a['start'].items():
        if name.startswith('layer1') and name not in routers:
            assert a['end'][name].equal(value), name
