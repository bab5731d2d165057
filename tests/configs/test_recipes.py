"""How experiments train: what decays, how fast, from which pictures."""

import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
import torch

pytest.importorskip('mmengine')
pytest.importorskip('mmcv')

from mmengine.optim import build_optim_wrapper

from mmfdconv.layers import DynamicConv2d

from .experiments import (
    CONFIGS,
    CONVNEXT,
    CONVNEXT_DETECTOR,
    EXPERIMENTS,
    build,
    read,
    registry_of,
)

MASK = 'mmdet/mask_rcnn/mask-rcnn_r50-fdconv_fpn_amp-ms-crop-adamw-1x_coco.py'
UPERNET = 'mmseg/upernet/upernet_r50-fdconv_4xb4-160k_ade20k-512x512.py'
NORMS = (torch.nn.modules.batchnorm._BatchNorm, torch.nn.LayerNorm)
# Stock recipes that decay weights with AdamW and spare norms.
SPARING = [
    name
    for name in EXPERIMENTS
    if '/shapes/' not in name
    and any(w in name for w in ('adamw', 'convnext', 'swin', 'mit', 'mask2'))
]


def _groups(model, cfg):
    """Options of the optimizer by parameter."""
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    return {
        id(p): group
        for group in wrapper.optimizer.param_groups
        for p in group['params']
    }


@pytest.mark.core
def test_mask_rcnn_follows_the_published_recipe():
    cfg = read(MASK)
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
    cfg = read(MASK)
    # a backbone is enough, and the smallest has every kind of module
    cfg.model.backbone.backbone.depth = 18
    model = registry_of('mmdet').MODELS.build(cfg.model.backbone)
    groups = _groups(model, cfg)
    routers = 0
    for name, module in model.named_modules():
        for kind, p in module.named_parameters(recurse=False):
            if not p.requires_grad:
                continue
            expected = 0.0 if isinstance(module, NORMS) else 0.05
            decay = groups[id(p)]['weight_decay']
            assert decay == expected, f'{name}.{kind}'
            routers += isinstance(module, NORMS) and 'KSM' in name
    assert routers


@pytest.mark.slow
@pytest.mark.parametrize('name', SPARING)
def test_norms_of_gates_do_not_decay(name, workplace):
    cfg = workplace.load(name)
    model = build(cfg)
    groups = _groups(model, cfg)
    gates = decayed = 0
    for prefix, layer in model.backbone.named_modules():
        if not isinstance(layer, DynamicConv2d):
            continue
        for path, module in layer.named_modules():
            for kind, p in module.named_parameters(recurse=False):
                if not p.requires_grad:  # the kernel of a frozen stage
                    continue
                where = f'{prefix}.{path}.{kind}'
                decay = groups[id(p)]['weight_decay']
                if isinstance(module, NORMS):
                    assert decay == 0, where
                    gates += 1
                elif p.dim() > 1:
                    assert decay > 0, where
                    decayed += 1
    if cfg.model.backbone.type == 'DynamicBackbone':
        assert decayed
        assert gates or 'dyconv' in name  # it alone has none


@pytest.mark.parametrize('name', [CONVNEXT, CONVNEXT_DETECTOR])
def test_gates_of_a_convnext_learn_at_their_stages_rate(name, workplace):
    cfg = workplace.load(name)
    model = build(cfg)
    groups = _groups(model, cfg)
    rates = {}
    for path, module in model.backbone.named_modules():
        if isinstance(module, DynamicConv2d):
            block = model.backbone.get_submodule(path.rpartition('.')[0])
            (rate,) = {groups[id(p)]['lr'] for p in block.parameters()}
            rates.setdefault(path.split('.')[1], set()).add(rate)
    slowest = [min(rates[stage]) for stage in '0123']
    assert slowest == sorted(slowest) and len(set(slowest)) == 4


@pytest.mark.parametrize(
    'name', [n for n in EXPERIMENTS if '/mask2former/' in n]
)
def test_gates_of_mask2former_learn_as_slowly_as_its_backbone(name, workplace):
    cfg = workplace.load(name)
    model = build(cfg)
    groups = _groups(model, cfg)
    base = cfg.optim_wrapper.optimizer.lr
    trainable = [p for p in model.backbone.parameters() if p.requires_grad]
    assert trainable
    for p in trainable:
        assert groups[id(p)]['lr'] == pytest.approx(0.1 * base)


@pytest.mark.core
def test_mask_rcnn_augments_as_detr():
    """Resize, or resize + crop + resize, each for half of the images."""
    cfg = read(MASK)
    names = [step.type for step in cfg.train_pipeline]
    assert names == [
        'LoadImageFromFile',
        'LoadAnnotations',
        'RandomFlip',
        'RandomChoice',
        'PackDetInputs',
    ]
    assert cfg.train_dataloader.dataset.pipeline == cfg.train_pipeline
    augment = registry_of('mmdet').TRANSFORMS.build(cfg.train_pipeline[3])
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


@pytest.mark.core
@pytest.mark.skipif(find_spec('mmseg') is None, reason='needs mmseg')
def test_mmseg_config_is_read_without_mmfdconv_being_imported_before():
    """As mmseg's own tools do; importing mmfdconv makes `mmseg::` known."""
    code = (
        'import sys; from mmengine.config import Config; '
        "assert 'mmfdconv' not in sys.modules; "
        f'cfg = Config.fromfile({str(CONFIGS / UPERNET)!r}); '
        "assert cfg.model.backbone.type == 'DynamicBackbone'"
    )
    subprocess.run(
        [sys.executable, '-c', code],
        check=True,
        cwd=CONFIGS.parent,
        timeout=120,
    )
