"""Mixed precision: bfloat16 and float16, by hand and through a runner."""

import copy

import pytest
import torch
from mmengine.config import Config

from mmfdconv.engine import launch
from mmfdconv.engine.optim_wrapper import accelerator_available

from ..layers.helpers import relative_error
from .helpers import (
    build_backbone,
    build_runner,
    classifier,
    dynamic_layers,
    gradients,
    images,
    loss_of,
)

# Relative distance from float32. A rounding to bfloat16 (8 bits of precision)
# is wrong by up to 4e-3, to float16 (11 bits) by 5e-4, and those of 20
# convolutions, 20 batch norms and 8 sums add up: after the last stage the
# stock ResNet is off by 5e-2 and 6e-3. Twice that, and more for float16, whose
# error hangs on few features.
RTOL = {torch.bfloat16: 1e-1, torch.float16: 2e-2}


def cpu_float16():
    """Whether this torch autocasts to float16 on a CPU."""
    conv = torch.nn.Conv2d(1, 1, 1)
    try:
        with torch.autocast('cpu', torch.float16):
            y = conv(torch.ones(1, 1, 2, 2))
        y.sum().backward()
    except RuntimeError:
        return False
    return y.dtype == torch.float16


def place(kind, dtype):
    if kind == 'cuda' and not torch.cuda.is_available():
        pytest.skip('no CUDA device')
    if (kind, dtype) == ('cpu', torch.float16) and not cpu_float16():
        pytest.skip(f'torch {torch.__version__}: no float16 autocast on CPU')
    return torch.device(kind)


@pytest.mark.core
@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize(
    'kind', ['cpu', pytest.param('cuda', marks=pytest.mark.gpu)]
)
@pytest.mark.parametrize('training', [True, False])
def test_autocast_is_close_to_float32(method, training, kind, dtype):
    device = place(kind, dtype)
    model = build_backbone(method).train(training).to(device)
    x = images(4).to(device)
    expected = copy.deepcopy(model)(x)
    with torch.autocast(kind, dtype):
        outs = model(x)
    for out, other in zip(outs, expected):
        assert out.dtype == dtype
        assert relative_error(out, other) < RTOL[dtype]
        assert relative_error(out, other) > 1e-5  # it did something
    loss_of(outs).backward()
    for name, grad in gradients(model).items():
        assert grad.dtype == torch.float32, name
        assert grad.isfinite().all(), name


@pytest.mark.core
def test_gates_and_kernels_stay_float32(method):
    model = build_backbone(method).train()
    seen = []
    for layer in dynamic_layers(model):
        for router in layer.routers():
            for module in router.modules():
                module.register_forward_hook(lambda m, args, y: seen.append(y))
    with torch.autocast('cpu', torch.bfloat16):
        model(images())
    tensors = [y for y in seen if isinstance(y, torch.Tensor)]
    assert len(tensors) > len(dynamic_layers(model))
    assert {y.dtype for y in tensors} == {torch.float32}


@pytest.mark.core
@pytest.mark.parametrize('dtype', ['bfloat16', None])
def test_amp_of_the_train_tool(method, dtype, tmp_path):
    if accelerator_available():
        pytest.skip('this is what happens without accelerator')
    model = classifier(method)
    before = copy.deepcopy(model.state_dict())
    cfg = Config(
        dict(
            optim_wrapper=dict(
                type='OptimWrapper', optimizer=dict(type='SGD', lr=1e-3)
            )
        )
    )
    if dtype:  # as with --cfg-options optim_wrapper.dtype=bfloat16
        cfg.optim_wrapper.dtype = dtype
    launch.enable_amp(cfg)
    seen = set()
    for layer in dynamic_layers(model):
        layer.register_forward_hook(lambda m, args, y: seen.add(y.dtype))
    runner = build_runner(
        model, tmp_path, iters=2, optim_wrapper=cfg.optim_wrapper.to_dict()
    )
    runner.train()
    assert seen == {torch.bfloat16 if dtype else torch.float32}
    for name, value in model.state_dict().items():
        assert value.isfinite().all(), name
        assert value.dtype == before[name].dtype, name
        # A small map has no frequencies in some of FBM's bands.
        assert '.FBM.' in name or not value.equal(before[name]), name
