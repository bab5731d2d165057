"""DynamicBackbone: names, checkpoints, frozen stages, copies."""

import copy
import logging
import pickle

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import nn

from mmfdconv.convert import convert_dynamic_
from mmfdconv.convert.initialise import stock_layers_in_place
from mmfdconv.layers import FDConv, FDLinear

from ..layers.helpers import relative_error

pytest.importorskip('mmdet')
import mmdet.models  # noqa: F401

pytestmark = pytest.mark.core

CONV_CFG = dict(type='FDConv', kernel_num=4)
SMALL = dict(
    type='mmdet.ResNet',
    depth=18,
    base_channels=8,
    norm_cfg=dict(type='BN', requires_grad=True),
    style='pytorch',
)
FROZEN = dict(SMALL, frozen_stages=1, norm_eval=True)


def dynamic(backbone, conv_cfg=CONV_CFG, **kwargs):
    return MODELS.build(
        dict(
            type='DynamicBackbone',
            backbone=backbone,
            conv_cfg=conv_cfg,
            **kwargs,
        )
    )


def routers_of(model):
    names = FDConv.router_names
    return {
        name: p
        for name, p in model.named_parameters()
        if any(f'.{router}.' in name for router in names)
    }


def test_resnet50_has_the_published_parameters():
    cfg = dict(type='mmdet.ResNet', depth=50)
    stock = sum(p.numel() for p in MODELS.build(cfg).parameters())
    model = dynamic(cfg, dict(type='FDConv', kernel_num=64))
    parts = dict(dft_weight=0, KSM_Global=0, KSM_Local=0, FBM=0)
    for name, parameter in model.named_parameters():
        for part in parts:
            parts[part] += parameter.numel() if part in name else 0
    total = sum(p.numel() for p in model.parameters())
    assert (stock, total - stock) == (23_508_032, 3_647_120)
    assert parts == dict(
        dft_weight=20_737_024,
        KSM_Global=3_173_408,
        KSM_Local=311_296,
        FBM=102_000,
    )


def test_blocks_only_and_names_without_prefix():
    stock, model = MODELS.build(SMALL), dynamic(SMALL)
    assert isinstance(model, type(stock))
    assert isinstance(model.layer1[0].conv1, FDConv)
    assert not isinstance(model.conv1, FDConv)
    assert not isinstance(model.layer2[0].downsample[0], FDConv)
    kept = set(stock.state_dict()) & set(model.state_dict())
    assert 'layer2.0.downsample.0.weight' in kept
    assert 'layer4.1.bn2.running_mean' in kept
    gone = set(stock.state_dict()) - kept
    assert gone == {
        f'layer{s}.{b}.conv{c}.weight'
        for s in (1, 2, 3, 4)
        for b in (0, 1)
        for c in (1, 2)
    }


def test_the_report_is_logged(caplog):
    from mmengine.logging import MMLogger

    logger = MMLogger.get_instance('report_test', logger_name='report_test')
    logger.addHandler(caplog.handler)
    with caplog.at_level(logging.INFO, logger='report_test'):
        dynamic(SMALL)
    assert 'layer1.0.conv1' in caplog.text
    assert '16 of 20 layers converted' in caplog.text


@pytest.mark.parametrize('cfg', [SMALL, FROZEN], ids=['live', 'frozen'])
def test_it_starts_as_the_stock_backbone_after_init_weights(cfg):
    stock, model = MODELS.build(cfg), dynamic(cfg)
    stock.init_weights()
    model.init_weights()
    model.load_state_dict(stock.state_dict())
    for layer in model.modules():
        if isinstance(layer, FDConv):
            layer.init_weights()
    stock.eval(), model.eval()
    x = torch.randn(2, 3, 40, 56)
    for ours, theirs in zip(model(x), stock(x)):
        assert relative_error(ours, theirs) < 1e-4


@pytest.mark.parametrize('method', ['FDConv', 'DYConv', 'KWConv'])
def test_what_comes_after_draws_as_after_the_stock_backbone(method):
    def draws(backbone):
        torch.manual_seed(0)
        model = MODELS.build(backbone)
        built = torch.rand(4)
        model.init_weights()
        return torch.cat([built, torch.rand(4)])

    cfg = dict(
        type='DynamicBackbone', backbone=SMALL, conv_cfg=dict(type=method)
    )
    assert draws(cfg).equal(draws(SMALL))


def test_equal_layers_draw_different_routers():
    cfg = dict(
        type='DynamicBackbone', backbone=SMALL, conv_cfg=dict(type='FDConv')
    )
    model = MODELS.build(cfg)
    for _ in range(2):  # as converted, and initialised
        one, other = model.layer1[0].conv2, model.layer1[1].conv2
        drawn = [p for p in one.router_parameters() if p.std() > 0]
        assert drawn
        pairs = zip(one.router_parameters(), other.router_parameters())
        assert not any(p.equal(q) for p, q in pairs if p.std() > 0)
        model.init_weights()


@pytest.mark.parametrize('norm_eval', [True, False])
def test_frozen_stages_keep_their_routers(norm_eval):
    model = dynamic(dict(FROZEN, norm_eval=norm_eval))
    model.train()
    layer = model.layer1[0].conv1
    assert not layer.dft_weight.requires_grad
    assert not model.layer1[0].bn1.weight.requires_grad
    assert not model.layer1[0].bn1.training
    assert all(p.requires_grad for p in routers_of(model).values())
    assert layer.KSM_Global.training
    assert layer.KSM_Global.bn.training is not norm_eval
    with torch.no_grad():  # heads start at 0, which lets no gradient through
        for parameter in routers_of(model).values():
            if not parameter.any():
                parameter.normal_(std=0.01)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    optimizer = torch.optim.SGD(
        [p for p in model.parameters() if p.requires_grad], lr=1e12
    )
    outs = model(torch.randn(2, 3, 96, 96))
    sum(out.square().mean() for out in outs).backward()
    for name, p in routers_of(model).items():
        assert p.grad is not None, name
        if name.startswith('layer1'):
            assert p.grad.abs().sum() > 0, name
    optimizer.step()
    for name, p in model.named_parameters():
        if name.startswith(('conv1', 'bn1')) or (
            name.startswith('layer1') and name not in routers_of(model)
        ):
            assert p.equal(before[name]), name
    moved = model.layer1[0].conv2.KSM_Global.kernel_fc.weight
    assert not moved.equal(
        before['layer1.0.conv2.KSM_Global.kernel_fc.weight']
    )


def test_a_router_frozen_by_the_user_stays_frozen():
    model = dynamic(SMALL).requires_grad_(False)
    model.train()
    assert not any(p.requires_grad for p in model.parameters())


def test_eval_and_train_switch_routers():
    model = dynamic(dict(SMALL, norm_eval=False))
    assert not any(m.training for m in model.eval().modules())
    model.train()
    assert model.layer1[0].conv1.KSM_Global.bn.training


def test_copies_and_pickles():
    model = dynamic(FROZEN)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert type(other) is type(model)
        for a, b in zip(other.parameters(), model.parameters()):
            assert a is not b and a.equal(b)
            assert a.requires_grad == b.requires_grad
        other.train()
        assert other.layer1[0].conv1.KSM_Global.fc.weight.requires_grad


def test_conv_cfg_and_wrapper_give_the_same_model():
    gate = dict(use_fdconv_if_c_gt=3)  # spares the stem, not the downsample
    conv_cfg = dict(CONV_CFG, **gate)
    by_cfg = MODELS.build(dict(SMALL, conv_cfg=conv_cfg))
    wrapped = dynamic(SMALL, conv_cfg, rule=dict())
    assert list(by_cfg.state_dict()) == list(wrapped.state_dict())
    wrapped.load_state_dict(by_cfg.state_dict())
    x = torch.randn(2, 3, 32, 48)
    by_cfg.eval(), wrapped.eval()
    for a, b in zip(by_cfg(x), wrapped(x)):
        assert a.equal(b)


def test_a_rule_from_a_config():
    rule = dict(
        kernel_sizes=[3], stages=[4], patterns={r'layer4\.0\..*': False}
    )
    model = dynamic(SMALL, rule=rule)
    found = [n for n, m in model.named_modules() if isinstance(m, FDConv)]
    assert found == ['layer4.1.conv1', 'layer4.1.conv2']


def test_init_cfg_of_the_wrapper_reaches_the_backbone(tmp_path):
    stock = MODELS.build(SMALL)
    path = tmp_path / 'stock.pth'
    torch.save(stock.state_dict(), path)
    cfg = dict(type='Pretrained', checkpoint=str(path))
    model = dynamic(SMALL, init_cfg=cfg)
    model.init_weights()
    assert model.conv1.weight.equal(stock.conv1.weight)


def test_a_backbone_with_its_own_init_weights():
    """Swin's goes by isinstance; it must reach what replaced its linears."""
    cfg = dict(
        type='mmdet.SwinTransformer',
        embed_dims=32,
        depths=(1, 1, 1, 1),
        num_heads=(1, 2, 4, 8),
        window_size=4,
    )
    stock = MODELS.build(cfg)
    model = dynamic(cfg)
    layer = model.stages[0].blocks[0].ffn.layers[0][0]
    assert isinstance(layer, FDLinear)
    for backbone in (stock, model):
        torch.manual_seed(0)
        backbone.init_weights()
    kernel = layer.dynamic_weight(torch.zeros(1, 32, 4, 4))[0, :, :, 0, 0]
    theirs = stock.stages[0].blocks[0].ffn.layers[0][0]
    # drawn by the same numbers in the same order, through an FFT and back
    torch.testing.assert_close(kernel, theirs.weight, rtol=1e-4, atol=1e-6)
    assert layer.bias.equal(theirs.bias)
    assert model.stages[0].blocks[0].ffn.layers[0][0] is layer
    ours, theirs = (
        m.stages[3].blocks[0].attn.w_msa.qkv.weight for m in (model, stock)
    )
    assert ours.equal(theirs)


def test_init_weights_as_part_of_a_detector():
    """MMEngine keeps a record of all parameters and refuses new ones."""

    class Detector(BaseModule):
        def __init__(self):
            super().__init__()
            self.backbone = dynamic(dict(SMALL, base_channels=64))

    detector = Detector()
    before = dict(detector.named_modules())
    detector.init_weights()
    assert dict(detector.named_modules()) == before
    assert not hasattr(detector.backbone, '_params_init_info')
    for module in detector.modules():
        assert not hasattr(module, '_params_init_info')
    layer = detector.backbone.layer3[1].conv2
    kernel = layer.dynamic_weight(torch.zeros(1, 256, 4, 4))
    # mmdet's ResNet: Kaiming normal, fan out. PyTorch's default would give
    # about half that spread here.
    assert kernel.std().item() == pytest.approx(
        (2 / (256 * 9)) ** 0.5, rel=0.05
    )


class OneConv(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer1 = nn.Sequential(nn.Sequential())
        self.layer1[0].add_module('conv2', nn.Conv2d(8, 8, 3, padding=1))

    def forward(self, x):
        return self.layer1(x)


@pytest.mark.parametrize('method', ['FADConv', 'KWConv'])
def test_a_second_initialisation_takes_kernels_and_mixed_biases(method):
    net = OneConv().eval()
    convert_dynamic_(net, dict(type=method), {})
    layer = net.layer1[0].conv2
    torch.manual_seed(0)
    stock = nn.Conv2d(8, 8, 3, padding=1)
    with stock_layers_in_place(net):
        stand_in = net.layer1[0].conv2
        assert type(stand_in) is nn.Conv2d
        stand_in.load_state_dict(stock.state_dict())
    assert net.layer1[0].conv2 is layer
    x = torch.randn(2, 8, 9, 7)
    torch.testing.assert_close(net(x), stock(x), rtol=1e-5, atol=1e-5)
    with stock_layers_in_place(net):
        pass  # nothing set, nothing lost
    torch.testing.assert_close(net(x), stock(x), rtol=1e-5, atol=1e-5)


def test_pretrained_of_a_segmentor_reaches_the_backbone(tmp_path):
    """mmseg's segmentors set it on whatever backbone config they have."""
    pytest.importorskip('mmseg')
    import mmseg.models  # noqa: F401

    stock = MODELS.build(dict(SMALL, type='mmseg.ResNet'))
    path = str(tmp_path / 'stock.pth')
    torch.save(stock.state_dict(), path)
    segmentor = MODELS.build(
        dict(
            type='mmseg.EncoderDecoder',
            pretrained=path,
            backbone=ConfigDict(
                type='DynamicBackbone',
                backbone=dict(SMALL, type='mmseg.ResNet'),
                conv_cfg=CONV_CFG,
            ),
            decode_head=dict(
                type='mmseg.FCNHead',
                in_channels=64,
                channels=4,
                num_classes=2,
                # By its scope, whatever the default one is.
                loss_decode=dict(type='mmseg.CrossEntropyLoss'),
            ),
        )
    )
    segmentor.init_weights()
    model = segmentor.backbone
    stock.eval(), model.eval()
    x = torch.randn(2, 3, 40, 56)
    for ours, theirs in zip(model(x), stock(x)):
        assert relative_error(ours, theirs) < 1e-4
