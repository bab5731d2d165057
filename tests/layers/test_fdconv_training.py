"""FDConv where people train: small batches, copies, devices, tracers."""

import copy
import pickle

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from mmfdconv.functional import accelerator_path
from mmfdconv.layers import FDConv

from .helpers import activate_, make_layer

ARGS = dict(in_channels=4, out_channels=6, kernel_size=3, padding=1)


def example(batch=2, dtype=torch.float32):
    return torch.randn(batch, 4, 8, 7, dtype=dtype)


@pytest.mark.core
@pytest.mark.parametrize(
    'options',
    [
        dict(),
        dict(kernel_size=1, padding=0),
        dict(groups=2),
        dict(kernel_num=1),
        dict(param_ratio=2),
        dict(param_reduction=0.5),
        dict(convert_param=False),
        dict(ksm_only_kernel_att=True),
        dict(use_ksm_local=False),
        dict(fbm_cfg=dict(lowfreq_att=True)),
        dict(in_channels=6, groups=6),
    ],
    ids=str,
)
@pytest.mark.parametrize('batch', [1, 2])
def test_every_parameter_gets_a_gradient(options, batch, path):
    # At the neutral start, where a careless router would be cut off.
    args = dict(ARGS, **options)
    layer = FDConv(**args).train()
    x = torch.randn(batch, args['in_channels'], 8, 7)
    layer(x).square().sum().backward()
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@pytest.mark.core
@pytest.mark.parametrize('batch', [1, 4])
def test_routers_learn_from_the_start(batch):
    torch.manual_seed(3)
    layer = FDConv(**ARGS, kernel_num=8).train()
    before = {k: v.clone() for k, v in layer.named_parameters()}
    optimizer = torch.optim.AdamW(layer.parameters(), lr=1e-2)
    losses = []
    for _ in range(30):
        torch.manual_seed(0)
        x = example(batch)
        optimizer.zero_grad()
        loss = (layer(x) - x.mean(1, keepdim=True).abs()).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    for name, parameter in layer.named_parameters():
        assert not torch.equal(parameter, before[name]), name


def test_running_statistics():
    layer = FDConv(**ARGS).train()
    mean = layer.KSM_Global.bn.running_mean
    start = mean.clone()
    layer(example(1) + 1)
    # One sample has no statistics; what would it move them to?
    assert torch.equal(mean, start)
    layer(example(4) + 1)
    assert not torch.equal(mean, start)
    moved = mean.clone()
    layer.eval()(example(4))
    assert torch.equal(mean, moved)


def test_other_input_sizes_in_a_row():
    # Nothing may be remembered from the size before.
    layer = make_layer(ARGS).eval()
    sizes = [(8, 7), (16, 5), (8, 7), (3, 3), (8, 7)]
    torch.manual_seed(1)
    inputs = [torch.randn(1, 4, *s, dtype=torch.float64) for s in sizes]
    expected = [copy.deepcopy(layer)(x) for x in inputs]
    for x, y in zip(inputs, expected):
        assert torch.equal(layer(x), y)


@pytest.mark.core
@pytest.mark.parametrize(
    'duplicate',
    [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))],
    ids=['deepcopy', 'pickle'],
)
@pytest.mark.parametrize(
    'options', [dict(), dict(use_fdconv_if_c_gt=16)], ids=str
)
def test_copies(duplicate, options):
    layer = FDConv(**ARGS, **options).eval()
    other = duplicate(layer)
    x = example()
    assert torch.equal(other(x), layer(x))
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1)
    assert not torch.allclose(other(x), layer(x))


@pytest.mark.parametrize(
    'args',
    [
        dict(),
        dict(kernel_size=1, padding=0, kernel_num=3),
        dict(groups=2, stride=2, fbm_cfg=dict(k_list=[2], lowfreq_att=True)),
        dict(convert_param=False, padding_mode='circular'),
        dict(param_reduction=0.5, param_ratio=2),
    ],
    ids=str,
)
def test_gradcheck(args):
    small = dict(in_channels=2, out_channels=2, kernel_size=3, padding=1)
    layer = make_layer({**small, 'kernel_num': 2, **args}).eval()
    names, parameters = zip(*layer.named_parameters())

    def run(x, *values):
        return torch.func.functional_call(layer, dict(zip(names, values)), x)

    x = torch.randn(2, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    torch.manual_seed(0)
    inputs = x, *parameters
    assert torch.autograd.gradcheck(run, inputs, fast_mode=True)
    assert torch.autograd.gradgradcheck(run, inputs, fast_mode=True)
    # That compares gradients that have a graph with each other alone.
    value = run(*inputs).square().sum()
    plain = torch.autograd.grad(value, inputs, retain_graph=True)
    recorded = torch.autograd.grad(value, inputs, create_graph=True)
    torch.testing.assert_close(recorded, plain)


@pytest.mark.parametrize(
    'options',
    [dict(), dict(kernel_size=1, padding=0), dict(groups=2, stride=2)],
    ids=str,
)
def test_a_cpu_computes_what_accelerators_do(options):
    layer = make_layer({**ARGS, 'kernel_num': 3, **options}).eval()
    with torch.no_grad():
        layer.dft_weight.normal_()  # no real image's spectrum
    x = example(2, torch.float64).requires_grad_()

    def step():
        y = layer(x)
        return [y, *torch.autograd.grad(y.sin().sum(), alive)]

    alive = [x, *layer.parameters()]
    expected = step()
    with accelerator_path():
        found = step()
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize('use_reentrant', [True, False])
def test_gradient_checkpointing(use_reentrant, path):
    layer = make_layer(ARGS).eval()
    x = example(2, torch.float64).requires_grad_()
    expected = torch.autograd.grad(
        layer(x).square().sum(), (x, *layer.parameters())
    )
    layer.zero_grad()
    y = checkpoint(layer, x, use_reentrant=use_reentrant)
    y.square().sum().backward()
    grads = [x.grad, *(p.grad for p in layer.parameters())]
    for grad, other in zip(grads, expected):
        torch.testing.assert_close(grad, other)


def test_input_without_gradient():
    layer = FDConv(**ARGS)
    with torch.inference_mode():
        y = layer(example())
    assert not y.requires_grad


# ----------------------------------------------------------- devices, tracers


def test_built_under_another_default_dtype():
    torch.set_default_dtype(torch.float64)
    try:
        layer = FDConv(**ARGS)
        # The order of the frequencies is float32's, always.
        order = layer.order.order
        y = layer(torch.randn(2, 4, 8, 7))
    finally:
        torch.set_default_dtype(torch.float32)
    assert y.dtype == torch.float64
    assert torch.equal(order, FDConv(**ARGS).order.order)


@pytest.mark.parametrize('kernel_size', [1, 3])
@pytest.mark.parametrize('groups', [1, 2])
def test_trace(kernel_size, groups):
    # Exporters and FLOP counters run the layer under a tracer.
    args = dict(kernel_size=kernel_size, padding='same', groups=groups)
    layer = activate_(FDConv(4, 6, **args)).eval()
    x = example()
    traced = torch.jit.trace(layer, x, check_trace=False)
    other = example()
    torch.testing.assert_close(traced(other), layer(other))


def test_flop_counter_of_mmengine():
    analysis = pytest.importorskip(
        'mmengine.analysis', reason='MMEngine is not installed'
    )
    layer = FDConv(**ARGS).eval()
    info = analysis.get_model_complexity_info(layer, (4, 8, 7))
    # At least the convolution itself.
    assert info['flops'] >= 6 * 4 * 9 * 8 * 7


def test_built_for_inference_then_for_training():
    args = dict(in_channels=3, out_channels=7, kernel_size=3)
    with torch.inference_mode():
        FDConv(**args)
    layer = FDConv(**args)
    layer(torch.randn(2, 3, 5, 5)).sum().backward()
    assert layer.dft_weight.grad is not None


@pytest.mark.parametrize('mode', ['grad', 'vmap', 'jvp'])
def test_transforms_of_functions(mode):
    """``torch.func``, of the input and of a parameter."""
    layer = make_layer(ARGS).eval()
    x = example(2, torch.float64)
    weight = layer.dft_weight.detach()

    def run(x, weight):
        parameters = dict(dft_weight=weight)
        return torch.func.functional_call(layer, parameters, (x,))

    def energy(x, weight):
        return run(x, weight).square().sum()

    if mode == 'grad':
        found = torch.func.grad(energy, argnums=(0, 1))(x, weight)
        tensors = x.clone().requires_grad_(), weight.clone().requires_grad_()
        expected = torch.autograd.grad(energy(*tensors), tensors)
        torch.testing.assert_close(found, expected)
    elif mode == 'vmap':
        weights = torch.stack([weight, weight.flip(1)])
        found = torch.func.vmap(run, in_dims=(None, 0))(x, weights)
        expected = torch.stack([run(x, own) for own in weights])
        torch.testing.assert_close(found, expected)
    else:  # the kernel is linear in the spectrum
        tangent = torch.randn_like(weight)
        _, found = torch.func.jvp(
            lambda weight: run(x, weight), (weight,), (tangent,)
        )
        bias = layer.bias.detach().view(-1, 1, 1)
        torch.testing.assert_close(found, run(x, tangent) - bias)


@pytest.mark.core
@pytest.mark.parametrize(
    'options',
    [
        dict(),
        dict(groups=2),
        dict(kernel_size=1, padding=0),
        dict(stride=2, param_ratio=2),
        dict(param_reduction=0.5, fbm_cfg=dict(lowfreq_att=True)),
        dict(padding_mode='reflect'),
    ],
    ids=str,
)
def test_shapes_off_the_cpu(options):
    """What is done otherwise on other devices, as far as meta goes."""
    args = dict(ARGS, kernel_num=4, device='meta')
    layer = FDConv(**dict(args, **options))
    x = torch.randn(2, 4, 8, 7, device='meta', requires_grad=True)
    y = layer(x)
    expected = make_layer(dict(ARGS, **options))(example(dtype=torch.float64))
    assert y.shape == expected.shape
    y.sum().backward()
    for tensor in (x, *layer.parameters()):
        assert tensor.grad.shape == tensor.shape
