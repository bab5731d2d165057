"""Every experiment: build, load, train a step, predict."""

import math

import pytest
import torch

pytest.importorskip('mmengine')
pytest.importorskip('mmcv')

from mmengine.optim import build_optim_wrapper

from mmfdconv.layers import DynamicConv2d, FDConv, KWConv

from .experiments import (
    EXPERIMENTS,
    IMAGENET,
    SWIN,
    build,
    read,
    registry_of,
    samples,
    scope_of,
)
from .small import SEG_SIZE, stock_backbone

FASTER = 'mmdet/faster_rcnn/faster-rcnn_r50-fdconv_fpn_1x_coco.py'
MASK = 'mmdet/mask_rcnn/mask-rcnn_r50-fdconv_fpn_amp-ms-crop-adamw-1x_coco.py'
UPERNET = 'mmseg/upernet/upernet_r50-fdconv_4xb4-160k_ade20k-512x512.py'
CLASSIFIER = IMAGENET.format('resnet18', 'fdconv')
# One per toolbox runs on the second stack, too.
CORE = {SWIN, CLASSIFIER, UPERNET}
# Relative to the largest value; float32 through 50 layers, and through an
# FFT and its inverse in each converted one.
SAME = 1e-4


def test_there_are_experiments():
    assert set(EXPERIMENTS) >= {FASTER, MASK, *CORE}


@pytest.mark.slow
@pytest.mark.parametrize(
    'name',
    [
        pytest.param(name, marks=pytest.mark.core) if name in CORE else name
        for name in EXPERIMENTS
    ],
)
def test_experiment(name, workplace):
    cfg = workplace.load(name)
    model = build(cfg)
    is_dynamic = cfg.model.backbone.type == 'DynamicBackbone'
    layers = {
        name: m
        for name, m in model.backbone.named_modules()
        if isinstance(m, DynamicConv2d)
    }
    assert bool(layers) == is_dynamic

    # with the stock weights, the backbone computes what the stock one does
    init_cfg = cfg.model.backbone.get('init_cfg')
    stock_cfg = dict(stock_backbone(cfg))
    if init_cfg is not None:
        stock_cfg['init_cfg'] = init_cfg
    pretrained = cfg.model.get('pretrained')
    if pretrained is not None:
        stock_cfg['pretrained'] = pretrained
    stock = registry_of(cfg.default_scope).MODELS.build(stock_cfg)
    stock.init_weights()
    stock.eval()
    if stock_cfg.get('init_cfg') is None and pretrained is None:
        # trained from scratch: each has drawn its own
        model.backbone.load_state_dict(stock.state_dict(), strict=False)
    model.eval()
    image = torch.randn(1, 3, *SEG_SIZE)
    with torch.no_grad():
        for ours, theirs in zip(model.backbone(image), stock(image)):
            bound = SAME * theirs.abs().max().item()
            assert bound > 0
            torch.testing.assert_close(ours, theirs, rtol=0, atol=bound)
    del stock

    # one step
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    model.train()
    losses = model.train_step(samples(cfg, 'train', 2), wrapper)
    assert all(math.isfinite(value) for value in losses.values()), losses
    after = model.state_dict()
    assert all(v.isfinite().all() for v in after.values())
    moved = {k for k in after if not after[k].equal(before[k])}
    weights = {
        layer: {f'backbone.{layer}.{key}' for key, _ in m.named_parameters()}
        for layer, m in layers.items()
    }
    assert not is_dynamic or moved & set().union(*weights.values())
    # every layer learns; at temperature 1 KernelWarehouse's routers wait
    # for the hook, and the cells are the backbone's
    for layer, m in layers.items():
        if not isinstance(m, KWConv):
            assert moved & weights[layer], layer
        elif m.cells.requires_grad:
            index = m.warehouse_index
            key = f'backbone.warehouse_manager.weights.{index}'
            assert key in moved
    frozen = {k for k, p in model.named_parameters() if not p.requires_grad}
    assert not moved & frozen

    # one prediction
    model.eval()
    (result,) = model.test_step(samples(cfg, 'val', 1))
    CHECK_PREDICTION[cfg.default_scope](result, cfg)


def _check_detections(result, cfg):
    found = result.pred_instances
    assert found.bboxes.isfinite().all()
    assert found.scores.isfinite().all()
    if cfg.model.type in ('MaskDINO', 'MaskRCNN'):
        assert found.masks.shape == (len(found), 96, 96)


def _check_segments(result, cfg):
    classes = cfg.model.decode_head.num_classes
    assert result.seg_logits.data.shape == (classes, *SEG_SIZE)
    assert result.seg_logits.data.isfinite().all()
    assert result.pred_sem_seg.data.shape == (1, *SEG_SIZE)


def _check_class(result, cfg):
    assert result.pred_score.shape == (cfg.model.head.num_classes,)
    assert result.pred_score.sum().item() == pytest.approx(1, abs=1e-4)


CHECK_PREDICTION = dict(
    mmdet=_check_detections, mmpretrain=_check_class, mmseg=_check_segments
)


@pytest.mark.core
@pytest.mark.parametrize(
    'name',
    [FASTER, UPERNET, IMAGENET.format('resnet50', 'fdconv')],
)
def test_the_delta_is_the_published_one(name):
    """ResNet-50 with every conv of every block dynamic: +3.647 M."""
    cfg = read(name).model.backbone
    models = registry_of(scope_of(name)).MODELS
    dynamic = models.build(cfg)
    stock = models.build(cfg.backbone)
    assert _millions(dynamic) - _millions(stock) == pytest.approx(
        3.647, abs=5e-4
    )
    convs = [m for m in dynamic.modules() if isinstance(m, FDConv)]
    assert len(convs) == 3 * (3 + 4 + 6 + 3)


def _millions(model):
    return sum(p.numel() for p in model.parameters()) / 1e6


@pytest.mark.slow
def test_multi_scale_segmentation(workplace):
    """What ``--tta`` sets up: six sizes, each also flipped."""
    cfg = workplace.load(UPERNET)
    cfg.test_dataloader = dict(
        dataset=dict(cfg.val_dataloader.dataset, pipeline=cfg.tta_pipeline)
    )
    cfg.model = dict(cfg.tta_model, module=cfg.model)
    model = build(cfg).eval()
    batch = samples(cfg, 'test', 1)
    assert len(batch['inputs']) == 12
    (result,) = model.test_step(batch)
    assert result.pred_sem_seg.data.shape[-2:] == SEG_SIZE


@pytest.mark.core
def test_a_classifier_trained_here_is_a_backbone_there(tmp_path):
    """What ``configs/README.md`` says to do."""
    classifier = read(CLASSIFIER)
    trained = registry_of('mmpretrain').MODELS.build(classifier.model)
    with torch.no_grad():
        for p in trained.parameters():
            p.normal_()
    path = tmp_path / 'epoch_100.pth'
    torch.save(dict(state_dict=trained.state_dict()), path)

    cfg = read(FASTER)
    cfg.model.backbone.backbone.update(
        depth=18,
        init_cfg=dict(
            type='Pretrained', checkpoint=str(path), prefix='backbone.'
        ),
    )
    backbone = registry_of('mmdet').MODELS.build(cfg.model.backbone)
    backbone.init_weights()
    expected = trained.backbone.state_dict()
    loaded = backbone.state_dict()
    assert loaded.keys() == expected.keys()
    for key, value in expected.items():
        assert loaded[key].equal(value), key
