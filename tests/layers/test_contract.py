"""What every method promises, whatever it computes."""

import copy
import inspect
import pickle

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from mmfdconv.layers import DynamicConv2d, FDConv

from .helpers import (
    activate_,
    assert_same_function,
    make_layer,
    relative_error,
    since_torch_2,
    stock_conv,
)
from .methods import GEOMETRIES, METHODS

TORCH = tuple(int(v) for v in torch.__version__.split('.')[:2])
CLASSES = sorted(
    {cls for cls, _ in METHODS.values()}, key=lambda c: c.__name__
)

all_methods = pytest.mark.parametrize('method', METHODS)
all_classes = pytest.mark.parametrize('cls', CLASSES, ids=lambda c: c.__name__)
all_geometries = pytest.mark.parametrize('geometry', GEOMETRIES)
# PyTorch says so of nn.Conv2d with an even kernel, too.
pytestmark = pytest.mark.filterwarnings('ignore:Using padding')


def arguments(method, geometry='k3'):
    return {**GEOMETRIES[geometry], **METHODS[method][1]}


def active(method, geometry='k3', dtype=torch.float64):
    """The layer with all of its gates active."""
    cls = METHODS[method][0]
    return make_layer(arguments(method, geometry), dtype, cls=cls)


def fresh(method, geometry='k3'):
    return METHODS[method][0](**arguments(method, geometry))


def example(geometry='k3', batch=3, dtype=torch.float32):
    channels = GEOMETRIES[geometry]['in_channels']
    return torch.randn(batch, channels, 9, 10, dtype=dtype)


#: What a stock layer's weight and bias become.
STOCK_LIKE = {'weight', 'bias', 'experts', 'dft_weight'}


@all_geometries
@all_methods
def test_a_parameter_is_of_the_stock_layer_or_of_a_router(method, geometry):
    layer = fresh(method, geometry)
    named = {id(p): name for name, p in layer.named_parameters()}
    routers = {named[id(p)] for p in layer.router_parameters()}
    rest = {named[id(p)] for p in layer.weight_parameters()}
    assert rest <= STOCK_LIKE
    assert routers and not routers & STOCK_LIKE
    assert routers | rest == set(named.values())


def test_every_registered_layer_is_here():
    registry = pytest.importorskip(
        'mmfdconv.registry', reason='MMEngine is not installed'
    )
    # KWConv is built by the conversion of a whole backbone alone.
    bare = set(registry.LAYERS) - {'KWConv'}
    assert bare == {cls.__name__ for cls in CLASSES}
    for cls in CLASSES:
        assert registry.LAYERS[cls.__name__] is cls


# ----------------------------------------------- 1. an nn.Conv2d from outside


@pytest.mark.core
@all_classes
def test_signature_begins_as_that_of_conv2d(cls):
    stock = list(inspect.signature(nn.Conv2d).parameters.values())
    own = list(inspect.signature(cls).parameters.values())
    head, rest = own[: len(stock)], own[len(stock) :]
    assert [p.name for p in head] == [p.name for p in stock]
    assert [p.default for p in head] == [p.default for p in stock]
    assert [p.kind for p in head] == [p.kind for p in stock]
    assert rest, 'a method has options of its own'
    for parameter in rest:
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY, parameter
        assert parameter.default is not inspect.Parameter.empty, parameter


@all_classes
def test_docstring_names_every_option(cls):
    for name in inspect.signature(cls).parameters:
        own = name not in inspect.signature(nn.Conv2d).parameters
        assert not own or name in cls.__doc__, name


@pytest.mark.core
@all_methods
@all_geometries
def test_attributes_and_output_shape_are_those_of_the_stock_conv(
    method, geometry
):
    layer, conv = fresh(method, geometry), stock_conv(GEOMETRIES[geometry])
    assert isinstance(layer, DynamicConv2d)
    assert not isinstance(layer, nn.Conv2d)
    for name in conv.__constants__ + ['transposed', 'output_padding']:
        if name != '_reversed_padding_repeated_twice':
            assert getattr(layer, name) == getattr(conv, name), name
    assert layer.weight_shape == tuple(conv.weight.shape)
    x = example(geometry)
    assert layer(x).shape == conv(x).shape
    said = f'{layer.in_channels}, {layer.out_channels}, kernel_size='
    assert said in repr(layer)


@pytest.mark.core
@all_methods
def test_in_mmcv(method):
    bricks = pytest.importorskip('mmcv.cnn', reason='mmcv is not installed')
    import mmfdconv  # noqa: F401  it registers the layers

    cls, options = METHODS[method]
    conv_cfg = dict(type=cls.__name__, **options)
    layer = bricks.build_conv_layer(conv_cfg, 4, 6, 3, bias=False)
    assert type(layer) is cls
    assert layer.bias is None

    module_cfg = dict(norm_cfg=dict(type='BN'), padding=1, stride=2, groups=2)
    stock = bricks.ConvModule(4, 6, 3, **module_cfg)
    dynamic = bricks.ConvModule(4, 6, 3, conv_cfg=conv_cfg, **module_cfg)
    assert type(dynamic.conv) is cls
    dynamic.load_state_dict(stock.state_dict())
    dynamic.init_weights()
    assert_same_function(dynamic, stock, example())


# ------------------------------------------------- 2. starts as the stock conv


@pytest.mark.core
@all_methods
@all_geometries
def test_starts_as_the_conv_it_is_built_from(method, geometry):
    cls, options = METHODS[method]
    conv = stock_conv(GEOMETRIES[geometry])
    layer = cls.from_conv(conv, **options)
    x = example(geometry)
    assert_same_function(layer, conv, x)
    layer.init_weights()
    assert_same_function(layer, conv, x)


@pytest.mark.core
@pytest.mark.parametrize('scale', [1e4, 1e5, 1e8])
@all_methods
def test_starts_as_the_conv_whatever_the_scale(method, scale):
    # In evaluation nothing bounds the features: norms have seen none yet.
    cls, options = METHODS[method]
    conv = nn.Conv2d(32, 64, 3, padding=1).eval()
    layer = cls.from_conv(conv, **options)
    x = scale * torch.rand(2, 32, 9, 10)
    assert relative_error(layer(x), conv(x)) < 1e-5


@pytest.mark.core
@all_methods
@all_geometries
def test_starts_as_the_conv_it_loads(method, geometry):
    conv = stock_conv(GEOMETRIES[geometry])
    layer = activate_(fresh(method, geometry))
    model = nn.ModuleDict(dict(conv=layer))
    # Strict, and below a prefix.
    model.load_state_dict(nn.ModuleDict(dict(conv=conv)).state_dict())
    x = example(geometry)
    assert_same_function(layer.eval(), conv, x)
    layer.init_weights()
    assert_same_function(layer, conv, x)


@pytest.mark.core
@pytest.mark.parametrize(
    'init_cfg',
    [
        dict(type='Kaiming', layer='Conv2d'),
        dict(type='Xavier', layer=['Conv2d', 'Conv1d', 'Linear']),
        dict(type='Normal', std=0.01, layer='Conv2d', bias=0.3),
        dict(type='Constant', val=1, layer=['_BatchNorm', 'BatchNorm2d']),
        dict(type='Constant', val=2, layer=['LayerNorm', 'GroupNorm']),
        dict(type='TruncNormal', layer='Linear', std=0.02, bias=0.0),
    ],
    ids=lambda c: f'{c["type"]} {c["layer"]}',
)
@all_methods
def test_framework_inits_do_not_disturb(method, init_cfg):
    engine = pytest.importorskip(
        'mmengine.model', reason='MMEngine is not installed'
    )
    cls, options = METHODS[method]
    convs = [nn.Conv2d(4, 6, 3, padding=1), nn.Conv2d(6, 8, 1)]
    layers = [cls.from_conv(c, **options) for c in convs]
    # The second as in ResNet's shortcut, where no init_weights() arrives.
    model = nn.Sequential(layers[0], nn.Sequential(layers[1]))
    engine.initialize(model, init_cfg)
    assert_same_function(model, nn.Sequential(*convs), example())


@pytest.mark.core
@all_methods
def test_fresh_layer_has_the_gain_of_a_stock_conv(method):
    cls, options = METHODS[method]
    ratios = []
    for seed in range(4):
        torch.manual_seed(seed)
        layer, conv = cls(32, 64, 3, **options), nn.Conv2d(32, 64, 3)
        x = torch.randn(2, 32, 9, 9)
        ratios.append((layer(x).std() / conv(x).std()).item())
    gain = sum(ratios) / len(ratios)
    # Experts drawn independently average out: 1 / sqrt(K) at the least.
    experts = getattr(layer, 'num_experts', 1)
    assert 0.9 * experts**-0.5 < gain < 1.1


@all_methods
def test_from_conv_keeps_what_the_conv_was(method):
    cls, options = METHODS[method]
    conv = nn.Conv2d(4, 6, 3).double().requires_grad_(False).eval()
    before = copy.deepcopy(conv.state_dict())
    layer = cls.from_conv(conv, **options)
    assert not layer.training
    assert all(not m.training for m in layer.modules())
    assert all(p.dtype == torch.float64 for p in layer.parameters())
    assert not any(p.requires_grad for p in layer.weight_parameters())
    assert all(p.requires_grad for p in layer.router_parameters())
    with torch.no_grad():
        for parameter in layer.router_parameters():
            parameter.add_(1)
    for key, value in conv.state_dict().items():
        assert torch.equal(value, before[key])


# ------------------------------------------------- 3. loads what people have


@pytest.mark.core
@all_methods
def test_own_checkpoint_round_trip(method, tmp_path):
    layer = active(method, dtype=torch.float32).eval()
    torch.save(layer.state_dict(), tmp_path / 'own.pth')
    other = fresh(method).eval()
    other.load_state_dict(torch.load(tmp_path / 'own.pth'))
    x = example()
    assert torch.equal(other(x), layer(x))
    for key, value in layer.state_dict().items():
        assert torch.equal(other.state_dict()[key], value), key


@pytest.mark.core
@all_methods
def test_what_does_not_fit_is_named(method):
    layer = fresh(method)
    with pytest.raises(RuntimeError) as info:
        layer.load_state_dict(nn.Conv2d(4, 6, 5).state_dict())
    for word in ('weight', '(6, 4, 5, 5)', '(6, 4, 3, 3)'):
        assert word in str(info.value)
    router = next(iter(dict(layer.named_parameters()).keys() - {'bias'}))
    state = layer.state_dict()
    del state[router]
    with pytest.raises(RuntimeError, match=router.replace('.', r'\.')):
        layer.load_state_dict(state)
    state = layer.state_dict()
    state['stranger'] = torch.zeros(1)
    with pytest.raises(RuntimeError, match='stranger'):
        layer.load_state_dict(state)


def test_stock_bias_that_is_not_there_is_missed():
    for method in METHODS:
        with pytest.raises(RuntimeError, match='"bias"'):
            fresh(method).load_state_dict(
                nn.Conv2d(4, 6, 3, bias=False).state_dict()
            )


# --------------------------------------------- 5. trains where people train


@pytest.mark.core
@all_methods
@all_geometries
@pytest.mark.parametrize('batch', [0, 1, 3])
def test_every_parameter_gets_a_gradient(method, geometry, batch):
    # At the neutral start, where a careless router would be cut off.
    cls, options = METHODS[method]
    layer = cls.from_conv(stock_conv(GEOMETRIES[geometry]), **options)
    x = example(geometry, batch).requires_grad_()
    layer.train()(x).square().sum().backward()
    assert x.grad.shape == x.shape
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@pytest.mark.core
@all_methods
@pytest.mark.parametrize('groups', [1, 32])
def test_gradients_reach_every_parameter(method, groups):
    # Heads start at 0, what stands before them learns from the second step.
    cls, options = METHODS[method]
    conv = nn.Conv2d(32, 32, 3, groups=groups)
    layer = cls.from_conv(conv, **options).train()
    optimizer = torch.optim.SGD(layer.parameters(), lr=1e-2)
    x = torch.randn(3, 32, 7, 8)
    for _ in range(2):
        optimizer.zero_grad()
        layer(x).pow(3).sum().backward()
        optimizer.step()
    for name, parameter in layer.named_parameters():
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.core
@all_methods
def test_samples_do_not_see_each_other(method):
    layer = active(method).eval()
    x = example(dtype=torch.float64)
    together = layer(x)
    for b in range(len(x)):
        torch.testing.assert_close(layer(x[b : b + 1])[0], together[b])
    # The kernel depends on the sample: linear layers add up, this one not.
    assert relative_error(layer(2 * x) - layer(x), layer(x)) > 1e-3


@pytest.mark.core
@all_methods
def test_training_moves_every_parameter(method):
    cls, options = METHODS[method]
    layer = cls.from_conv(nn.Conv2d(4, 6, 3, padding=1), **options).train()
    before = {k: v.clone() for k, v in layer.named_parameters()}
    optimizer = torch.optim.AdamW(layer.parameters(), lr=1e-2)
    x = example(batch=4)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = (layer(x) - x.mean(1, keepdim=True).abs()).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    for name, parameter in layer.named_parameters():
        assert not torch.equal(parameter, before[name]), name


@pytest.mark.core
@pytest.mark.parametrize('shape', ['k3', 'k1 stride 2', 'depthwise'])
@all_methods
def test_memory_formats(method, shape):
    layer = active(method, shape).eval()
    x = example(shape, dtype=torch.float64)
    expected = layer(x)
    layouts = [
        x.contiguous(memory_format=torch.channels_last),
        x.mT.contiguous().mT,
        torch.cat([x, x], 1)[:, x.shape[1] :],
    ]
    for strided in layouts:
        torch.testing.assert_close(layer(strided), expected)
    layer.to(memory_format=torch.channels_last)
    last = layouts[0].requires_grad_()
    y = layer(last)
    torch.testing.assert_close(y, expected)
    y.sum().backward()
    assert last.grad is not None


@pytest.mark.core
@pytest.mark.parametrize('shape', ['k3', 'k1 stride 2', 'depthwise'])
@all_methods
def test_bfloat16_autocast(method, shape):
    layer = active(method, shape, torch.float32).train()
    x = example(shape)
    expected = copy.deepcopy(layer)(x)
    with torch.autocast('cpu', torch.bfloat16):
        y = layer(x)
    assert y.dtype == torch.bfloat16  # as nn.Conv2d's
    # bfloat16 has 8 bits of precision; several roundings add up.
    assert relative_error(y, expected) < 3e-2
    y.float().sum().backward()
    for name, parameter in layer.named_parameters():
        assert parameter.grad.dtype == torch.float32, name
        assert parameter.grad.isfinite().all(), name


@all_methods
def test_large_activations_in_bfloat16(method):
    cls, options = METHODS[method]
    conv = nn.Conv2d(4, 6, 3, padding=1)
    layer = cls.from_conv(conv, **options)
    x = example() * 1e4
    with torch.autocast('cpu', torch.bfloat16):
        assert relative_error(layer(x), conv(x)) < 2e-2


@all_methods
def test_double_and_back(method):
    layer = active(method, dtype=torch.float32).eval()
    x = example()
    expected = layer(x)
    y = layer.double()(x.double())
    assert y.dtype == torch.float64
    assert relative_error(y, expected) < 1e-5
    assert relative_error(layer.half().float()(x), expected) < 2e-2


@pytest.mark.core
@pytest.mark.parametrize(
    'duplicate',
    [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))],
    ids=['deepcopy', 'pickle'],
)
@all_methods
def test_copies(method, duplicate):
    layer = active(method, dtype=torch.float32).eval()
    other = duplicate(layer)
    x = example()
    expected = layer(x)
    assert torch.equal(other(x), expected)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1)
    assert torch.equal(layer(x), expected)
    assert not torch.allclose(other(x), expected)


@since_torch_2
@all_methods
def test_sync_batch_norm(method):
    layer = active(method).eval()
    x = example(dtype=torch.float64)
    expected = layer(x)
    layer = nn.SyncBatchNorm.convert_sync_batchnorm(layer).eval()
    kinds = [type(m) for m in layer.modules()]
    assert nn.BatchNorm2d not in kinds and nn.BatchNorm1d not in kinds
    torch.testing.assert_close(layer(x), expected)


@all_methods
def test_evaluation_leaves_no_trace(method):
    layer = active(method).eval()
    before = copy.deepcopy(layer.state_dict())
    x = example(dtype=torch.float64)
    kept = x.clone()
    assert torch.equal(layer(x), layer(x))
    assert torch.equal(x, kept)
    for key, value in layer.state_dict().items():
        assert torch.equal(value, before[key]), key


@pytest.mark.parametrize('use_reentrant', [True, False])
@all_methods
def test_gradient_checkpointing(method, use_reentrant):
    layer = active(method).eval()
    x = example(dtype=torch.float64).requires_grad_()
    expected = torch.autograd.grad(
        layer(x).square().sum(), (x, *layer.parameters())
    )
    y = checkpoint(layer, x, use_reentrant=use_reentrant)
    y.square().sum().backward()
    for value, grad in zip((x, *layer.parameters()), expected):
        torch.testing.assert_close(value.grad, grad)


@all_methods
def test_frozen_kernel_with_live_routers(method):
    layer = active(method)
    weights = list(layer.weight_parameters())
    routers = list(layer.router_parameters())
    both = [id(p) for p in (*weights, *routers)]
    assert sorted(both) == sorted(id(p) for p in layer.parameters())
    assert layer.bias is weights[0] and len(weights) == 2
    for parameter in weights:
        parameter.requires_grad_(False)
    layer(example(dtype=torch.float64)).sum().backward()
    assert all(p.grad is None for p in weights)
    assert all(p.grad is not None for p in routers)


@since_torch_2
@pytest.mark.parametrize('how', ['argument', 'context'])
@all_methods
def test_meta_device(method, how):
    source = active(method, dtype=torch.float32).eval()
    if how == 'argument':
        layer = METHODS[method][0](**arguments(method), device='meta')
    else:
        with torch.device('meta'):
            layer = fresh(method)
    assert all(t.is_meta for t in layer.state_dict().values())
    x = example()
    assert layer(x.to('meta')).shape == source(x).shape

    assigned = copy.deepcopy(layer)
    assigned.load_state_dict(source.state_dict(), assign=True)
    torch.testing.assert_close(assigned.eval()(x), source(x))

    layer = layer.to_empty(device='cpu').eval()
    layer.reset_parameters()
    layer.load_state_dict(source.state_dict())
    torch.testing.assert_close(layer(x), source(x))


@all_methods
def test_trace(method):
    # Exporters and FLOP counters run the layer under a tracer.
    layer = active(method, dtype=torch.float32).eval()
    traced = torch.jit.trace(layer, example(), check_trace=False)
    other = example()
    torch.testing.assert_close(traced(other), layer(other))


@pytest.mark.slow
@since_torch_2
@all_classes
def test_compile(cls):
    if cls is FDConv and TORCH < (2, 4):
        pytest.skip(f'torch {torch.__version__} cannot trace complex tensors')
    layer = make_layer(GEOMETRIES['k3'], torch.float32, cls=cls).eval()
    # The tracer is what a layer can break; the code generator needs a
    # compiler and minutes.
    compiled = torch.compile(layer, backend='aot_eager', fullgraph=True)
    x = example()
    expected = layer(x)
    y = compiled(x)
    assert relative_error(y, expected) < 1e-4
    y.sum().backward()
    assert all(p.grad is not None for p in layer.parameters())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason='no CUDA device')
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('geometry', ['k3', 'k1 stride 2', 'depthwise'])
@all_methods
def test_on_a_gpu(method, geometry, dtype):
    layer = active(method, geometry, torch.float32).eval()
    x = example(geometry)
    expected = layer(x)
    layer = layer.cuda().to(memory_format=torch.channels_last)
    x = x.cuda().contiguous(memory_format=torch.channels_last)
    # Convolutions in TF32 keep 10 bits.
    assert relative_error(layer(x).cpu(), expected) < 5e-3
    layer.train()
    with torch.autocast('cuda', dtype):
        y = layer(x)
    assert y.dtype == dtype
    y.float().square().mean().backward()
    for name, parameter in layer.named_parameters():
        assert parameter.grad.isfinite().all(), name


# ------------------------------------------------------------ 6. fails early


WRONG_INPUT = {
    'too few channels': (torch.rand(2, 3, 9, 9), '(2, 3, 9, 9)'),
    'too many channels': (torch.rand(2, 5, 9, 9), '(2, 5, 9, 9)'),
    'channels last': (torch.rand(2, 9, 9, 4), '(2, 9, 9, 4)'),
    'one map, too few': (torch.rand(3, 9, 9), '(3, 9, 9)'),
    'a matrix': (torch.rand(4, 9), '(4, 9)'),
    'a volume': (torch.rand(2, 4, 3, 9, 9), '(2, 4, 3, 9, 9)'),
    'bytes': (torch.ones(2, 4, 9, 9, dtype=torch.uint8), 'torch.uint8'),
    'integers': (torch.ones(2, 4, 9, 9, dtype=torch.long), 'torch.int64'),
    'complex': (torch.ones(2, 4, 9, 9) + 0j, 'torch.complex64'),
}


@pytest.mark.core
@pytest.mark.parametrize('kind', WRONG_INPUT)
@pytest.mark.parametrize('autocast', [False, True])
@all_methods
def test_wrong_input_is_named(method, kind, autocast):
    layer, (x, named) = fresh(method), WRONG_INPUT[kind]
    with torch.autocast('cpu', torch.bfloat16, enabled=autocast):
        with pytest.raises(ValueError) as info:
            layer(x)
    assert type(layer).__name__ in str(info.value)
    assert named in str(info.value)
    if x.is_floating_point():
        assert '(B, 4, H, W)' in str(info.value)


@torch.no_grad()
@all_methods
def test_same_padding_with_a_stride(method):
    """What is padded follows the input's size; gates see the input itself."""
    layer = active(method).eval()
    layer.stride, layer.padding = (2, 2), 'same'
    numbers = copy.deepcopy(layer)
    numbers.padding = (1, 1)
    odd = example(dtype=torch.float64)[..., :9, :9]
    torch.testing.assert_close(layer(odd), numbers(odd))

    conv = stock_conv(dict(GEOMETRIES['k3'], stride=2, padding=0))
    cls, options = METHODS[method]
    layer = cls.from_conv(conv, **options)
    layer.padding = 'same'
    even = example()[..., :8, :]
    padded = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), conv)
    assert_same_function(layer, padded, even)


@pytest.mark.core
@all_geometries
@all_methods
def test_one_map_without_a_batch(method, geometry):
    # As nn.Conv2d takes it, in training too.
    layer = active(method, geometry).train()
    x = example(geometry, 1, torch.float64)[0].requires_grad_()
    y = layer(x)
    torch.testing.assert_close(y, layer(x[None])[0])
    y.sum().backward()
    assert x.grad.shape == x.shape


# Arguments -> what the message must name.
WRONG = {
    'in_channels=0': (dict(in_channels=0), ['in_channels', '0']),
    'kernel_size=0': (dict(kernel_size=0), ['kernel_size', '0']),
    'stride=0': (dict(stride=0), ['stride', '0']),
    'groups=0': (dict(groups=0), ['groups', '>= 1']),
    'groups, in': (dict(groups=3), ['in_channels=4', 'groups=3']),
    'groups, out': (dict(groups=4), ['out_channels=6', 'groups=4']),
    'padding': (dict(padding='full'), ['padding', "'full'", "'same'"]),
    'padding_mode': (
        dict(padding_mode='mirror'),
        ['padding_mode', "'mirror'", "'reflect'"],
    ),
}
OWN_WRONG = {
    'num_experts=0': (dict(num_experts=0), ['num_experts', '>= 1', '0']),
    'num_experts=2.5': (dict(num_experts=2.5), ['num_experts', '2.5']),
    'reduction=0': (dict(reduction=0), ['reduction', '> 0', '0']),
    'reduction=-1': (dict(reduction=-1.0), ['reduction', '> 0', '-1.0']),
    'temperature=0': (dict(temperature=0), ['temperature', '> 0', '0']),
    'temperature=-1': (dict(temperature=-1), ['temperature', '> 0', '-1']),
    'squeeze_size=0': (dict(squeeze_size=0), ['squeeze_size', '>= 1', '0']),
    'pool_size=0': (dict(pool_size=0), ['pool_size', '>= 1', '0']),
    'low_freq=0': (dict(low_freq=0), ['low_freq', '>= 1', '0']),
    'low_freq=17': (
        dict(low_freq=17),
        ['low_freq=17', 'at most', 'pool_size=16'],
    ),
    'high_freq=9, pool_size=8': (
        dict(high_freq=9, pool_size=8),
        ['high_freq=9', 'at most', 'pool_size=8'],
    ),
    'high_freq=-1': (dict(high_freq=-1), ['high_freq', '-1']),
    'fusion': (
        dict(fusion='mean'),
        ['fusion', "'mean'", "'net'", "'fca'", "'add'", "'add_abs'"],
    ),
    'descriptor': (
        dict(descriptor='max'),
        ['descriptor', "'max'", "'gap'", "'fat'"],
    ),
    'descriptor without type': (
        dict(descriptor=dict(pool_size=8)),
        ['descriptor', "'gap'", "'fat'"],
    ),
    'descriptor number': (
        dict(descriptor=4),
        ['descriptor', '4', "'gap'", "'fat'"],
    ),
    'gap with options': (
        dict(descriptor=dict(type='gap', pool_size=8)),
        ['gap', 'pool_size'],
    ),
    'fat option': (
        dict(descriptor=dict(type='fat', size=8)),
        ['descriptor', 'size', 'pool_size'],
    ),
    'fat value': (
        dict(descriptor=dict(type='fat', pool_size=2)),
        ['low_freq=4', 'pool_size=2'],
    ),
}


def wrong_cases():
    for cls in CLASSES:
        own = set(inspect.signature(cls).parameters)
        for name, case in {**WRONG, **OWN_WRONG}.items():
            if set(case[0]) <= own:
                yield pytest.param(cls, *case, id=f'{cls.__name__}, {name}')


@pytest.mark.core
@pytest.mark.parametrize(('cls', 'args', 'words'), wrong_cases())
def test_wrong_argument_is_named(cls, args, words):
    defaults = dict(in_channels=4, out_channels=6, kernel_size=3)
    with pytest.raises(ValueError) as info:
        cls(**{**defaults, **args})
    for word in words:
        assert word in str(info.value)
