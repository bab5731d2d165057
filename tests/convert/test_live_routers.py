"""Models that are converted in Python, then trained by MMEngine."""

import pytest
import torch

pytest.importorskip('mmdet.models', reason='mmdet is not installed')

from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch.nn.modules.batchnorm import _BatchNorm

from mmfdconv.convert import convert_dynamic_
from mmfdconv.layers import DynamicConv2d

pytestmark = pytest.mark.core

CFG = dict(type='FDConv', kernel_num=4)
RESNET = dict(type='mmdet.ResNet', depth=18, base_channels=8, frozen_stages=1)
OF_BACKBONE = dict(
    patterns={r'backbone\.layer\d\.\d\.conv\d': True}, otherwise=False
)


class Detector(BaseModule):
    """A backbone in a model."""

    def __init__(self, **options):
        super().__init__()
        self.backbone = MODELS.build({**RESNET, **options})


def converted(whole, **options):
    model = Detector(**options)
    if whole:
        convert_dynamic_(model, CFG, OF_BACKBONE)
    else:
        convert_dynamic_(model.backbone, CFG)
    return model


@pytest.mark.parametrize('norm_eval', [True, False])
@pytest.mark.parametrize('whole', [True, False])
def test_routers_learn_in_frozen_stages(whole, norm_eval):
    model = converted(whole, norm_eval=norm_eval).train()
    layers = [m for m in model.modules() if isinstance(m, DynamicConv2d)]
    assert len(layers) == 16
    assert not layers[0].dft_weight.requires_grad
    for layer in layers:
        assert all(p.requires_grad for p in layer.router_parameters())
        for router in layer.routers():
            assert router.training
            norms = [m for m in router.modules() if isinstance(m, _BatchNorm)]
            assert all(norm.training is not norm_eval for norm in norms)


@pytest.mark.parametrize('whole', [True, False])
def test_from_scratch_it_is_drawn_as_a_config_draws_it(whole):
    model = converted(whole)
    expected = MODELS.build(
        dict(type='DynamicBackbone', backbone=RESNET, conv_cfg=CFG)
    )
    for each in (model, expected):
        torch.manual_seed(5)
        each.init_weights()
    for name, value in expected.state_dict().items():
        assert model.backbone.state_dict()[name].equal(value), name


@pytest.mark.parametrize('whole', [True, False])
def test_its_own_checkpoint_is_read(whole, tmp_path):
    trained = converted(whole)
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.add_(0.1)
    path = tmp_path / 'trained.pth'
    torch.save(trained.backbone.state_dict(), path)
    model = converted(
        whole, init_cfg=dict(type='Pretrained', checkpoint=str(path))
    )
    model.init_weights()
    for name, value in trained.state_dict().items():
        assert model.state_dict()[name].equal(value), name


def test_a_model_of_another_kind_keeps_its_class():
    model = torch.nn.Module()
    model.conv = torch.nn.Conv2d(8, 8, 3)
    model.norm_eval = True
    convert_dynamic_(model, CFG, dict())
    assert type(model) is torch.nn.Module
