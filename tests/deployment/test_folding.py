"""Averaged gates make stock layers of dynamic ones."""

import pytest
import torch
from torch import nn

from mmfdconv.convert import LayerRule, convert_dynamic_
from mmfdconv.deployment.folding import fold_static_
from mmfdconv.layers import (
    DynamicConv2d,
    FADConv,
    FDConv,
    fixed_gates,
    record_descriptors,
)
from mmfdconv.registry import LAYERS

pytestmark = pytest.mark.core

METHODS = sorted(LAYERS)


class Net(nn.Module):
    """Convolutions of several kinds, one on top of the other, and tokens."""

    def __init__(self, groups=(2, 8)):
        super().__init__()
        self.layer1 = nn.Sequential(
            nn.Conv2d(6, 8, (3, 1), padding=(1, 0), stride=2),
            nn.Conv2d(8, 8, 3, dilation=2, padding=2, groups=groups[0]),
            nn.Conv2d(
                8, 8, 3, groups=groups[1], padding_mode='reflect', padding=1
            ),
        )
        self.fc = nn.Linear(8, 5)

    def forward(self, image):
        return self.fc(self.layer1(image).flatten(2).transpose(1, 2))


def live(method):
    # DCD's path connects the channels of all groups.
    model = Net((1, 1) if method == 'DCDConv' else (2, 8))
    cfg = dict(type=method)
    if method == 'FDConv':
        cfg.update(use_fbm_if_k_in=())
    if method == 'KWConv':
        names = {r'(.+)': r'stage1_layer0_\1'}
        cfg.update(warehouse_names=names, temperature=0.5)
    convert_dynamic_(model, cfg, LayerRule(linears=True))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model.eval()


@pytest.mark.parametrize('method', METHODS)
@torch.no_grad()
def test_a_folded_model_is_the_one_with_fixed_gates(method):
    model = live(method)
    images = list(torch.randn(3, 1, 6, 11, 9))
    with record_descriptors(model) as means:
        for image in images:
            model(image)
    with fixed_gates(model, means):
        expected = model(images[0])
    results = fold_static_(model, images)
    assert all(result.folded and result.error < 2 for result in results)
    assert list(model.state_dict()) == list(Net().state_dict())
    model.load_state_dict(model.state_dict())
    out = model(images[0])
    assert (out - expected).norm() < 1e-4 * expected.norm()


@pytest.mark.parametrize('groups', [1, 4])
@pytest.mark.parametrize('keeps', [False, True])
@torch.no_grad()
def test_constant_band_maps_fold_without_error(groups, keeps):
    """Such as saturated ones: they only scale the layer's input."""
    fbm = dict(lowfreq_att=True, spatial_group=4)
    layer = FDConv(8, 8, 3, groups=groups, use_fdconv_if_c_gt=0, fbm_cfg=fbm)
    model = nn.Sequential(layer)
    model.eval()[0].keeps_kernels = keeps
    scale = torch.randn(4)
    for conv in model[0].FBM.freq_weight_conv_list:
        conv.bias.copy_(scale)
    image = torch.randn(1, 8, 12, 10)
    image[:, 5] = 0
    expected = model(image)
    (result,) = fold_static_(model, [image, 2 * image])
    assert result.error < 1e-5
    assert (model(image) - expected).norm() < 1e-5 * expected.norm()


@pytest.mark.parametrize('method', METHODS)
def test_what_was_frozen_stays_frozen(method):
    model = live(method)
    kept = model.fc.weight_parameters()
    routers = {
        parameter
        for layer in model.modules()
        if isinstance(layer, DynamicConv2d)
        for parameter in layer.router_parameters()
    }  # alive, as those of a frozen stage are
    alive = {*kept, *model.fc.shared_parameters(), *routers}
    for parameter in model.parameters():
        parameter.requires_grad_(parameter in alive)
    fold_static_(model, [torch.randn(1, 6, 9, 8)])
    alive = [n for n, p in model.named_parameters() if p.requires_grad]
    assert alive == ['fc.weight', 'fc.bias']


@torch.no_grad()
def test_band_maps_that_move_fold_to_the_nearest_factor():
    conv = nn.Conv2d(2, 2, 3, groups=2)
    model = nn.Sequential(FDConv.from_conv(conv, use_fdconv_if_c_gt=0))
    for parameter in model.eval()[0].FBM.parameters():
        parameter.normal_()
    image = torch.randn(1, 2, 16, 16)
    y = model[0].FBM(image)
    factors = (y * image).sum((2, 3)) / image.square().sum((2, 3))
    fold_static_(model, [image])
    expected = conv.weight * factors.view(2, 1, 1, 1)
    assert torch.allclose(model[0].weight, expected, atol=1e-5)
    assert not torch.allclose(model[0].weight, conv.weight, atol=1e-2)


@torch.no_grad()
def test_equal_images_fold_without_error():
    model, image = live('ODConv'), torch.randn(1, 6, 11, 9)
    expected = model(image)
    results = fold_static_(model, [image, image])
    assert max(result.error for result in results) < 1e-5
    assert (model(image) - expected).norm() < 1e-5 * expected.norm()


@torch.no_grad()
def test_the_error_of_one_layer():
    model = nn.Sequential(nn.Conv2d(6, 8, 3), nn.ReLU())
    convert_dynamic_(model, dict(type='ODConv'), LayerRule())
    for parameter in model.parameters():
        parameter.add_(torch.randn_like(parameter) * 0.1)
    images = list(torch.randn(3, 1, 6, 11, 9))
    dynamic = model.eval()[0]
    expected = torch.stack([dynamic(image) for image in images])
    (result,) = fold_static_(model, images)
    out = torch.stack([model[0](image) for image in images])
    error = (out - expected).norm() / expected.norm()
    assert error > 1e-3
    assert result.error == pytest.approx(error.item(), rel=1e-4)


@torch.no_grad()
def test_a_strided_layer_that_pads_by_size_folds():
    model = nn.Sequential(
        FADConv(4, 4, 3, stride=2, padding='same', groups=4, bias=False)
    )
    image = torch.randn(1, 4, 10, 13)
    expected = model.eval()(image)
    (result,) = fold_static_(model, [image])
    assert result.folded and isinstance(model[0], nn.Conv2d)
    assert (model[0](image) - expected).norm() < 1e-5 * expected.norm()


def test_some_stay_dynamic():
    images = list(torch.randn(3, 1, 6, 11, 9))
    names = ['layer1.0', 'fc']
    model = live('ODConv')
    results = fold_static_(model, images, names)
    assert [r.name for r in results if r.folded] == names
    assert isinstance(model.layer1[1], DynamicConv2d)
    assert type(model.fc) is nn.Linear

    model = live('ODConv')
    errors = {r.name: r.error for r in fold_static_(model, images, [])}
    middle = sorted(errors.values())[2]
    results = fold_static_(model, images, below=middle)
    assert {r.name for r in results if r.folded} == {
        name for name, error in errors.items() if error < middle
    }
    (reason,) = {r.reason for r in results if not r.folded}
    assert reason == f'its error is not below {middle:g}'


def test_what_has_no_stock_form_says_why():
    model = nn.Sequential(nn.Conv2d(4, 4, 3, groups=2), nn.ReLU())
    convert_dynamic_(model, dict(type='DCDConv'), LayerRule())
    (result,) = fold_static_(model, [torch.randn(1, 4, 8, 8)])
    assert not result.folded and 'all groups' in result.reason
    model = nn.Sequential(nn.Conv2d(4, 4, 3, bias=False), nn.ReLU())
    rule = LayerRule(names={'0': True}, otherwise=False)
    convert_dynamic_(model, dict(type='DCDConv'), rule)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    (result,) = fold_static_(model, [torch.randn(1, 4, 8, 8)])
    assert not result.folded and 'adds a constant' in result.reason


@pytest.mark.parametrize(
    'model, images, layers, words',
    [
        (nn.Conv2d(3, 3, 1), [0], None, 'Conv2d has no dynamic layer'),
        (None, [], None, 'images: there are none'),
        (None, [0], ['a'], r"layers: \['a'\] are no dynamic layers"),
    ],
    ids=['stock', 'no-image', 'no-layer'],
)
def test_what_cannot_be_folded(model, images, layers, words):
    with pytest.raises(ValueError, match=words):
        fold_static_(model or live('ODConv'), images, layers)


class Twice(nn.Module):
    """A layer under two names, and one that never runs."""

    def __init__(self):
        super().__init__()
        self.first = self.again = FADConv(4, 4, 3, padding=1, pool_size=4)
        self.idle = FADConv(4, 4, 3, padding=1, pool_size=4)

    def forward(self, image):
        return self.again(self.first(image))


def test_a_shared_layer_is_folded_wherever_it_stands():
    model = Twice()
    result, idle = fold_static_(model, [torch.randn(1, 4, 8, 8)])
    assert result.folded
    assert type(model.first) is nn.Conv2d
    assert model.again is model.first
    assert idle.reason == 'it does not run when the model is called'
    assert type(model.idle) is FADConv


def test_what_cannot_be_folded_is_told():
    layer = FADConv(4, 4, 3, pool_size=4)
    image = torch.full((1, 4, 8, 8), torch.nan)
    with pytest.raises(ValueError, match='cannot be replaced in itself'):
        fold_static_(layer, [image])
    (result,) = fold_static_(nn.Sequential(layer), [image])
    assert result.reason == 'its output is not finite'
