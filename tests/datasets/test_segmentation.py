"""GIDDataset, HiCNADataset and CamVidDataset, as configs of mmseg use them."""

import ast

import numpy as np
import pytest
import torch

pytest.importorskip('mmseg')
pytest.importorskip('cv2')

import cv2
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS, MODELS

from mmfdconv.datasets import (
    GID_CLASSES,
    GID_PALETTE,
    HI_CNA_CLASSES,
    CamVidDataset,
)

from .raw_scenes import SIDE, write_gid, write_hi_cna, write_tif

pytestmark = pytest.mark.core

WITHOUT_BACKGROUND = dict(metainfo=dict(classes=GID_CLASSES[1:]))
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


@pytest.mark.parametrize('kind', ['GIDDataset', 'HiCNADataset'])
def test_ids_are_not_shifted_apart_from_their_names(tmp_path, kind):
    with pytest.raises(ValueError) as error:
        build(kind, gid_folder(tmp_path), reduce_zero_label=True)
    # The way out that it tells is one.
    said = str(error.value)
    assert 'would shift the ids and not the names' in said
    rest = said.partition('metainfo=dict(classes=')[2].rstrip(')')
    kept = tuple(ast.literal_eval(f'{rest})'))
    data = build(kind, tmp_path, metainfo=dict(classes=kept))
    assert data.metainfo['classes'] == kept
    assert data.label_map[1] == 0


def masks(folder, *values, dtype=np.uint8):
    gid_folder(folder)
    for path in (folder / 'ann_dir/train').iterdir():
        cv2.imwrite(str(path), np.array([values], dtype).repeat(4, 0))
    return folder


@pytest.mark.parametrize(
    ('kind', 'values', 'options', 'wrong'),
    [
        (
            'HiCNADataset',
            (0, 255, 255),
            {},
            '8 pixels have .* value 255, .* set',
        ),
        ('HiCNADataset', (0, 1, 2), {}, '4 pixels have .* 2, .* make it 255'),
        ('HiCNADataset', (0, 1, 255), dict(ignore_index=255), None),
        ('HiCNADataset', (0, 1, 9), dict(ignore_index=255), '4 .* value 9'),
        ('GIDDataset', (0, 5, 6), {}, '4 .* value 6'),
        ('GIDDataset', (0, 5, 255), {}, '4 .* value 255'),
        ('GIDDataset', (0, 5, 7), WITHOUT_BACKGROUND, '4 .* value 7'),
        ('GIDDataset', (0, 5, 1), WITHOUT_BACKGROUND, None),
    ],
)
def test_labels_of_no_class_are_named(tmp_path, kind, values, options, wrong):
    data = build(kind, masks(tmp_path, *values), **options)
    if wrong is None:
        assert ids(data[0]).shape == (1, 4, 3)
        return
    with pytest.raises(ValueError, match=rf'[ab]\.png: {wrong}') as error:
        data[0]
    assert data.metainfo['classes'][-1] in str(error.value)
    assert 'ignore_index=' in str(error.value)


def test_labels_of_sixteen_bits_are_not_cut_to_eight(tmp_path):
    # mmseg would read 256 as 0.
    for highest in (5, 256):
        masks(tmp_path, 0, highest, dtype=np.uint16)
        data = build('GIDDataset', tmp_path)
        if highest == 5:
            assert ids(data[0])[0, 0].tolist() == [0, 5]
    with pytest.raises(ValueError, match='value 256, .* would read 0'):
        data[0]


@pytest.mark.parametrize('wrapper', ['TestTimeAug', 'RandomApply'])
def test_transforms_of_transforms_are_watched_too(tmp_path, wrapper):
    masks(tmp_path, 0, 6)
    load, pack = dict(type='LoadAnnotations'), dict(type='PackSegInputs')
    options = dict(transforms=[load], prob=1.0)
    last = [pack]
    if wrapper == 'TestTimeAug':
        flips = [dict(type='RandomFlip', prob=p) for p in (0.0, 1.0)]
        options, last = dict(transforms=[flips, [load], [pack]]), []
    data = DATASETS.build(
        dict(
            type='GIDDataset',
            data_root=str(tmp_path),
            data_prefix=PREFIX,
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type=wrapper, **options),
                *last,
            ],
        )
    )
    with pytest.raises(ValueError, match='4 pixels have the value 6'):
        data[0]
    masks(tmp_path, 0, 5)
    assert 'data_samples' in data[0]


def test_labels_that_are_colours_are_named(tmp_path):
    gid_folder(tmp_path)
    for path in (tmp_path / 'ann_dir/train').iterdir():
        cv2.imwrite(str(path), np.zeros((4, 3, 3), np.uint8))
    with pytest.raises(ValueError, match=r'png: has shape \(4, 3, 3\)'):
        build('GIDDataset', tmp_path)[0]


def test_padding_behind_the_labels_is_no_label(tmp_path):
    pad = dict(type='Pad', size=(8, 8), pad_val=dict(img=0, seg=255))
    data = build('HiCNADataset', masks(tmp_path, 0, 1, 1), between=[pad])
    assert ids(data[0]).shape == (1, 8, 8)
    assert ids(data[0]).max() == 255


@pytest.mark.parametrize('bands', [3, 4, 7])
@pytest.mark.parametrize('step', ['PhotoMetricDistortion', 'Pad', 'CLAHE'])
def test_transforms_that_cannot_work_on_bands_are_named(tmp_path, bands, step):
    pytest.importorskip('rasterio')
    masks(tmp_path, 0, 1, 1)
    for path in (tmp_path / 'img_dir/train').iterdir():
        image = np.full((bands, 4, 3), 3000, np.uint16)
        write_tif(path.with_suffix('.tif'), image)
        path.unlink()
    options = dict(size=(8, 8)) if step == 'Pad' else {}
    data = build(
        'HiCNADataset',
        tmp_path,
        'LoadGeoTIFF',
        [dict(type=step, **options)],
    )
    if step == 'Pad' and bands < 5:
        assert data[0]['inputs'].shape == (bands, 8, 8)
        return
    says = 'preprocessor pad' if step == 'Pad' else 'DistortBands'
    wrong = rf'tif: {step} cannot work on {bands} bands of float32.*{says}'
    with pytest.raises(ValueError, match=wrong):
        data[0]


def test_what_is_for_eight_bits_works_on_them(tmp_path):
    between = [dict(type='CLAHE'), dict(type='PhotoMetricDistortion')]
    data = build('GIDDataset', gid_folder(tmp_path), between=between)
    assert data[0]['inputs'].dtype == torch.uint8


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


@pytest.mark.parametrize(('split', 'number'), [('train', 367), ('val', 101)])
def test_camvid_is_read_as_it_is(shared_dir, split, number):
    folder = shared_dir / 'data' / 'camvid'
    if not folder.is_dir():
        pytest.skip('no folder data/camvid: its real labels are not read')
    dataset = CamVidDataset(
        data_root=str(folder),
        data_prefix=dict(
            img_path=f'img_dir/{split}', seg_map_path=f'ann_dir/{split}'
        ),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations'),
        ],
    )
    assert len(dataset) == number
    sample = dataset[0]
    assert sample['img'].shape == (360, 480, 3)
    assert {*np.unique(sample['gt_seg_map'])} <= {*range(11), 255}


def test_camvid_ignores_255_and_no_other_value(tmp_path):
    for folder in ('img_dir', 'ann_dir'):
        (tmp_path / folder).mkdir()
    image = np.zeros((4, 6, 3), np.uint8)
    cv2.imwrite(str(tmp_path / 'img_dir/0.png'), image)
    options = dict(
        data_root=str(tmp_path),
        data_prefix=dict(img_path='img_dir', seg_map_path='ann_dir'),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations'),
        ],
    )
    for value, fits in ((255, True), (10, True), (11, False)):
        label = np.full((4, 6), value, np.uint8)
        cv2.imwrite(str(tmp_path / 'ann_dir/0.png'), label)
        dataset = CamVidDataset(**options)
        assert dataset.metainfo['classes'][10] == 'bicyclist'
        assert len(dataset.metainfo['palette']) == 11
        if fits:
            assert (dataset[0]['gt_seg_map'] == value).all()
        else:
            with pytest.raises(ValueError, match='11'):
                dataset[0]
