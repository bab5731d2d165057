"""Cropland experiments: the papers' counts, recipes, and a step of each."""

import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip('mmseg')
pytest.importorskip('mmpretrain')

from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.utils import import_modules_from_strings
from PIL import Image

from mmfdconv.analysis.cost.fadconv_tables import (
    fadconv_multiply_adds,
    rivals_table,
    stock_row,
)
from mmfdconv.convert import build_dynamic
from mmfdconv.layers import DynamicConv2d

FOLDER = Path(__file__).resolve().parents[2] / 'configs/mmseg/cropland'
EXPERIMENTS = sorted(
    path.relative_to(FOLDER).as_posix() for path in FOLDER.glob('*/*.py')
)
GID = 'gid/{}_1xb24-50e_gid-512x512.py'
HI_CNA = 'hi_cna/{}_1xb16-50e_hi-cna-512x512.py'
# Dynamic layers of every encoder, whatever the method.
LAYERS = {
    'unet_r18-quarter': 16,
    'unet_r18': 16,
    'unet_r34': 32,
    'unet_mobilenetv2': 51,
    'deeplabv3plus_r18': 25,
}
METHODS = (
    'dyconv',
    'odconv',
    'kw1x',
    'fadconv-p16',
    'fadconv-p32',
    'fodconv',
    'fkw1x',
)
QUARTER = 'unet_r18-quarter-fadconv-p16'
# Millions of parameters and of multiply-adds that FADConv adds, the paper's
# (arXiv:2504.03510, Tables 1 to 5).
PAPER = {
    'unet_r18-fadconv-p16': (26.1, 58.87),
    'unet_r34-fadconv-p16': (56.54, 129.81),
    f'{QUARTER}-e2': (0.62, 8.02),
    QUARTER: (1.78, 9.18),
    f'{QUARTER}-e6': (2.95, 10.35),
    f'{QUARTER}-e8': (4.12, 11.52),
    'deeplabv3plus_r18-fadconv-p16': (45.8, 119.71),
    'deeplabv3plus_r18-fadconv-p32': (45.8, 530.92),
    'unet_mobilenetv2-fadconv-p16': (7.28, 138.7),
}
SIDE = 64


def _read(name):
    init_default_scope('mmseg')
    cfg = Config.fromfile(FOLDER / name)
    assert cfg.default_scope == 'mmseg'
    import_modules_from_strings(**cfg.custom_imports)
    return cfg


def _encoder(name):
    """Which of the encoders an experiment has; longest name first."""
    stem = Path(name).stem
    return next(encoder for encoder in LAYERS if stem.startswith(encoder))


# ------------------------------------------------------------------ counts


@pytest.mark.core
@pytest.mark.parametrize('model', PAPER)
def test_added_parameters_and_multiply_adds_are_the_papers(model):
    cfg = _read(GID.format(model)).model.backbone
    with torch.device('meta'):
        backbone, report = build_dynamic(cfg.backbone, cfg.conv_cfg, cfg.rule)
    counted = sum(
        fadconv_multiply_adds(layer)
        for layer in backbone.modules()
        if isinstance(layer, DynamicConv2d)
    )
    params, madds = PAPER[model]
    # differences of figures to 0.01 M; ResNet-34 is 0.012 M from them
    assert report.added_params / 1e6 == pytest.approx(params, abs=0.013)
    assert counted / 1e6 == pytest.approx(madds, abs=0.01)


@pytest.mark.core
def test_rivals_add_what_the_table_says():
    encoders = {
        'ResNet-18': 'unet_r18',
        'ResNet-34': 'unet_r34',
        'DeepLabV3+ ResNet-18': 'deeplabv3plus_r18',
        'MobileNetV2': 'unet_mobilenetv2',
    }
    methods = {
        'DY-Conv 4x': 'dyconv',
        'ODConv 4x': 'odconv',
        'FODConv 4x': 'fodconv',
        'KW 4x': 'kw1x',
        'FKW 4x': 'fkw1x',
    }
    for row in rivals_table():
        name = GID.format(f'{encoders[row.model]}-{methods[row.method]}')
        cfg = _read(name).model.backbone
        if 'cell_num_ratio' in cfg.conv_cfg:
            cfg.conv_cfg.cell_num_ratio = 4
        with torch.device('meta'):
            _, report = build_dynamic(cfg.backbone, cfg.conv_cfg, cfg.rule)
        assert row.params == report.added_params / 1e6, row
        # Kernels are mixed out of more than is added, and routers run.
        assert row.madds > row.params


# Millions of parameters and of multiply-adds at 512x512 of the stock models,
# the paper's (Tables 3 to 5); quarter width sees the four bands of Hi-CNA.
STOCK = {
    GID.format('unet_mobilenetv2'): (3.67, 3230),
    GID.format('deeplabv3plus_r18'): (16.53, 31560),
    GID.format('unet_r18'): (17.97, 50680),
    GID.format('unet_r34'): (28.08, 60350),
    HI_CNA.format('unet_r18-quarter'): (1.23, 5970),
}


@pytest.mark.core
@pytest.mark.parametrize('name', STOCK)
def test_stock_models_are_as_large_as_the_papers(name):
    row = stock_row(name)
    assert (row.paper_params, row.paper_madds) == STOCK[name]
    assert row.params == pytest.approx(row.paper_params, rel=0.01)
    assert row.madds == pytest.approx(row.paper_madds, rel=0.01)


# ----------------------------------------------------------------- recipes


def test_every_encoder_has_every_method():
    found = set(EXPERIMENTS)
    for encoder in LAYERS:
        for method in ('', *(f'-{method}' for method in METHODS)):
            assert GID.format(f'{encoder}{method}') in found
            assert HI_CNA.format(f'{encoder}{method}') in found


@pytest.mark.parametrize(
    ('suffix', 'option', 'value'),
    [
        ('p8', 'pool_size', 8),
        ('p16', 'pool_size', 16),
        ('p32', 'pool_size', 32),
        ('p16-e2', 'num_experts', 2),
        ('p16', 'num_experts', 4),
        ('p16-e6', 'num_experts', 6),
        ('p16-e8', 'num_experts', 8),
        ('p16-fca', 'fusion', 'fca'),
        ('p16-add', 'fusion', 'add'),
        ('p16-add-abs', 'fusion', 'add_abs'),
        ('p16', 'fusion', 'net'),
    ],
)
def test_ablations_change_one_option(suffix, option, value):
    name = GID.format(f'unet_r18-quarter-fadconv-{suffix}')
    ours = _read(name).to_dict()
    base = _read(GID.format(QUARTER)).to_dict()
    assert ours['model']['backbone']['conv_cfg'][option] == value
    base['model']['backbone']['conv_cfg'][option] = value
    assert ours == base


@pytest.mark.parametrize('name', EXPERIMENTS)
def test_recipe(name):
    cfg = _read(name)
    is_gid = name.startswith('gid/')
    assert cfg.train_dataloader.batch_size == (24 if is_gid else 16)
    assert cfg.optim_wrapper.optimizer == dict(
        type='AdamW', lr=1e-4 if is_gid else 3e-4, weight_decay=1e-4
    )
    assert cfg.train_cfg.max_epochs == 50
    assert cfg.get('param_scheduler') is None
    head = cfg.model.decode_head
    loss = head.loss_decode
    assert loss.type == 'CrossEntropyLoss'
    assert loss.use_sigmoid == (not is_gid)
    assert head.get('out_channels', head.num_classes) == (6 if is_gid else 1)
    steps = {step.type for step in cfg.train_dataloader.dataset.pipeline}
    assert steps <= {
        'LoadImageFromFile',
        'LoadGeoTIFF',
        'NormalizeBands',
        'LoadAnnotations',
        'PackSegInputs',
    }


# -------------------------------------------------------------------- steps


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """Made-up tiles in both layouts."""
    rasterio = pytest.importorskip('rasterio')
    rng = np.random.default_rng(0)
    roots = {}
    for kind, bands, classes in (('gid', 3, 6), ('hi_cna', 4, 2)):
        root = roots[kind] = tmp_path_factory.mktemp(kind)
        for split, number in (('train', 2), ('val', 1)):
            images, labels = root / 'img_dir' / split, root / 'ann_dir' / split
            images.mkdir(parents=True)
            labels.mkdir(parents=True)
            for i in range(number):
                image = rng.integers(0, 255, (SIDE, SIDE, bands), np.uint8)
                label = rng.integers(0, classes, (SIDE, SIDE), np.uint8)
                Image.fromarray(label).save(labels / f'{i}.png')
                if bands == 3:
                    Image.fromarray(image).save(images / f'{i}.png')
                    continue
                with rasterio.open(
                    images / f'{i}.tif',
                    'w',
                    driver='GTiff',
                    height=SIDE,
                    width=SIDE,
                    count=bands,
                    dtype='uint8',
                ) as file:
                    file.write(image.transpose(2, 0, 1))
    yield roots
    for root in roots.values():
        shutil.rmtree(root)


def _shrink(cfg, name, data):
    """The experiment as it is, but for widths, image size and data."""
    stock = cfg.model.backbone.get('backbone', cfg.model.backbone)
    head = cfg.model.decode_head
    if stock.type.endswith('MobileNetV2'):
        stock.widen_factor = 0.25
        head.in_channels = [8, 8, 8, 24, 1280]
    else:
        stock.update(stem_channels=16, base_channels=8)
        head.in_channels = [16, 8, 16, 32, 64]
    if stock.type == 'DeepLabResNet':
        stock.update(stem_channels=8, aspp_channels=16)
        head.in_channels = [8, 16]
    head.channels = [8] * len(head.channels)
    if head.up_channels:
        head.up_channels = [8] * len(head.up_channels)
    cfg.model.data_preprocessor.size = (SIDE, SIDE)
    for split in ('train', 'val'):
        root = data[name.split('/')[0]]
        cfg[f'{split}_dataloader'].dataset.data_root = str(root)


def _samples(loader, number):
    from mmseg.registry import DATASETS

    dataset = DATASETS.build(loader.dataset)
    return dataset, pseudo_collate([dataset[i] for i in range(number)])


@pytest.mark.slow
@pytest.mark.parametrize('name', EXPERIMENTS)
def test_experiment(name, data):
    import mmseg.datasets  # noqa: F401
    from mmseg.registry import METRICS, MODELS

    torch.manual_seed(0)
    cfg = _read(name)
    _shrink(cfg, name, data)
    model = MODELS.build(cfg.model)
    model.init_weights()
    layers = [
        m for m in model.backbone.modules() if isinstance(m, DynamicConv2d)
    ]
    is_dynamic = cfg.model.backbone.type == 'DynamicBackbone'
    assert len(layers) == (LAYERS[_encoder(name)] if is_dynamic else 0)

    # one step, in the middle of KernelWarehouse's first epochs: its routers
    # have no part in the first step of all
    for key, temperature in model.named_buffers():
        if key.endswith('attention.temperature') and 'kw' in name:
            assert temperature == 1
            temperature.fill_(0.5)
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    model.train()
    losses = model.train_step(_samples(cfg.train_dataloader, 2)[1], wrapper)
    assert 'decode.loss_ce' in losses
    assert all(math.isfinite(value) for value in losses.values()), losses
    after = model.state_dict()
    assert all(v.isfinite().all() for v in after.values())
    still = {k for k in after if after[k].equal(before[k])}
    still &= {k for k, _ in model.named_parameters()}
    if layers:
        routers = {
            id(p) for layer in layers for p in layer.router_parameters()
        }
        names = {k for k, p in model.named_parameters() if id(p) in routers}
        assert names - still, 'no router has learnt'
        still -= names
    assert not {k for k in still if k.startswith('decode_head')}

    # one prediction, and its scores
    model.eval()
    dataset, batch = _samples(cfg.val_dataloader, 1)
    (result,) = model.test_step(batch)
    predicted = result.pred_sem_seg.data
    assert predicted.shape == (1, SIDE, SIDE)
    assert (
        0
        <= predicted.min()
        <= predicted.max()
        < len(dataset.metainfo['classes'])
    )
    metric = METRICS.build(cfg.val_evaluator)
    metric.dataset_meta = dataset.metainfo
    metric.process(batch, [result.to_dict()])
    assert 0 <= metric.evaluate(1)['cropland/OA'] <= 100
