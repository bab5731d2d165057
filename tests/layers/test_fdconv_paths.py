"""FDConv by a CPU's path and by an accelerator's, where people train."""

import copy

import pytest
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from mmfdconv.layers import FDConv

from .helpers import activate_, make_layer, relative_error

ARGS = dict(in_channels=4, out_channels=6, kernel_size=3, padding=1)

pytestmark = pytest.mark.core


@pytest.mark.parametrize('options', [{}, dict(kernel_size=1, padding=0)])
def test_a_step_under_autocast(options, path):
    layer = activate_(FDConv(**{**ARGS, **options})).train()
    reference = copy.deepcopy(layer)
    x = torch.randn(2, 4, 8, 7)
    expected = reference(x)
    with torch.autocast('cpu', torch.bfloat16):
        y = layer(x)
    assert y.dtype == torch.bfloat16
    assert 0 < relative_error(y.float(), expected) < 2e-2
    y.float().square().sum().backward()
    expected.square().sum().backward()
    for own, other in zip(layer.parameters(), reference.parameters()):
        assert own.grad.dtype == torch.float32
        assert relative_error(own.grad, other.grad) < 5e-2


def test_steps_under_data_parallelism(tmp_path, path):
    """Its hooks count gradients; kernels are made twice, these are not."""
    layer = make_layer(ARGS).train()
    alone = copy.deepcopy(layer)
    store = f'file://{tmp_path}/store'
    dist.init_process_group('gloo', init_method=store, rank=0, world_size=1)
    try:
        parallel = DistributedDataParallel(layer)
        for _ in range(2):
            x = torch.randn(2, 4, 8, 7, dtype=torch.float64)
            for module in (parallel, alone):
                module.zero_grad()
                module(x).square().sum().backward()
            for own, other in zip(layer.parameters(), alone.parameters()):
                torch.testing.assert_close(own.grad, other.grad)
    finally:
        dist.destroy_process_group()
