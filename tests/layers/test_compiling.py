"""Layers that are compiled one by one."""

import copy
import pickle

import pytest
import torch

from mmfdconv.layers import CondConv, CondLinear, FDConv, KWConv, Warehouse

from .helpers import activate_, relative_error

pytestmark = pytest.mark.core

HAS_OPERATORS = hasattr(torch.library, 'custom_op')
needs_operators = pytest.mark.skipif(
    not HAS_OPERATORS,
    reason=f'torch {torch.__version__} is older than 2.4: not compiled',
)


@pytest.mark.skipif(HAS_OPERATORS, reason='torch is new enough')
def test_an_old_torch_is_refused():
    with pytest.raises(RuntimeError, match='needs torch 2.4 or later, got'):
        FDConv(4, 4, 1).compile()


@needs_operators
def test_it_computes_the_same(path):
    layer = activate_(FDConv(4, 6, 3, padding=1)).eval()
    compiled = copy.deepcopy(layer)
    compiled.compile(backend='aot_eager', fullgraph=True)
    x = torch.randn(2, 4, 8, 7)
    expected, y = layer(x), compiled(x)
    assert y.grad_fn.name() == 'CompiledFunctionBackward'
    assert relative_error(y, expected) < 1e-4
    for own, other in zip(
        torch.autograd.grad(y.square().sum(), compiled.parameters()),
        torch.autograd.grad(expected.square().sum(), layer.parameters()),
    ):
        assert relative_error(own, other) < 1e-4


@needs_operators
def test_options_may_be_dicts():
    """As torch.compile's own ``options`` for a backend are."""
    asked = []

    def backend(graph, inputs, options):
        asked.append(options)
        return graph.forward

    for depth in (1, 2):
        layer = CondConv(2, 2, 1, num_experts=2)
        layer.compile(backend=backend, options=dict(depth=depth))
        assert layer(torch.rand(1, 2, 4, 4)).shape == (1, 2, 4, 4)
    assert asked == [dict(depth=1), dict(depth=2)]


@needs_operators
@pytest.mark.parametrize('cls', [CondConv, CondLinear])
def test_many_shapes_and_copies(cls):
    """PyTorch gives up at nine graphs of one function."""
    graphs = []

    def count(graph, inputs):
        graphs.append(graph)
        return graph.forward

    torch._dynamo.reset()
    widths = range(2, 13)
    for width in widths:
        args = (width, width) if cls is CondLinear else (width, width, 1)
        layer = activate_(cls(*args, num_experts=2)).eval()
        x = torch.randn(2, 3, 5, width).movedim(-1, layer_dim(cls))
        expected = layer(x)
        layer.compile(backend=count)
        torch.testing.assert_close(layer(x), expected)
        assert len(graphs) == width - 1
        for twin in (copy.deepcopy(layer), cls(*args, num_experts=2).eval()):
            twin.load_state_dict(layer.state_dict())
            twin.compile(backend=count)
            torch.testing.assert_close(twin(x), expected)
    assert len(graphs) == len(widths)


@needs_operators
@pytest.mark.parametrize('ratio, number', [(1, 1), (0.5, 10)])
def test_equal_layers_of_a_warehouse(ratio, number):
    """Ten: PyTorch gives up at nine graphs of one function."""
    graphs = []

    def count(graph, inputs):
        graphs.append(graph)
        return graph.forward

    torch._dynamo.reset()
    warehouse = Warehouse([[(4, 4, 1, 1)] * 10])
    for index in range(10):
        layer = KWConv(
            4,
            4,
            1,
            warehouse=warehouse,
            layer_index=index,
            nonlocal_basis_ratio=ratio,
            temperature=0.5,
        )
        layer = activate_(layer).eval()
        x = torch.randn(2, 4, 3, 5)
        expected = layer(x)
        layer.compile(backend=count)
        torch.testing.assert_close(layer(x), expected)
    assert len(graphs) == number


def layer_dim(cls):
    """Where channels are."""
    return -1 if cls is CondLinear else 1


@needs_operators
def test_a_file_holds_no_graph():
    layer = activate_(CondConv(3, 4, 1, num_experts=2)).eval()
    layer.compile(backend='eager')
    x = torch.randn(2, 3, 4, 4)
    expected = layer(x)
    again = pickle.loads(pickle.dumps(layer))
    torch.testing.assert_close(again(x), expected)
