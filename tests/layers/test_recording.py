"""Recorded gates are those that the kernels were made with."""

import math

import pytest
import torch
from torch import nn

from mmfdconv.functional import (
    cells_to_kernels,
    frequency_bands,
    per_sample_conv2d,
)
from mmfdconv.layers import (
    CondConv,
    DCDConv,
    DYConv,
    FADConv,
    FDConv,
    FDLinear,
    KWConv,
    ODConv,
    gate_entropy,
    has_gates,
    record_bands,
    record_gates,
)

from .test_kernel_warehouse import TwoLayers, convert

pytestmark = pytest.mark.core


def tensors(model):
    return {k: v.clone() for k, v in model.state_dict().items()}


def spread_router_(layer):
    """Move a router off its neutral start."""
    for parameter in layer.router_parameters():
        nn.init.normal_(parameter, std=0.5)
    return layer


@pytest.mark.parametrize('cls', [CondConv, DYConv, FADConv, ODConv])
def test_experts(cls, monkeypatch):
    layer = spread_router_(cls(4, 6, 3, num_experts=3))
    if hasattr(layer, 'temperature'):
        layer.temperature.fill_(2.0)
    used = []
    mix = layer.mix
    monkeypatch.setattr(
        layer, 'mix', lambda a, *args: used.append(a.detach()) or mix(a, *args)
    )
    with record_gates(layer) as gates:
        layer(torch.randn(2, 4, 7, 7))
    assert gates[''].shape == (2, 3)
    assert not gates[''].requires_grad
    torch.testing.assert_close(gates[''], used[0], rtol=0, atol=0)
    assert gates[''].std() > 0.01


@pytest.mark.parametrize('act', ['sigmoid', 'tanh'])
def test_frequency_groups(act):
    layer = FDConv(16, 16, 3, kernel_num=8, ksm_global_act=act)
    spread_router_(layer).eval()
    x = torch.randn(2, 16, 7, 7)
    with record_gates(layer) as gates:
        layer(x)
    wanted = layer.KSM_Global(x.mean((2, 3))).kernel
    torch.testing.assert_close(gates[''], wanted)
    assert gates[''].std() > 0.01


def test_cells():
    net = convert(TwoLayers(), cell_num_ratio=2, temperature=0.3)
    layer = net.c2
    assert isinstance(layer, KWConv)
    x = torch.randn(2, 16, 5, 5)
    with record_gates(net) as gates:
        y = layer(x)
    assert list(gates) == ['c2']
    assert gates['c2'].shape == (2, layer.place.mixtures, len(layer.cells))
    cell = layer._warehouse[0].cells[layer.warehouse_index]
    pieces = gates['c2'] @ layer.cells.flatten(1)
    kernel = cells_to_kernels(pieces, layer.weight_shape, cell)
    wanted = per_sample_conv2d(x, kernel, layer.bias, padding=(1, 1))
    torch.testing.assert_close(y, wanted)


def test_names_hooks_and_layers_without_gates():
    model = nn.ModuleDict(
        dict(
            dcd=DCDConv(4, 4, 1),
            one=ODConv(4, 4, 1, num_experts=1),
            group=FDConv(4, 4, 1, kernel_num=1),
            static=FDConv(4, 4, 1, use_fdconv_if_c_gt=16),
            stock=nn.Conv2d(4, 4, 1),
            inner=nn.Sequential(DYConv(4, 4, 1)),
            tokens=FDLinear(16, 16),
        )
    )
    x = torch.randn(2, 4, 3, 3)
    before = tensors(model)
    with record_gates(model) as gates:
        assert gates == {}
        for name, layer in model.items():
            layer(torch.randn(2, 5, 16) if name == 'tokens' else x)
        model['inner'](x[:1])  # the later call counts
    assert set(gates) == {'inner.0', 'tokens'}
    assert gates['inner.0'].shape == (1, 4)
    assert all(not m._forward_hooks for m in model.modules())
    found = {name for name, m in model.named_modules() if has_gates(m)}
    assert found == set(gates)
    after = model.state_dict()
    # Running statistics of routers moved as in any training step.
    moved = {k for k in before if not torch.equal(before[k], after[k])}
    assert all('bn' in name for name in moved)
    with record_gates(model):  # no call, no statistics
        pass
    assert all(torch.equal(after[k], v) for k, v in tensors(model).items())


def test_hooks_go_when_the_model_fails():
    layer = DYConv(4, 4, 1)
    with pytest.raises(ValueError), record_gates(layer):
        layer(torch.randn(2, 3, 3, 3))
    assert all(not m._forward_hooks for m in layer.modules())


def test_bands_of_one_map_without_a_batch():
    layer, x = FDConv(4, 4, 3), torch.randn(4, 9, 8)
    with record_bands(nn.Sequential(layer)) as bands:
        layer(x)
        (alone,) = bands.values()
        layer(x[None])
        (expected,) = bands.values()
    torch.testing.assert_close(alone.energy, expected.energy)
    torch.testing.assert_close(alone.maps, expected.maps)


def test_entropy():
    gates = torch.tensor(
        [[0.25] * 4, [1.0, 0, 0, 0], [2.0, -2, 0, 0], [0.0] * 4]
    )
    wanted = torch.tensor([math.log(4), 0, math.log(2), 0])
    torch.testing.assert_close(gate_entropy(gates), wanted)
    torch.testing.assert_close(gate_entropy(gates.half()), wanted)
    assert gate_entropy(gates.view(2, 2, 4)).shape == (2, 2)


@pytest.mark.parametrize('size', [(16, 24), (9, 13), (32, 17)])
@pytest.mark.parametrize('mask', ['exact', 'nearest64'])
def test_bands(size, mask):
    cfg = dict(mask=mask, lowfreq_att=True, spatial_group=2)
    layer = spread_router_(FDConv(4, 4, 3, padding=1, fbm_cfg=cfg))
    x = torch.randn(2, 4, *size)
    with record_bands(nn.ModuleDict(dict(conv=layer))) as found:
        layer(x)
    energy, maps = found['conv']
    bands = frequency_bands(x[:1], [2, 4, 8], mask)
    wanted = torch.stack([band.square().sum() for band in bands])
    torch.testing.assert_close(energy, wanted / x[0].square().sum())
    torch.testing.assert_close(energy.sum(), torch.tensor(1.0))
    torch.testing.assert_close(maps, layer.FBM.maps(x)[0])
    assert maps.shape == (2, 4, *size)


def test_bands_of_nothing():
    layer = FDConv(4, 4, 3, padding=1)
    with record_bands(layer) as found, record_gates(layer) as gates:
        layer(torch.zeros(1, 4, 8, 8))
        assert found[''].energy.isfinite().all()
        found.clear()
        layer(torch.zeros(0, 4, 8, 8))
    assert found == {}
    assert gates[''].shape == (0, 4)
    with record_bands(FDConv(4, 4, 1)) as found:
        pass
    assert found == {}


def test_under_autocast():
    layer = spread_router_(FDConv(4, 4, 3, padding=1)).eval()
    x = torch.randn(2, 4, 8, 8)
    with torch.autocast('cpu', torch.bfloat16):
        plain = layer(x.bfloat16())
        with record_gates(layer) as gates, record_bands(layer) as bands:
            recorded = layer(x.bfloat16())
    assert recorded.equal(plain)
    dtypes = {t.dtype for t in (gates[''], *bands[''])}
    assert dtypes == {torch.float32}
