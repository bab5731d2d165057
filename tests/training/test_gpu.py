"""FDConv on a GPU: what ``make test-gpu`` runs, see docs/performance.md.

Precise where the CPU is: TF32 is off.
"""

import copy

import pytest
import torch

from mmfdconv.layers import FDConv

from ..layers.helpers import activate_, relative_error

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not torch.cuda.is_available(),
        reason='no CUDA device: whether a GPU computes what a CPU does is '
        'not seen',
    ),
]

SHAPES = {
    '3x3': dict(in_channels=32, out_channels=48, kernel_size=3, padding=1),
    '1x1': dict(in_channels=32, out_channels=48, kernel_size=1),
    'grouped': dict(
        in_channels=32, out_channels=32, kernel_size=3, padding=1, groups=4
    ),
    'strided': dict(
        in_channels=32, out_channels=48, kernel_size=3, padding=1, stride=2
    ),
}


@pytest.fixture(autouse=True)
def _full_precision():
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision('highest')
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield
    torch.set_float32_matmul_precision(before)


def pair(shape):
    """The same layer on both; no real image has its spectrum."""
    layer = activate_(FDConv(**SHAPES[shape], kernel_num=16)).train()
    with torch.no_grad():
        layer.dft_weight.normal_()
    return layer, copy.deepcopy(layer).cuda()


@pytest.mark.parametrize('size', [(64, 64), (25, 37), (8, 600)], ids=str)
@pytest.mark.parametrize('shape', SHAPES)
def test_it_is_the_cpus_step(shape, size):
    on_cpu, on_gpu = pair(shape)
    # In float64, so that what differs is the GPU's rounding alone.
    on_cpu = on_cpu.double()
    copied = torch.randn(4, 32, *size, device='cuda', requires_grad=True)
    x = copied.detach().cpu().double().requires_grad_()
    y, found = on_cpu(x), on_gpu(copied)
    grad = torch.randn_like(found)
    y.backward(grad.cpu().double())
    found.backward(grad)
    assert relative_error(found.cpu(), y) < 1e-4
    assert relative_error(copied.grad.cpu(), x.grad) < 1e-4
    # A bias's own may be the small rest of a sum: with its weight's.
    for name, module in on_gpu.named_modules():
        pairs = [
            (p.grad.cpu().flatten(), other.grad.flatten())
            for p, other in zip(
                module.parameters(recurse=False),
                on_cpu.get_submodule(name).parameters(recurse=False),
            )
        ]
        if pairs:
            grads, others = map(torch.cat, zip(*pairs))
            assert relative_error(grads, others) < 1e-4, name


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('shape', SHAPES)
def test_a_step_in_mixed_precision(shape, dtype):
    on_cpu, on_gpu = pair(shape)
    x = torch.randn(4, 32, 25, 37)
    with torch.autocast('cuda', dtype):
        y = on_gpu(x.cuda())
    assert y.dtype == dtype
    assert relative_error(y.float().cpu(), on_cpu(x)) < 2e-2
    y.float().square().mean().backward()
    assert all(p.grad.isfinite().all() for p in on_gpu.parameters())


@pytest.mark.parametrize('shape', SHAPES)
def test_two_steps_are_equal_to_the_bit(shape):
    """No gradient is summed in an order that changes."""
    _, layer = pair(shape)
    x = torch.randn(4, 32, 24, 20, device='cuda')
    grads = []
    flags = dict(enabled=True, deterministic=True, allow_tf32=False)
    with torch.backends.cudnn.flags(**flags):
        for _ in range(2):
            layer.zero_grad()
            layer(x).square().sum().backward()
            grads.append(layer.dft_weight.grad.clone())
    assert torch.equal(*grads)


@pytest.mark.parametrize('shape', SHAPES)
def test_in_a_cuda_graph(shape):
    _, layer = pair(shape)
    layer.eval()
    x = torch.randn(4, 32, 24, 20, device='cuda')
    with torch.no_grad():
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            layer(x)  # what is made once is made
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            y = layer(x)
        x.normal_()
        graph.replay()
        expected = layer(x)
    torch.testing.assert_close(y, expected)


@pytest.mark.parametrize('shape', ['3x3', '1x1'])
def test_compiled(shape):
    _, layer = pair(shape)
    x = torch.randn(4, 32, 25, 37, device='cuda')
    compiled = torch.compile(copy.deepcopy(layer), fullgraph=True)
    y, expected = compiled(x), layer(x)
    assert relative_error(y, expected) < 1e-4
    y.square().mean().backward()
    expected.square().mean().backward()
    for own, other in zip(compiled.parameters(), layer.parameters()):
        assert relative_error(own.grad, other.grad) < 1e-3
