"""No parameter of the backbone is trained."""

import copy

import pytest
import torch
from mmengine.optim import OptimWrapper

from .helpers import METHODS, build_backbone, build_runner, classifier, images

pytestmark = pytest.mark.core


@pytest.mark.parametrize('batch', [1, 2])
def test_forward_without_a_graph(method, batch):
    model = build_backbone(method).requires_grad_(False).train()
    assert not any(p.requires_grad for p in model.parameters())
    for out in model(images(batch)):
        assert not out.requires_grad and out.grad_fn is None
        assert out.isfinite().all()


def test_the_input_still_has_a_gradient(method):
    # As for attribution methods, or something trained in front of it.
    model = build_backbone(method).requires_grad_(False).train()
    x = images().requires_grad_()
    model(x)[-1].sum().backward()
    assert x.grad.isfinite().all() and x.grad.any()
    assert all(p.grad is None for p in model.parameters())


def test_a_head_trains_on_it(method, tmp_path):
    model = classifier(method)
    model.backbone.requires_grad_(False)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    build_runner(model, tmp_path, iters=2).train()
    for name, parameter in model.named_parameters():
        same = parameter.equal(before[name])
        assert same is name.startswith('backbone.'), name


def test_a_segmentor_trains_on_it(method):
    pytest.importorskip('mmseg', reason='mmseg is not installed')
    from mmengine.structures import PixelData
    from mmseg.registry import MODELS
    from mmseg.structures import SegDataSample
    from mmseg.utils import register_all_modules

    register_all_modules(init_default_scope=False)
    norm = dict(type='BN', requires_grad=True)
    model = MODELS.build(
        dict(
            _scope_='mmseg',
            type='EncoderDecoder',
            backbone=dict(
                type='DynamicBackbone',
                backbone=dict(
                    type='ResNet', depth=18, base_channels=8, norm_cfg=norm
                ),
                conv_cfg=METHODS[method],
            ),
            decode_head=dict(
                type='FCNHead',
                in_channels=64,
                in_index=3,
                channels=8,
                num_convs=1,
                num_classes=2,
                norm_cfg=norm,
            ),
        )
    )
    model.backbone.requires_grad_(False)
    model.train()
    before = copy.deepcopy(dict(model.named_parameters()))
    wrapper = OptimWrapper(
        torch.optim.SGD(
            (p for p in model.parameters() if p.requires_grad), lr=0.1
        )
    )
    truth = PixelData(data=torch.randint(0, 2, (1, 64, 64)))
    data = [SegDataSample(gt_sem_seg=truth) for _ in range(2)]
    losses = model(images(), data, mode='loss')
    wrapper.update_params(losses['decode.loss_ce'])
    for name, parameter in model.named_parameters():
        same = parameter.equal(before[name])
        # A bias in front of a batch norm has no gradient but rounding.
        assert same is name.startswith('backbone.'), name
