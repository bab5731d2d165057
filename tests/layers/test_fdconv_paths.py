"""FDConv by a CPU's path and by an accelerator's, where people train."""

import copy

import pytest
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from mmfdconv.analysis.speed import saved_bytes
from mmfdconv.functional import operators
from mmfdconv.layers import FDConv

from .helpers import activate_, make_layer, relative_error

ARGS = dict(in_channels=4, out_channels=6, kernel_size=3, padding=1)
TORCH = tuple(int(v) for v in torch.__version__.split('.')[:2])

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


@pytest.mark.slow
@pytest.mark.parametrize('kernel_size', [1, 3])
def test_compiled_it_keeps_no_more(kernel_size, path, monkeypatch):
    """And is one graph for any size, with a CPU's passes by hand in it."""
    if TORCH < (2, 4):
        pytest.skip(f'torch {torch.__version__} cannot trace complex tensors')
    by_hand = []
    for name in ('modulate_forward', 'bands_forward'):
        own = getattr(operators, name)
        monkeypatch.setattr(
            operators, name, lambda *a, f=own: by_hand.append(f) or f(*a)
        )
    padding = kernel_size // 2
    args = dict(ARGS, kernel_size=kernel_size, padding=padding)
    layer = activate_(FDConv(**args)).eval()
    # Other tests' graphs of the same code count to the limit of graphs.
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    # The tracer is what a layer can break; the code generator needs a
    # compiler and minutes.
    compiled = torch.compile(layer, backend='aot_eager', fullgraph=True)
    for size in ((8, 7), (12, 9), (5, 10)):
        x = torch.randn(2, 4, *size, requires_grad=True)
        wanted = [x, *layer.parameters()]
        y, expected = compiled(x), layer(x)
        assert relative_error(y, expected) < 1e-4
        for grad, other in zip(
            torch.autograd.grad(y.square().sum(), wanted),
            torch.autograd.grad(expected.square().sum(), wanted),
        ):
            assert relative_error(grad, other) < 1e-4
        kept = saved_bytes(lambda: compiled(x), layer)  # noqa: B023
        assert kept <= saved_bytes(lambda: layer(x), layer)  # noqa: B023
    assert bool(by_hand) == (path == 'cpu')
    assert torch._dynamo.utils.counters['stats']['unique_graphs'] == 2
