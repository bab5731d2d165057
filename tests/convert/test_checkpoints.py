"""Stock and published checkpoints load whole through init_cfg."""

import pytest
import torch
from mmengine.registry import MODELS

from mmfdconv.layers import FDConv

pytest.importorskip('mmdet')
import mmdet.models  # noqa: F401

pytestmark = pytest.mark.core

CONV_CFG = dict(type='FDConv', kernel_num=64)


def build(depth, checkpoint=None, prefix=None, **conv_cfg):
    backbone = dict(type='mmdet.ResNet', depth=depth, style='pytorch')
    if checkpoint is not None:
        init_cfg = dict(type='Pretrained', checkpoint=str(checkpoint))
        if prefix is not None:
            init_cfg['prefix'] = prefix
        backbone['init_cfg'] = init_cfg
    return MODELS.build(
        dict(
            type='DynamicBackbone',
            backbone=backbone,
            conv_cfg=dict(CONV_CFG, **conv_cfg),
        )
    )


@pytest.fixture
def mismatches(monkeypatch):
    """What MMEngine says of keys that do not fit, in place of a log line."""
    from mmengine.runner import checkpoint

    said = []
    original = checkpoint.load_state_dict

    def load(module, state_dict, strict=False, logger=None):
        try:
            original(module, state_dict, strict=True, logger=logger)
        except RuntimeError as error:
            said.append(str(error))

    monkeypatch.setattr(checkpoint, 'load_state_dict', load)
    return said


@pytest.mark.parametrize('depth', [18, 50])
def test_torchvision_checkpoint(tmp_path, mismatches, depth):
    torchvision = pytest.importorskip('torchvision')
    source = getattr(torchvision.models, f'resnet{depth}')(weights=None)
    path = tmp_path / 'resnet.pth'
    torch.save(source.state_dict(), path)
    model = build(depth, path)
    model.init_weights()
    # The classifier is torchvision's alone, for the stock backbone as well.
    assert len(mismatches) == 1
    assert 'missing' not in mismatches[0]
    unexpected = mismatches[0].split('unexpected key')[1]
    assert unexpected.split('state_dict:')[1].split() == [
        'fc.weight,',
        'fc.bias',
    ]
    stock = MODELS.build(dict(type='mmdet.ResNet', depth=depth))
    stock.load_state_dict(source.state_dict(), strict=False)
    stock.eval(), model.eval()
    x = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        for ours, theirs in zip(model(x), stock(x)):
            assert ((ours - theirs).norm() / theirs.norm()) < 1e-4


def published_state_dict(model):
    """Trained-looking values under the names of a published detector."""
    generator = torch.Generator().manual_seed(1)
    return {
        f'backbone.{name}': torch.rand(value.shape, generator=generator)
        if value.is_floating_point()
        else value
        for name, value in model.state_dict().items()
    }


def test_published_checkpoint(tmp_path, mismatches):
    state = published_state_dict(build(18))
    for name in (
        'KSM_Global.fc.weight',
        'KSM_Global.bn.running_var',
        'KSM_Global.kernel_fc.bias',
        'KSM_Local.conv.weight',
        'KSM_Local.norm.weight',
        'FBM.freq_weight_conv_list.2.bias',
        'dft_weight',
    ):
        assert f'backbone.layer1.0.conv1.{name}' in state
    path = tmp_path / 'published.pth'
    torch.save(dict(state_dict=state), path)
    model = build(18, path, prefix='backbone.')
    model.init_weights()
    assert mismatches == []
    for name, value in model.state_dict().items():
        assert value.equal(state[f'backbone.{name}']), name


def test_authors_imagenet_checkpoint_has_spectra_alone(tmp_path, mismatches):
    source = build(18)
    state = {
        name: value
        for name, value in source.state_dict().items()
        if 'KSM' not in name and 'FBM' not in name
    }
    path = tmp_path / 'converted.pth'
    torch.save(state, path)
    model = build(18, path)
    for p in model.parameters():
        torch.nn.init.uniform_(p)
    model.init_weights()
    assert mismatches == []
    x = torch.randn(1, 3, 64, 64)
    for ours, theirs in zip(model.eval()(x), source.eval()(x)):
        torch.testing.assert_close(ours, theirs)


def test_own_checkpoint(tmp_path, mismatches):
    source = build(18)
    for p in source.parameters():
        torch.nn.init.uniform_(p)
    path = tmp_path / 'own.pth'
    torch.save(source.state_dict(), path)
    model = build(18, path)
    model.init_weights()
    assert mismatches == []
    for a, b in zip(model.state_dict().values(), source.state_dict().values()):
        assert a.equal(b)


def test_a_kernel_that_does_not_fit_is_named(mismatches):
    from mmengine.runner import checkpoint

    model = build(18)
    state = MODELS.build(dict(type='mmdet.ResNet', depth=18)).state_dict()
    state['layer1.0.conv1.weight'] = torch.zeros(64, 64, 5, 5)
    before = model.layer1[0].conv1.dft_weight.clone()
    checkpoint.load_state_dict(model, state)
    (said,) = mismatches
    for word in ('layer1.0.conv1.weight', '(64, 64, 5, 5)', '(64, 64, 3, 3)'):
        assert word in said
    assert model.layer1[0].conv1.dft_weight.equal(before)


def test_a_missing_router_key_is_named(mismatches):
    from mmengine.runner import checkpoint

    model = build(18)
    state = model.state_dict()
    del state['layer1.0.conv1.KSM_Global.fc.weight']
    checkpoint.load_state_dict(model, state)
    (said,) = mismatches
    assert 'layer1.0.conv1.KSM_Global.fc.weight' in said


def test_a_spectrum_of_another_layer_is_named(mismatches):
    from mmengine.runner import checkpoint

    model = build(18)
    state = model.state_dict()
    state['layer2.0.conv2.dft_weight'] = state['layer1.0.conv1.dft_weight']
    checkpoint.load_state_dict(model, state)
    (said,) = mismatches
    assert 'layer2.0.conv2.dft_weight' in said


def test_a_layer_in_a_downsample_loads_too(tmp_path, mismatches):
    # With conv_cfg the shortcuts become dynamic as well; the stock keys of
    # these layers sit in a plain nn.Sequential.
    cfg = dict(type='mmdet.ResNet', depth=18)
    stock = MODELS.build(cfg)
    path = tmp_path / 'stock.pth'
    torch.save(stock.state_dict(), path)
    conv_cfg = dict(CONV_CFG, use_fdconv_if_c_gt=16)
    init_cfg = dict(type='Pretrained', checkpoint=str(path))
    model = MODELS.build(dict(cfg, conv_cfg=conv_cfg, init_cfg=init_cfg))
    model.init_weights()
    assert isinstance(model.layer2[0].downsample[0], FDConv)
    assert mismatches == []
    x = torch.randn(1, 3, 64, 64)
    model.eval(), stock.eval()
    for a, b in zip(model(x), stock(x)):
        assert ((a - b).norm() / b.norm()) < 1e-4
