"""Every experiment on a detector: build, load, train a step, predict."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip('mmdet')
pytest.importorskip('torchvision')

import torchvision
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope

from mmfdconv.datasets import SHAPES_CLASSES, make_shapes
from mmfdconv.layers import DynamicConv2d, FDConv

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
EXPERIMENTS = sorted(
    path.relative_to(CONFIGS).as_posix()
    for path in (CONFIGS / 'mmdet').glob('*/*.py')
)
FASTER = 'mmdet/faster_rcnn/faster-rcnn_r50-fdconv_fpn_1x_coco.py'
MASK = 'mmdet/mask_rcnn/mask-rcnn_r50-fdconv_fpn_amp-ms-crop-adamw-1x_coco.py'
# Relative to the largest value; float32 through 50 layers, and through an
# FFT and its inverse in each converted one.
SAME = 1e-4


@pytest.fixture(scope='module')
def shapes(tmp_path_factory):
    out = tmp_path_factory.mktemp('data') / 'shapes'
    return make_shapes(out, num_train=2, num_val=1, image_size=96)


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    """Random weights of a torchvision ResNet under torchvision's names."""
    folder = tmp_path_factory.mktemp('checkpoints')

    def checkpoint(stock):
        if stock.type != 'ResNet':
            return _own_checkpoint(stock, folder)
        depth = stock.depth
        path = folder / f'resnet{depth}.pth'
        if not path.exists():
            with torch.random.fork_rng():
                torch.manual_seed(0)
                model = getattr(torchvision.models, f'resnet{depth}')(
                    weights=None
                )
            # Its batch norms have seen no data; without this the features
            # would double with every block.
            last = 'bn3' if depth >= 50 else 'bn2'
            for name, module in model.named_modules():
                if name.endswith(f'.{last}'):
                    module.weight.data.fill_(0.2)
            torch.save(model.state_dict(), path)
        return str(path)

    return checkpoint


def _own_checkpoint(stock, folder):
    """Random weights of any other backbone, under its own names."""
    from mmdet.registry import MODELS

    path = folder / f'{stock.type}.pth'
    if not path.exists():
        torch.save(MODELS.build(stock).state_dict(), path)
    return str(path)


def _shrink(node, scale):
    """Bring every image size in a pipeline down to ``scale``."""
    if isinstance(node, list):
        for item in node:
            _shrink(item, scale)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key == 'scale':
                node[key] = scale
            elif key == 'scales':
                node[key] = [scale]
            elif key == 'crop_size':
                node[key] = (scale[0] // 2, scale[1] // 2)
            else:
                _shrink(value, scale)


def _load(name, shapes, checkpoint):
    """The experiment as it is, but for data, image sizes and sample counts."""
    cfg = Config.fromfile(CONFIGS / name)
    assert cfg.default_scope == 'mmdet'
    init_default_scope('mmdet')

    stock = cfg.model.backbone.get('backbone', cfg.model.backbone)
    if stock.type == 'ResNet' and 'fdconv' not in name:
        stock.depth = 18
        cfg.model.neck.in_channels = [64, 128, 256, 512]
    if 'shapes' not in name:  # those train from scratch
        stock.init_cfg = dict(type='Pretrained', checkpoint=checkpoint(stock))
    cfg.model.train_cfg.rpn_proposal.max_per_img = 50
    cfg.model.train_cfg.rcnn.sampler.num = 32
    cfg.model.test_cfg.rpn.max_per_img = 50
    cfg.model.test_cfg.rcnn.update(max_per_img=5, score_thr=0.0)
    for split in ('train', 'val'):
        dataset = cfg[f'{split}_dataloader'].dataset
        dataset.update(
            data_root=str(shapes),
            ann_file=f'annotations/instances_{split}.json',
            data_prefix=dict(img=f'{split}/'),
            metainfo=dict(classes=SHAPES_CLASSES),
        )
        _shrink(dataset.pipeline, (128, 128))
    return cfg


def _build(cfg):
    from mmdet.registry import MODELS

    model = MODELS.build(cfg.model)
    model.init_weights()
    return model


def _samples(dataset_cfg, number):
    from mmdet.registry import DATASETS

    dataset = DATASETS.build(dataset_cfg)
    return pseudo_collate([dataset[i] for i in range(number)])


def test_there_are_experiments():
    assert {FASTER, MASK} <= set(EXPERIMENTS)


@pytest.mark.slow
@pytest.mark.parametrize('name', EXPERIMENTS)
def test_experiment(name, shapes, checkpoint):
    cfg = _load(name, shapes, checkpoint)
    model = _build(cfg)
    is_dynamic = cfg.model.backbone.type == 'DynamicBackbone'
    layers = [
        m for m in model.backbone.modules() if isinstance(m, DynamicConv2d)
    ]
    assert bool(layers) == is_dynamic

    # with the stock weights, the backbone computes what the stock one does
    from mmdet.registry import MODELS

    backbone = cfg.model.backbone
    stock = MODELS.build(backbone.get('backbone', backbone))
    stock.init_weights()
    stock.eval()
    if 'init_cfg' not in backbone.get('backbone', backbone):
        # trained from scratch: each has drawn its own
        model.backbone.load_state_dict(stock.state_dict(), strict=False)
    model.eval()
    image = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        for ours, theirs in zip(model.backbone(image), stock(image)):
            bound = SAME * theirs.abs().max().item()
            torch.testing.assert_close(ours, theirs, rtol=0, atol=bound)
    del stock

    # one step
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    model.train()
    losses = model.train_step(
        _samples(cfg.train_dataloader.dataset, 2), wrapper
    )
    assert all(math.isfinite(value) for value in losses.values()), losses
    after = model.state_dict()
    assert all(v.isfinite().all() for v in after.values())
    moved = {k for k in after if not after[k].equal(before[k])}
    weights = {
        f'backbone.{name}.{key}'
        for name, m in model.backbone.named_modules()
        if isinstance(m, DynamicConv2d)
        for key, _ in m.named_parameters()
    }
    assert moved & weights or not is_dynamic
    frozen = {k for k, p in model.named_parameters() if not p.requires_grad}
    assert not moved & frozen

    # one prediction
    model.eval()
    (result,) = model.test_step(_samples(cfg.val_dataloader.dataset, 1))
    found = result.pred_instances
    assert found.bboxes.isfinite().all()
    assert found.scores.isfinite().all()
    if 'mask_head' in cfg.model.roi_head:
        assert found.masks.shape == (len(found), 96, 96)


@pytest.mark.core
@pytest.mark.parametrize('name', [FASTER, MASK])
def test_the_delta_is_the_published_one(name, shapes, checkpoint):
    """ResNet-50 with every conv of every block dynamic: +3.647 M."""
    from mmdet.registry import MODELS

    init_default_scope('mmdet')
    cfg = Config.fromfile(CONFIGS / name).model.backbone
    dynamic = MODELS.build(cfg)
    stock = MODELS.build(cfg.backbone)
    assert _millions(dynamic) - _millions(stock) == pytest.approx(
        3.647, abs=5e-4
    )
    convs = [m for m in dynamic.modules() if isinstance(m, FDConv)]
    assert len(convs) == 3 * (3 + 4 + 6 + 3)


def _millions(model):
    return sum(p.numel() for p in model.parameters()) / 1e6


@pytest.mark.core
def test_mask_rcnn_follows_the_published_recipe():
    cfg = Config.fromfile(CONFIGS / MASK)
    assert cfg.optim_wrapper.type == 'AutoAmpOptimWrapper'
    assert cfg.optim_wrapper.loss_scale == 'dynamic'
    assert cfg.optim_wrapper.optimizer == dict(
        type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05
    )
    warm_up, steps = cfg.param_scheduler
    assert (warm_up.begin, warm_up.end, warm_up.by_epoch) == (0, 500, False)
    assert steps.milestones == [10, 11]
    assert cfg.train_cfg.max_epochs == 12
    assert cfg.auto_scale_lr.base_batch_size == 16
    assert cfg.train_dataloader.batch_size == 2


def test_mask_rcnn_decays_no_norm():
    from mmdet.registry import MODELS

    init_default_scope('mmdet')
    cfg = Config.fromfile(CONFIGS / MASK)
    # a backbone is enough, and the smallest has every kind of module
    cfg.model.backbone.backbone.depth = 18
    model = MODELS.build(cfg.model.backbone)
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    decay = {
        id(p): group['weight_decay']
        for group in wrapper.optimizer.param_groups
        for p in group['params']
    }
    norms = (torch.nn.modules.batchnorm._BatchNorm, torch.nn.LayerNorm)
    routers = 0
    for name, module in model.named_modules():
        for kind, p in module.named_parameters(recurse=False):
            if not p.requires_grad:
                continue
            expected = 0.0 if isinstance(module, norms) else 0.05
            assert decay[id(p)] == expected, f'{name}.{kind}'
            routers += isinstance(module, norms) and 'KSM' in name
    assert routers


@pytest.mark.core
def test_mask_rcnn_augments_as_detr():
    """Resize, or resize + crop + resize, each for half of the images."""
    from mmdet.registry import TRANSFORMS

    init_default_scope('mmdet')
    cfg = Config.fromfile(CONFIGS / MASK)
    names = [step.type for step in cfg.train_pipeline]
    assert names == [
        'LoadImageFromFile',
        'LoadAnnotations',
        'RandomFlip',
        'RandomChoice',
        'PackDetInputs',
    ]
    assert cfg.train_dataloader.dataset.pipeline == cfg.train_pipeline
    augment = TRANSFORMS.build(cfg.train_pipeline[3])
    short = {480 + 32 * i for i in range(11)}
    seen = set()
    for _ in range(60):
        result = augment(dict(img=np.zeros((480, 640, 3), np.uint8)))
        seen.add(result['img_shape'])
    uncropped = {(min(s), max(s)) for s in seen}
    assert {s for s, _ in uncropped} <= short
    # 4:3 stays 4:3 without a crop, and a crop changes it
    ratios = [w / h for h, w in seen]
    assert any(abs(r - 4 / 3) < 0.01 for r in ratios)
    assert any(abs(r - 4 / 3) > 0.05 for r in ratios)
