"""Every backbone that the three toolboxes register, converted.

What the tables in ``backbones_*.py`` do not list fails here, so that a new
class in a toolbox is noticed.
"""

import copy
import re
from contextlib import contextmanager
from unittest import mock

import pytest
import torch
from mmengine.registry import MODELS, DefaultScope
from torch.nn.modules.batchnorm import _BatchNorm

from mmfdconv.layers import DynamicConv2d

from .backbones import registered
from .backbones_mmdet import MMDET
from .backbones_mmpretrain import MMPRETRAIN
from .backbones_mmseg import MMSEG
from .backbones_tokens import TOKENS

TABLES = dict(mmdet=MMDET, mmseg=MMSEG, mmpretrain={**MMPRETRAIN, **TOKENS})
FDCONV = dict(type='FDConv', kernel_num=4)
FADCONV = dict(type='FADConv')
#: Of each family, the backbone on which every layer is tried.
FAMILIES = (
    'mmdet-ResNet',
    'mmdet-HRNet',
    'mmdet-SwinTransformer',
    'mmpretrain-ConvNeXt',
    'mmpretrain-MobileNetV3',
    'mmpretrain-VisionTransformer',
    'mmseg-MixVisionTransformer',
    'mmseg-UNet',
)
LAYERS = (
    FADCONV,
    dict(type='ODConv'),
    dict(type='DYConv'),
    dict(type='CondConv', num_experts=2),
)
#: Of outputs, relative to the largest value: float32 through up to a hundred
#: layers, whose kernels go through an FFT and back.
TOLERANCE = 1e-4
#: All that the layers themselves allow, so that no preset hides a layer whose
#: backbone does more with it than to call it.
EVERYTHING = dict(linears=True, min_channels=4)


def cases():
    """Yield a parameter for every backbone that can be built."""
    for toolbox, table in TABLES.items():
        for name, case in table.items():
            if not case.absent:
                yield pytest.param(
                    toolbox,
                    name,
                    case,
                    marks=[pytest.mark.core] if case.core else [],
                    id=f'{toolbox}-{name}',
                )


@contextmanager
def default_scope(toolbox, name, case):
    """Let types be resolved, and the class look, as the case needs it."""
    pytest.importorskip(toolbox)
    if case.needs:
        pytest.importorskip(case.needs)
    cls = registered(toolbox)[name]
    with DefaultScope.overwrite_default_scope(toolbox):
        if not case.class_attrs:
            yield
        else:
            attrs = {
                key: value(getattr(cls, key)) if callable(value) else value
                for key, value in case.class_attrs.items()
            }
            with mock.patch.multiple(cls, **attrs):
                yield


def stock_config(name, case):
    return dict(type=name, **copy.deepcopy(dict(case.settings)))


def build_stock(name, case):
    """Build and initialise, then make every parameter count.

    Layer scales near zero, biases and embeddings of zero would hide what
    happens in the branches that they multiply. Without statistics of their
    own data, batch norms let the features of deep networks explode.
    """
    model = MODELS.build(stock_config(name, case))
    model.init_weights()
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if re.fullmatch(case.redraw, key):
                parameter.copy_(0.1 * noise)
            elif max(parameter.shape) == parameter.numel():
                parameter.add_(0.1 * noise)
        measure_statistics_(model, case.images())
    return model


def measure_statistics_(model, images):
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm)]
    momenta = [m.momentum for m in norms]
    model.eval()
    for m in norms:
        m.train()
        m.momentum = 1.0  # take the last batch's as they are
    model(images)
    for m, momentum in zip(norms, momenta):
        m.momentum = momentum
        # What is almost constant over two images must not be blown up.
        m.running_var.clamp_(min=m.running_var.mean().item())
    model.train()


def build_dynamic(name, case, conv_cfg, rule):
    return MODELS.build(
        dict(
            type='DynamicBackbone',
            backbone=stock_config(name, case),
            conv_cfg=conv_cfg,
            rule=rule,
        )
    )


def tensors(outputs):
    """Yield the tensors of nested outputs, in order."""
    if torch.is_tensor(outputs):
        yield outputs
    elif isinstance(outputs, dict):
        for key in sorted(outputs):
            yield from tensors(outputs[key])
    elif isinstance(outputs, (tuple, list)):
        for item in outputs:
            yield from tensors(item)
    else:
        assert outputs is None, f'unknown output {type(outputs)}'


def load_report(model, state):
    """Load; return the names of what is missing and unexpected."""
    report = model.load_state_dict(copy.copy(state), strict=False)
    return report.missing_keys, report.unexpected_keys


@torch.no_grad()
def evaluate(model, images):
    model.eval()  # returns None where a toolbox overrides train()
    return list(tensors(model(images.clone())))


def distance(ours, theirs):
    """Largest difference relative to the largest value, over all outputs."""
    assert len(ours) == len(theirs) > 0
    assert [a.shape for a in ours] == [b.shape for b in theirs]
    distances = [
        (a - b).abs().max() / b.abs().max().clamp(min=1e-6)
        for a, b in zip(ours, theirs)
    ]
    return torch.stack(distances).max().item()  # NaN if one is


def backward(model, images):
    """Run a loss that no normalisation at the end makes constant."""
    generator = torch.Generator().manual_seed(3)
    loss = sum(
        (out * torch.randn(out.shape, generator=generator)).mean()
        for out in tensors(model(images.clone()))
    )
    loss.backward()


def dynamic_layers(model):
    return {
        name: m
        for name, m in model.named_modules()
        if isinstance(m, DynamicConv2d)
    }


def check_keys(model, stock, layers):
    """Nothing is renamed; a dynamic layer's keys are below the stock one's."""
    heads = tuple(f'{name}.' for name in layers)
    ours, theirs = set(model.state_dict()), set(stock.state_dict())
    modules = dict(stock.named_modules())
    assert [n for n in layers if n not in modules] == []
    assert {k for k in ours if not k.startswith(heads)} == {
        k for k in theirs if not k.startswith(heads)
    }


@torch.no_grad()
def check_initialised(model, layers, name, case):
    """From scratch, every layer is given what its stock layer is given."""
    stock = MODELS.build(stock_config(name, case))
    # Where nothing is drawn, a layer keeps the values it was built with.
    for module, layer in layers.items():
        found = stock.get_submodule(module)
        layer.load_state_dict(found.state_dict())
    for each in (stock, model):
        torch.manual_seed(5)
        each.init_weights()
    stock.eval()
    model.eval()
    for module, layer in layers.items():
        found = stock.get_submodule(module)
        if isinstance(found, torch.nn.Linear):
            shape = (2, 3, found.in_features)
        else:
            sides = [d * k for d, k in zip(found.dilation, found.kernel_size)]
            shape = (2, found.in_channels, *sides)
        x = torch.randn(shape)
        assert distance([layer(x)], [found(x)]) < TOLERANCE, module
    model.train()


def layers_in_use(stock, layers, images):
    """Names of the layers that take part in the outputs, frozen or not."""
    stock.train()
    stock.requires_grad_(True)
    backward(stock, images)
    found = dict(stock.named_modules())
    return {
        name
        for name in layers
        if found[name].weight.grad is not None
        and found[name].weight.grad.abs().sum() > 0
    }


def check_training(model, layers, in_use, images):
    model.train()
    for module in model.modules():
        if hasattr(module, 'drop_prob'):  # a dropped path has no gradient
            module.drop_prob = 0.0
    backward(model, images)
    for name, p in model.named_parameters():
        assert p.grad is None or p.grad.isfinite().all(), name
    for name in in_use:
        parameters = list(layers[name].router_parameters())
        assert all(p.requires_grad for p in parameters), name
        assert all(p.grad is not None for p in parameters), name
        assert any(p.grad.abs().sum() > 0 for p in parameters), name
    model.zero_grad(set_to_none=True)


def move_gates_(layers):
    """Take the gates away from their neutral start, seeded.

    Experts, which start as copies of one kernel, are drawn apart: between
    equals no gate has a gradient.
    """
    generator = torch.Generator().manual_seed(4)
    std = 0.2 / len(layers)  # deep networks amplify
    with torch.no_grad():
        for layer in layers.values():
            for p in layer.router_parameters():
                p.add_(std * torch.randn(p.shape, generator=generator))
            for p in layer.weight_parameters():
                if p.dim() == 5:
                    noise = torch.randn(p.shape, generator=generator)
                    p.add_(std * p.std() * noise)


def sweep(name, case, conv_cfg, rule):
    stock = build_stock(name, case)
    model = build_dynamic(name, case, conv_cfg, rule)
    layers = dynamic_layers(model)
    check_keys(model, stock, layers)

    check_initialised(model, layers, name, case)
    # All of it and no more; some backbones leave out buffers on purpose.
    known = load_report(copy.deepcopy(stock), stock.state_dict())
    assert load_report(model, stock.state_dict()) == known
    images = case.images()
    expected = evaluate(stock, images)
    start = distance(evaluate(model, images), expected)
    assert start < TOLERANCE

    in_use = layers_in_use(stock, layers, images)
    assert in_use
    move_gates_(layers)
    check_training(model, layers, in_use, images)
    moved = evaluate(model, images)
    assert all(out.isfinite().all() for out in moved)
    assert distance(moved, expected) > 10 * start, 'the gates do nothing'
    assert distance(evaluate(copy.deepcopy(model), images), moved) == 0
    fresh = build_dynamic(name, case, conv_cfg, rule)
    assert load_report(fresh, model.state_dict()) == known
    assert distance(evaluate(fresh, images), moved) == 0


@pytest.mark.core
@pytest.mark.parametrize('toolbox', TABLES)
def test_every_registered_backbone_has_its_entry(toolbox):
    pytest.importorskip(toolbox)
    # Entries without a class are allowed: the two stacks may differ.
    assert set(registered(toolbox)) - set(TABLES[toolbox]) == set()


@pytest.mark.parametrize('toolbox, name, case', cases())
def test_by_preset_or_the_rule_of_the_table(toolbox, name, case):
    with default_scope(toolbox, name, case):
        if case.refused:
            with pytest.raises(ValueError, match=case.refused):
                build_dynamic(name, case, FDCONV, case.rule)
        else:
            sweep(name, case, FDCONV, case.rule)


@pytest.mark.parametrize('conv_cfg', LAYERS, ids=lambda c: c['type'])
@pytest.mark.parametrize('family', FAMILIES)
def test_every_layer_on_one_of_a_family(family, conv_cfg):
    toolbox, name = family.split('-')
    case = TABLES[toolbox][name]
    with default_scope(toolbox, name, case):
        sweep(name, case, conv_cfg, EVERYTHING)


@pytest.mark.parametrize('toolbox, name, case', cases())
def test_with_everything_dynamic_it_starts_as_stock(toolbox, name, case):
    if case.refused or case.costly:
        pytest.skip(case.refused or case.costly)
    with default_scope(toolbox, name, case):
        stock = build_stock(name, case)
        model = build_dynamic(name, case, FADCONV, EVERYTHING)
        load_report(model, stock.state_dict())
        images = case.images()
        start = distance(evaluate(model, images), evaluate(stock, images))
        assert start < TOLERANCE
