"""Encoders of FADConv's paper: what they share with the stock ResNet."""

import pytest
import torch

pytest.importorskip('mmseg')

from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

from mmfdconv.layers import FADConv
from mmfdconv.models import DeepLabResNet, UNetResNet

SMALL = dict(depth=18, stem_channels=16, base_channels=8)


@pytest.fixture(autouse=True)
def _scope():
    import mmseg.models  # noqa: F401

    init_default_scope('mmseg')


def _build(kind, **options):
    torch.manual_seed(0)
    model = MODELS.build(dict(type=kind, **{**SMALL, **options}))
    model.init_weights()
    model.eval()  # mmseg's ResNet returns nothing here
    return model


@pytest.mark.core
def test_unet_resnet_is_the_stock_one_around_the_second_convolution():
    model, stock = _build('UNetResNet'), _build('ResNet')
    assert isinstance(model, UNetResNet)
    missing, unexpected = model.load_state_dict(
        stock.state_dict(), strict=False
    )
    assert unexpected == []
    assert {name.split('.')[0] for name in missing} == {
        'pooled_conv',
        'pooled_norm',
    }
    # made the identity, it leaves the stages what they are
    torch.nn.init.dirac_(model.pooled_conv.weight)
    x = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        stem, *maps = model(x)
        expected = stock(x)
    assert stem.shape == (2, 16, 32, 48)
    assert len(maps) == len(expected) == 4
    for ours, theirs in zip(maps, expected):
        # the norm's epsilon is what remains
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)


def test_a_checkpoint_of_another_place_does_not_fit():
    model = _build('UNetResNet')
    before = {
        name.replace('pooled_conv', 'stem_conv2'): value
        for name, value in model.state_dict().items()
    }
    with pytest.raises(RuntimeError, match='(?s)pooled_conv.*stem_conv2'):
        model.load_state_dict(before)


def test_the_second_convolution_counts():
    model = _build('UNetResNet')
    x = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        before = model(x)
        model.pooled_conv.weight.mul_(2)
        after = model(x)
    assert before[0].equal(after[0])  # it stands behind the stem's pooling
    for one, other in zip(before[1:], after[1:]):
        assert not one.allclose(other)


def test_quarter_width_keeps_its_stem():
    model = _build('UNetResNet', stem_channels=64, base_channels=16)
    with torch.no_grad():
        maps = model(torch.randn(1, 3, 64, 64))
    assert [m.shape[1] for m in maps] == [64, 16, 32, 64, 128]
    assert [m.shape[2] for m in maps] == [32, 16, 8, 4, 2]
    assert model.pooled_conv.weight.shape == (64, 64, 3, 3)


@pytest.mark.parametrize('bands', [1, 4, 8])
@pytest.mark.parametrize('kind', ['UNetResNet', 'DeepLabResNet'])
def test_any_number_of_bands(kind, bands):
    model = _build(kind, in_channels=bands)
    with torch.no_grad():
        maps = model(torch.randn(1, bands, 64, 64))
    assert all(m.isfinite().all() for m in maps)


def test_frozen_stem_includes_the_second_convolution():
    model = _build('UNetResNet', frozen_stages=1)
    model.train()
    frozen = {
        name.split('.')[0]
        for name, p in model.named_parameters()
        if not p.requires_grad
    }
    assert frozen == {'conv1', 'bn1', 'pooled_conv', 'pooled_norm', 'layer1'}
    assert not model.pooled_norm.training


def test_no_deep_stem():
    with pytest.raises(ValueError, match='deep_stem must be False'):
        _build('UNetResNet', deep_stem=True)


@pytest.mark.core
def test_deeplab_resnet():
    options = dict(
        strides=(1, 2, 2, 1), dilations=(1, 1, 1, 2), out_indices=(0, 3)
    )
    model = _build('DeepLabResNet', aspp_channels=12, **options)
    stock = _build('ResNet', **options)
    assert isinstance(model, DeepLabResNet)
    missing, unexpected = model.load_state_dict(
        stock.state_dict(), strict=False
    )
    assert unexpected == []
    assert {name.split('.')[0] for name in missing} == {
        'aspp',
        'aspp_project',
        'image_pool',
    }
    dilations = [m.conv.dilation for m in model.aspp]
    assert dilations == [(1, 1), (6, 6), (12, 12), (18, 18)]
    kernels = [m.conv.kernel_size for m in model.aspp]
    assert kernels == [(1, 1), (3, 3), (3, 3), (3, 3)]

    x = torch.randn(2, 3, 65, 97)
    with torch.no_grad():
        fine, coarse = model(x)
        stock_fine, last = stock(x)
        # the pyramid, written out
        pooled = model.image_pool[1](last.mean((2, 3), keepdim=True))
        branches = [pooled.expand(-1, -1, *last.shape[2:])]
        branches += [branch(last) for branch in model.aspp]
        expected = model.aspp_project(torch.cat(branches, 1))
    assert fine.equal(stock_fine)
    assert coarse.shape == (2, 12, 5, 7)
    torch.testing.assert_close(coarse, expected)


def test_aspp_needs_the_last_stage():
    with pytest.raises(ValueError, match='out_indices.*3.*got'):
        _build('DeepLabResNet', out_indices=(0, 1))


@pytest.mark.parametrize('kind', ['UNetResNet', 'DeepLabResNet'])
def test_converted_it_computes_the_same(kind):
    stock = _build(kind)
    rule = dict(patterns={r'image_pool.*': False})
    model = MODELS.build(
        dict(
            type='DynamicBackbone',
            backbone=dict(type=kind, **SMALL),
            conv_cfg=dict(type='FADConv', pool_size=8),
            rule=rule,
        )
    )
    model.init_weights()
    layers = [m for m in model.modules() if isinstance(m, FADConv)]
    convs = [m for m in stock.modules() if isinstance(m, torch.nn.Conv2d)]
    assert len(layers) == len(convs) - (kind == 'DeepLabResNet')
    model.load_state_dict(stock.state_dict(), strict=False)
    model.eval()
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        for ours, theirs in zip(model(x), stock(x)):
            bound = 1e-4 * theirs.abs().max().item()  # float32, 20 layers
            torch.testing.assert_close(ours, theirs, rtol=0, atol=bound)
