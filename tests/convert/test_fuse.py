"""Batch norms and dynamic layers: what folds them, and what traces them."""

import copy
import pickle

import pytest
import torch
from torch import nn

from mmfdconv.convert import LayerRule, convert_dynamic_, fuse_conv_bn
from mmfdconv.layers import DynamicConv2d

from ..layers.helpers import relative_error
from ..training.helpers import METHODS, build_backbone, images

pytestmark = pytest.mark.core

CFG = dict(type='FDConv', kernel_num=4)


def with_statistics_(model):
    for m in model.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.running_mean.normal_()
            m.running_var.uniform_(0.5, 2)
            nn.init.normal_(m.weight)
            nn.init.normal_(m.bias)
    return model.eval()


def siblings():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.BatchNorm2d(8),
        nn.Conv2d(8, 8, 1),
        nn.Conv2d(8, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
    )


@torch.no_grad()
def test_a_norm_is_never_folded_into_the_wrong_layer():
    net = with_statistics_(siblings())
    convert_dynamic_(net, CFG, LayerRule(names={'3': True}, otherwise=False))
    x = torch.randn(2, 3, 9, 9)
    expected = net(x)
    assert fuse_conv_bn(net) is net
    assert isinstance(net[1], nn.Identity)
    assert isinstance(net[4], nn.BatchNorm2d)
    assert relative_error(net(x), expected) < 1e-5


@torch.no_grad()
def test_mmcv_is_refused_where_it_would_fold_wrongly():
    fuse = pytest.importorskip('mmcv.cnn').fuse_conv_bn
    net = with_statistics_(siblings())
    rule = LayerRule(names={'3': True}, otherwise=False)
    report = convert_dynamic_(net, CFG, rule)
    (note,) = report.notes
    assert 'would fold 4 into 2, and is refused' in note
    assert note in str(report)
    x = torch.randn(2, 3, 9, 9)
    expected = net(x)
    copied = pickle.loads(pickle.dumps(copy.deepcopy(net)))
    for model in (net, copied):
        with pytest.raises(ValueError, match='take mmfdconv.convert.fuse_co'):
            fuse(copy.deepcopy(model))
        assert relative_error(fuse_conv_bn(model)(x), expected) < 1e-5
    # It is a convolution as before: it moves, loads and becomes dynamic.
    assert type(net[2]).__name__ == 'Conv2d'
    net.double().load_state_dict(net.state_dict())
    own = {name: value.clone() for name, value in net.state_dict().items()}
    net.load_state_dict(own, assign=True)
    assert net[2].weight.data_ptr() == own['2.weight'].data_ptr()
    with pytest.raises(ValueError, match='take mmfdconv.convert.fuse_co'):
        fuse(copy.deepcopy(net))
    rule = LayerRule(names={'2': True}, otherwise=False)
    (row,) = convert_dynamic_(net, CFG, rule).converted
    assert row.name == '2'


@torch.no_grad()
def test_mmcv_folds_where_a_norm_follows_each_layer():
    fuse = pytest.importorskip('mmcv.cnn').fuse_conv_bn
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
    net.extend([nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8)])
    rule = LayerRule(names={'2': True}, otherwise=False)
    assert convert_dynamic_(with_statistics_(net), CFG, rule).notes == ()
    x = torch.randn(2, 3, 9, 9)
    expected = net(x)
    assert relative_error(fuse(net)(x), expected) < 1e-5


@torch.no_grad()
def test_a_converted_backbone_is_folded_as_mmcv_does():
    fuse = pytest.importorskip('mmcv.cnn').fuse_conv_bn
    model = build_backbone('FDConv').eval()
    x = images()
    expected = model(x)
    ours, theirs = copy.deepcopy(model), copy.deepcopy(model)
    fuse_conv_bn(ours), fuse(theirs)
    assert isinstance(ours.bn1, nn.Identity)
    assert isinstance(ours.layer2[0].downsample[1], nn.Identity)
    assert isinstance(ours.layer2[0].bn1, nn.BatchNorm2d)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for out, their, stock in zip(ours(x), theirs(x), expected):
        assert relative_error(out, stock) < 1e-4
        assert relative_error(out, their) < 1e-5


@pytest.mark.parametrize('part', ['backbone', 'backbone.layer3.0'])
@pytest.mark.parametrize('method', [*METHODS, 'KWConv', 'ODConv'])
def test_efficient_conv_bn_eval_leaves_dynamic_layers_out(method, part):
    efficient = pytest.importorskip('mmengine.model.efficient_conv_bn_eval')
    model = nn.Module()
    cfg = METHODS.get(method, dict(type=method))
    model.backbone = build_backbone(method, cfg).eval()
    x = images()
    expected = [out.detach() for out in model.backbone(x)]
    efficient.turn_on_efficient_conv_bn_eval(model, [part])
    assert 'forward' in vars(model.get_submodule(part))
    called = set()
    for name, layer in model.named_modules():
        if isinstance(layer, DynamicConv2d):
            layer.register_forward_hook(lambda *_, n=name: called.add(n))
    outs = model.backbone(x)
    for out, stock in zip(outs, expected):
        assert relative_error(out, stock) < 1e-4
    assert len(called) >= 16
    # As where norms stay in evaluation while the rest is trained.
    sum(out.square().mean() for out in outs).backward()
    assert model.backbone.conv1.weight.grad.any()
