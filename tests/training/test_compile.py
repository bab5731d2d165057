"""``torch.compile``: one graph, the same numbers, at any image size.

The tracer is what a layer can break, so it is run by itself (``aot_eager``);
to generate and compile code for one layer takes a minute more.
"""

import copy

import pytest
import torch
from torch import nn

from mmfdconv import layers

from ..layers.helpers import activate_, relative_error
from .helpers import (
    METHODS,
    build_backbone,
    first_stages,
    gradients,
    images,
    loss_of,
)

TORCH = tuple(int(v) for v in torch.__version__.split('.')[:2])
pytestmark = pytest.mark.skipif(
    TORCH < (2, 4),
    reason=f'the compiler of torch {torch.__version__} cannot trace complex '
    'tensors',
)
# The float32 promise of the project.
RTOL = 1e-4
# Compiled, FBM goes by FFTs, and otherwise by matrix products. In float64
# their rounding does not hide anything else.
RTOL_DOUBLE = 1e-9
SIZES = [(32, 32), (48, 40), (33, 47)]


@pytest.fixture(autouse=True)
def _forget_graphs():
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    yield
    torch._dynamo.reset()


def dynamic_layer(method, kernel_size=3):
    torch.manual_seed(2)
    options = dict(METHODS[method])
    cls = getattr(layers, options.pop('type'))
    conv = nn.Conv2d(4, 8, kernel_size, padding=kernel_size // 2)
    return activate_(cls.from_conv(conv, **options))


def small_backbone(method, **options):
    """Two blocks, which take a tracer some seconds."""
    return build_backbone(method, **first_stages(1), **options)


def assert_one_graph(model, *args):
    explained = torch._dynamo.explain(model)(*args)
    assert explained.graph_break_count == 0, explained.break_reasons
    assert explained.graph_count == 1


def assert_same_step(model, compiled, expected_of, x):
    """Outputs, gradients and buffers of a compiled step are the eager ones.

    In float64.
    """
    outs, expected = compiled(x), expected_of(x)
    for out, other in zip(outs, expected):
        assert relative_error(out, other) < RTOL_DOUBLE
    loss_of(outs).backward()
    loss_of(expected).backward()
    grads = gradients(expected_of)
    for name, grad in gradients(model).items():
        assert relative_error(grad, grads[name]) < RTOL_DOUBLE, name
    state = expected_of.state_dict()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, state[name], msg=name)


@pytest.mark.core
@pytest.mark.parametrize('training', [True, False])
@pytest.mark.parametrize('batch', [1, 2])
def test_no_graph_break_in_a_layer(method, training, batch):
    layer = dynamic_layer(method).train(training)
    assert_one_graph(layer, torch.randn(batch, 4, 8, 9))


@pytest.mark.slow
@pytest.mark.parametrize('autocast', [False, True])
def test_layer_at_varying_sizes(method, autocast):
    layer = dynamic_layer(method).train()
    eager = copy.deepcopy(layer)
    compiled = torch.compile(layer, backend='aot_eager', fullgraph=True)
    # Also maps smaller than a kernel, and larger than eager mode's products.
    for size in [*SIZES, (3, 4), (2, 270), (51, 20)]:
        x = torch.randn(2, 4, *size)
        with torch.autocast('cpu', torch.bfloat16, enabled=autocast):
            y, expected = compiled(x), eager(x)
        assert y.dtype == expected.dtype
        assert relative_error(y, expected) < (2e-2 if autocast else RTOL)
    # One for the first size, one for any.
    assert torch._dynamo.utils.counters['stats']['unique_graphs'] <= 2


@pytest.mark.slow
@pytest.mark.parametrize('training', [True, False])
def test_no_graph_break_in_a_backbone(method, training):
    assert_one_graph(small_backbone(method).train(training), images())


@pytest.mark.slow
@pytest.mark.parametrize('training', [True, False])
def test_backbone(method, training):
    model = small_backbone(method).double().train(training)
    eager = copy.deepcopy(model)
    compiled = torch.compile(model, backend='aot_eager', fullgraph=True)
    assert_same_step(model, compiled, eager, images().double())


@pytest.mark.slow
def test_backbone_at_varying_sizes(method):
    # From the second size on the graph is made for any size, which takes
    # long: one dynamic layer will do, and the graph as it was recorded.
    rule = dict(names={'layer1.1.conv2': True}, otherwise=False)
    model = small_backbone(method, rule=rule).eval()
    compiled = torch.compile(model, backend='eager', fullgraph=True)
    for size in SIZES:
        x = images(2, size)
        for out, expected in zip(compiled(x), model(x)):
            assert relative_error(out, expected) < RTOL, size
