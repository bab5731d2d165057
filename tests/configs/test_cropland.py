"""Cropland experiments: the README's counts, recipes, a step of each."""

import math
import re
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

from mmfdconv.convert import build_dynamic, with_dynamic_convolutions
from mmfdconv.layers import DynamicConv2d

FOLDER = Path(__file__).resolve().parents[2] / 'configs/mmseg/cropland'
EXPERIMENTS = sorted(
    path.relative_to(FOLDER).as_posix() for path in FOLDER.glob('*/*.py')
)
GID = 'gid/{}_1xb24-50e_gid-512x512.py'
HI_CNA = 'hi_cna/{}_1xb16-50e_hi-cna-512x512.py'
QUARTER = HI_CNA.format('unet_r18-quarter')
# Dynamic layers of every encoder, whatever the method.
LAYERS = {
    'unet_r18-quarter': 16,
    'unet_r18': 16,
    'unet_r34': 32,
    'unet_mobilenetv2': 51,
    'deeplabv3plus_r18': 25,
}
README = (FOLDER / 'README.md').read_text(encoding='utf-8')
# The words of the README's tables, as typed.
WORDS = sorted(set(re.findall(r'`--conv ([^`]*)`', README)))
SIDE = 64


def _read(name, word=''):
    """An experiment, with what a command line adds to it."""
    init_default_scope('mmseg')
    cfg = Config.fromfile(FOLDER / name)
    assert cfg.default_scope == 'mmseg'
    import_modules_from_strings(**cfg.custom_imports)
    if not word:
        return cfg
    method, *options = word.replace(' --conv-options', '').split()
    pairs = (option.split('=') for option in options)
    values = {k: int(v) if v.isdigit() else v for k, v in pairs}
    return with_dynamic_convolutions(cfg, method, values)


def _converted(name, word):
    """The backbone with the word's layers, on the meta device, and report."""
    cfg = _read(name, word).model.backbone
    with torch.device('meta'):
        return build_dynamic(cfg.backbone, cfg.conv_cfg, cfg.get('rule'))


def _encoder(name):
    """Which of the encoders an experiment has; longest name first."""
    stem = Path(name).stem
    return next(encoder for encoder in LAYERS if stem.startswith(encoder))


# ------------------------------------------------------------------ counts


@pytest.mark.parametrize('encoder', LAYERS)
def test_readme_counts_what_a_word_adds(encoder):
    (table,) = re.findall(r'^\| method \| word \|.*?\n\n', README, re.M | re.S)
    head, _, *rows = (
        [cell.strip() for cell in line.split('|')]
        for line in table.strip().splitlines()
    )
    for row in rows:
        word = row[2].strip('`').partition('--conv ')[2]
        if word:  # the last row is the paper's
            _, report = _converted(GID.format(encoder), word)
            added = f'{report.added_params / 1e6:+.3f}'
            assert row[head.index(f'`{encoder}`')] == added, word
            assert len(report.converted) == LAYERS[encoder]


# ----------------------------------------------------------------- recipes


def test_every_encoder_has_its_files():
    files = [GID.format(encoder) for encoder in LAYERS]
    files += [QUARTER, HI_CNA.format('unet_mobilenetv2')]
    assert sorted(files) == EXPERIMENTS


def test_readme_takes_hi_cna_to_another_encoder(tmp_path):
    (text,) = re.findall(r'```python\n(.*?)```', README, re.S)
    bases = (FOLDER.parents[1] / '_base_').as_posix()
    file = tmp_path / 'unet_r34.py'
    file.write_text(text.replace('../../../_base_', bases))
    found, quarter = Config.fromfile(file).to_dict(), _read(QUARTER).to_dict()
    assert found['model']['backbone'].pop('depth') == 34
    for cfg in (found, quarter):  # what makes one of the other
        del cfg['dynamic_rule']
        for part in ('stem_channels', 'base_channels', 'depth'):
            cfg['model']['backbone'].pop(part, None)
        for part in ('in_channels', 'channels', 'up_channels'):
            del cfg['model']['decode_head'][part]
    assert found == quarter


@pytest.mark.parametrize('name', EXPERIMENTS)
def test_recipe(name):
    cfg = _read(name)
    is_gid = name.startswith('gid/')
    assert cfg.train_dataloader.batch_size == (24 if is_gid else 16)
    assert cfg.optim_wrapper.optimizer == dict(
        type='AdamW', lr=1e-4 if is_gid else 3e-4, weight_decay=1e-4
    )
    (hook,) = cfg.custom_hooks
    assert hook.type == 'TrainingDataHook'
    assert hook.get('pixel_size') == (4 if is_gid else None)
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


STEPS = [
    *((name, '') for name in EXPERIMENTS),
    *((GID.format(encoder), 'fadconv') for encoder in LAYERS),
    *((QUARTER, word) for word in WORDS),
]


@pytest.mark.slow
@pytest.mark.parametrize(('name', 'word'), STEPS)
def test_experiment(name, word, data):
    import mmseg.datasets  # noqa: F401
    from mmseg.registry import METRICS, MODELS

    torch.manual_seed(0)
    cfg = _read(name, word)
    _shrink(cfg, name, data)
    model = MODELS.build(cfg.model)
    model.init_weights()
    layers = [
        m for m in model.backbone.modules() if isinstance(m, DynamicConv2d)
    ]
    assert len(layers) == (LAYERS[_encoder(name)] if word else 0)

    # one step, in the middle of KernelWarehouse's first epochs: its routers
    # have no part in the first step of all
    for key, temperature in model.named_buffers():
        if key.endswith('attention.temperature') and 'kw' in word:
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
