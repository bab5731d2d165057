"""GIDDataset and HiCNADataset, as configs of mmseg use them."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip('mmseg')
pytest.importorskip('cv2')

import cv2
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS, MODELS

from mmfdconv.datasets import GID_CLASSES, GID_PALETTE, HI_CNA_CLASSES

from .raw_scenes import SIDE, write_gid, write_hi_cna

pytestmark = pytest.mark.core

PREFIX = dict(img_path='img_dir/train', seg_map_path='ann_dir/train')


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope('mmseg')


def gid_folder(folder, suffix='.jpg'):
    for name, values in (('a', [0, 1, 2]), ('b', [3, 4, 5])):
        label = np.array([values], np.uint8).repeat(4, 0)
        image = np.full((4, 3, 3), 100, np.uint8)
        for kind, data, end in (
            ('img_dir', image, suffix),
            ('ann_dir', label, '.png'),
        ):
            path = folder / kind / 'train' / f'{name}{end}'
            path.parent.mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(path), data)
    return folder


def build(kind, folder, load='LoadImageFromFile', between=(), **options):
    pipeline = [dict(type=load), dict(type='LoadAnnotations')]
    pipeline += [*between, dict(type='PackSegInputs')]
    return DATASETS.build(
        dict(
            type=kind,
            data_root=str(folder),
            data_prefix=PREFIX,
            pipeline=pipeline,
            **options,
        )
    )


def ids(item):
    return item['data_samples'].gt_sem_seg.data


@pytest.mark.parametrize('suffix', ['.jpg', '.png', '.tif', '.JPG'])
def test_gid_is_read_whatever_its_suffix(tmp_path, suffix):
    data = build('GIDDataset', gid_folder(tmp_path, suffix))
    assert data.metainfo['classes'] == GID_CLASSES
    assert data.metainfo['palette'] == [list(rgb) for rgb in GID_PALETTE]
    assert len(data) == 2
    assert ids(data[0]).tolist() == [[[0, 1, 2]] * 4]
    assert ids(data[1]).tolist() == [[[3, 4, 5]] * 4]
    assert data[0]['inputs'].shape == (3, 4, 3)


def test_gid_without_background(tmp_path):
    data = build(
        'GIDDataset',
        gid_folder(tmp_path),
        metainfo=dict(classes=GID_CLASSES[1:]),
    )
    assert data.metainfo['palette'] == [list(rgb) for rgb in GID_PALETTE[1:]]
    assert ids(data[0])[0, 0].tolist() == [255, 0, 1]
    assert ids(data[1])[0, 0].tolist() == [2, 3, 4]


def test_a_folder_that_is_not_as_expected_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='no folder of images'):
        build('GIDDataset', tmp_path / 'none')
    gid_folder(tmp_path)
    cv2.imwrite(str(tmp_path / 'img_dir/train/c.png'), np.zeros((4, 3, 3)))
    with pytest.raises(ValueError, match=r'\.jpg and \.png'):
        build('GIDDataset', tmp_path)
    assert len(build('GIDDataset', tmp_path, img_suffix='.png')) == 1
    with pytest.raises(FileNotFoundError, match=r'no image \*\.bmp'):
        build('GIDDataset', tmp_path, img_suffix='.bmp')
    for path in (tmp_path / 'img_dir/train').iterdir():
        path.unlink()
    with pytest.raises(FileNotFoundError, match='no image'):
        build('GIDDataset', tmp_path)


def test_converted_gid_is_read(tmp_path):
    pytest.importorskip('rasterio')
    from mmfdconv.datasets.gid import convert_gid

    raw = write_gid(tmp_path / 'raw', number=2)
    convert_gid(raw, tmp_path / 'gid', tile_size=SIDE, workers=1)
    data = build('GIDDataset', tmp_path / 'gid')
    assert len(data) == 6
    assert data[0]['inputs'].shape == (3, SIDE, SIDE)
    assert set(ids(data[0]).unique().tolist()) == set(range(6))


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_hi_cna_goes_through_a_model_of_four_bands(tmp_path, dtype):
    pytest.importorskip('rasterio')
    from mmfdconv.datasets.hi_cna import convert_hi_cna

    raw = write_hi_cna(tmp_path / 'raw', number=5, dtype=dtype)
    convert_hi_cna(raw, tmp_path / 'out', tile_size=SIDE, workers=1)
    normalize = dict(type='NormalizeBands', mean=[9.0] * 4, std=[3.0] * 4)
    data = build(
        'HiCNADataset',
        tmp_path / 'out',
        'LoadGeoTIFF',
        [
            dict(type='RandomResize', scale=(32, 32), ratio_range=(0.5, 2.0)),
            dict(type='RandomCrop', crop_size=(16, 16)),
            dict(type='RandomFlip', prob=0.5),
            normalize,
        ],
    )
    assert data.metainfo['classes'] == HI_CNA_CLASSES
    assert len(data) == 6
    batch = pseudo_collate([data[0], data[1]])
    model = MODELS.build(
        dict(
            type='EncoderDecoder',
            data_preprocessor=dict(
                type='SegDataPreProcessor', size=(16, 16), seg_pad_val=255
            ),
            backbone=dict(
                type='ResNetV1c',
                depth=18,
                in_channels=4,
                norm_cfg=dict(type='BN'),
            ),
            decode_head=dict(
                type='FCNHead',
                in_channels=512,
                in_index=3,
                channels=8,
                num_convs=1,
                num_classes=2,
                norm_cfg=dict(type='BN'),
            ),
        )
    )
    batch = model.data_preprocessor(batch, training=True)
    assert batch['inputs'].shape == (2, 4, 16, 16)
    loss = model(**batch, mode='loss')['decode.loss_ce']
    loss.backward()
    assert torch.isfinite(loss)
    assert (
        model.backbone.stem[0].weight.grad.abs().sum(dim=(0, 2, 3)).min() > 0
    )


@pytest.mark.parametrize('split', ['train', 'val'])
def test_real_patches_are_read_as_they_are(shared_dir, split):
    folder = shared_dir / 'data' / 'gid'
    if not folder.is_dir():
        pytest.skip('no GID patches there')
    data = DATASETS.build(
        dict(
            type='GIDDataset',
            data_root=str(folder),
            data_prefix=dict(
                img_path=f'img_dir/{split}', seg_map_path=f'ann_dir/{split}'
            ),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadAnnotations'),
                dict(type='PackSegInputs'),
            ],
        )
    )
    assert len(data) == dict(train=448, val=112)[split]
    assert data[0]['inputs'].shape == (3, 224, 224)
    seen = set()
    for index in range(0, len(data), 8):
        seen |= set(ids(data[index]).unique().tolist())
    assert seen == set(range(6))


def test_the_names_cost_no_import_of_mmseg():
    code = """
import sys
import mmfdconv
from mmengine.registry import DATASETS
assert DATASETS.get('GIDDataset') and DATASETS.get('HiCNADataset')
print(*(n for n in ('mmseg', 'mmcv', 'rasterio') if n in sys.modules))
"""
    done = subprocess.run(
        [sys.executable, '-c', code],
        cwd=str(Path(__file__).resolve().parents[2]),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
