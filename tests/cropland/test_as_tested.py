"""Mapping a tile gives the classes that testing on it gives."""

import copy

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate

from mmfdconv.cropland.mapping import Tiling, map_rows
from mmfdconv.cropland.predictor import load_predictor
from mmfdconv.cropland.scene import Scene

from .helpers import BANDS, CLASSES, noise, write_checkpoint, write_scene

pytestmark = pytest.mark.core

SIZE = 75, 90  # no multiples of anything
RGB = ('red', 'green', 'blue')
ONE_LOGIT = dict(num_classes=2, out_channels=1)
STOCK = dict(
    fcn='fcn/fcn_r18-d8_4xb2-80k_cityscapes-512x1024.py',
    enc='encnet/encnet_r50-d8_4xb2-40k_cityscapes-512x1024.py',
    point='point_rend/pointrend_r50_4xb2-80k_cityscapes-512x1024.py',
    mask2former='mask2former/mask2former_r50_8xb2-90k_cityscapes-512x1024.py',
    maskformer='maskformer/maskformer_r50-d32_8xb2-160k_ade20k-512x512.py',
)
SIGMOIDS = dict(type='CrossEntropyLoss', use_sigmoid=True)
# Stock model, options of its head, seed with which not all is of one class.
HEADS = dict(
    softmax=('fcn', {}, 0),
    sigmoids=('fcn', dict(loss_decode=SIGMOIDS), 0),
    one_logit=('fcn', ONE_LOGIT, 0),
    one_logit_at_half=('fcn', dict(ONE_LOGIT, threshold=0.5), 0),
    context=('enc', {}, 0),
    cascade=('point', {}, 0),
    mask2former=('mask2former', {}, 0),
    maskformer=('maskformer', {}, 2),
)
GEOTIFF = [
    dict(type='LoadGeoTIFF', band_names=BANDS, fill=[90.5, 95, 100, 105]),
    dict(type='NormalizeBands', mean=[90.5, 95, 100, 105], std=[40] * 4),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
IMAGE = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]


def smaller(part):
    """An eighth of all widths."""
    if isinstance(part, dict):
        return {name: smaller(value) for name, value in part.items()}
    if isinstance(part, (list, tuple)):
        return [smaller(value) for value in part]
    wide = type(part) is int and part >= 128
    return part // 8 if wide else part


def small_config(head, pipeline, test_cfg=None, preprocessor=None):
    """A stock model of mmseg, narrow, for six classes, on a pipeline."""
    name, options, _ = HEADS[head]
    cfg = Config.fromfile(f'{_mmseg()}/configs/{STOCK[name]}')
    model = smaller(cfg.model.to_dict())
    model.pop('pretrained', None)
    model['auxiliary_head'] = None
    model['backbone'].update(
        base_channels=8,
        stem_channels=8,
        init_cfg=None,
        norm_cfg=dict(type='BN'),
    )
    model['test_cfg'].update(test_cfg or {})
    for one in _heads(model):
        if 'loss_cls' in one:
            one['loss_cls']['class_weight'] = [1.0] * 6 + [0.1]
            one['num_queries'] = 8
        if 'norm_cfg' in one:
            one['norm_cfg'] = dict(type='BN')
        one.update(num_classes=6)
        one.update(options)
    if pipeline[0]['type'] == 'LoadGeoTIFF':
        (means,) = (step['mean'] for step in pipeline if 'mean' in step)
        model['backbone']['in_channels'] = len(means)
        for name in ('mean', 'std', 'bgr_to_rgb'):
            model['data_preprocessor'].pop(name)
    model['data_preprocessor'].update(preprocessor or {})
    loader = dict(dataset=dict(pipeline=pipeline))
    return Config(
        dict(model=model, test_dataloader=loader, default_scope='mmseg')
    )


def _mmseg():
    import mmseg

    return f'{mmseg.__path__[0]}/.mim'


def _heads(model):
    heads = model['decode_head']
    return heads if isinstance(heads, list) else [heads]


@pytest.fixture
def predictor(tmp_path):
    """Build a small model, with the options that a test asks for."""

    def build(head, pipeline, **options):
        cfg = small_config(head, pipeline, **options)
        path = tmp_path / 'model.py'
        cfg.dump(path)
        classes = CLASSES[:2] if 'one_logit' in head else CLASSES
        checkpoint = tmp_path / 'model.pth'
        write_checkpoint(path, checkpoint, classes, seed=HEADS[head][-1])
        return load_predictor(str(path), str(checkpoint), device='cpu')

    return build


def tile_of(folder, pipeline, size=SIZE):
    """A tile as the pipeline's loader takes it, some of it without data."""
    if pipeline[0]['type'] == 'LoadImageFromFile':
        values = noise(3, *size)
        values[:, :20, :30] = 0
        return write_scene(folder / 'tile.tif', values, names=RGB, nodata=0)
    values = noise(4, *size, dtype='float32')
    values[:, :20, :30] = -1
    values[2, 40, 50] = -1
    values[1, 45, 50] = np.nan
    return write_scene(folder / 'tile.tif', values, names=BANDS, nodata=-1)


def stock(predictor, pipeline, path):
    """What the stock tools make of the file, (classes, scores)."""
    steps = [step for step in pipeline if step['type'] != 'LoadAnnotations']
    data = Compose(copy.deepcopy(steps))(dict(img_path=str(path)))
    with torch.no_grad():
        (sample,) = predictor.model.test_step(pseudo_collate([data]))
    return sample.pred_sem_seg.data[0].long(), sample.seg_logits.data


def mapped(predictor, path, tiling=None):
    """What we make of it, (classes, scores)."""
    with Scene(path, predictor.channels, trained=predictor.bands) as scene:
        rows = map_rows(scene, predictor, tiling or Tiling())
        scores = torch.cat([scores for _, scores, _ in rows], 1)
    return predictor.decide(scores), scores


def check(predictor, pipeline, path):
    classes, scores = stock(predictor, pipeline, path)
    assert len(classes.unique()) > 1  # there is something to get wrong
    found, found_scores = mapped(predictor, path)
    assert torch.equal(found_scores, scores)
    assert torch.equal(found, classes)
    return found_scores


@pytest.mark.parametrize(
    ('head', 'pipeline'),
    [
        *((head, IMAGE) for head in HEADS),
        # What comes before a model and what comes after do not meet.
        *((head, GEOTIFF) for head in ('softmax', 'one_logit', 'mask2former')),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0]['type'],
)
def test_a_tile_is_mapped_as_it_is_tested(predictor, tmp_path, head, pipeline):
    predictor = predictor(head, pipeline)
    path = tile_of(tmp_path, pipeline)
    scores = check(predictor, pipeline, path)
    if head == 'sigmoids':
        with pytest.raises(ValueError, match='FCNHead was trained by CrossEn'):
            predictor.check_probabilities()
        return
    predictor.check_probabilities()
    shares = predictor.probabilities(scores)
    assert len(shares) == len(predictor.classes)
    torch.testing.assert_close(shares.sum(0), torch.ones(SIZE))
    if 'mask' in head:  # scores are sums over masks already, not logits
        torch.testing.assert_close(shares * scores.sum(0), scores)
    elif 'one_logit' not in head:
        torch.testing.assert_close(shares, scores.softmax(0))


THREE = [
    dict(type='LoadGeoTIFF', bands=['nir', 'blue', 3], fill=[1, 2, 3]),
    dict(type='NormalizeBands', mean=[80, 90, 100], std=[20, 40, 80]),
]
SLIDE = dict(mode='slide', crop_size=(48, 48), stride=(32, 32))
RESIZE = dict(type='Resize', scale=(128, 96), keep_ratio=True)
SQUEEZE = dict(type='Resize', scale=(64, 64), keep_ratio=False)
MEANS = dict(mean=[90] * 3, std=[40] * 3)
TO_BGR = dict(MEANS, bgr_to_rgb=False, rgb_to_bgr=True)


@pytest.mark.parametrize(
    ('pipeline', 'options'),
    [
        (GEOTIFF, dict(test_cfg=SLIDE)),
        (IMAGE, dict(preprocessor=dict(test_cfg=dict(size_divisor=32)))),
        (IMAGE, dict(preprocessor=dict(MEANS, bgr_to_rgb=False))),
        (IMAGE, dict(preprocessor=TO_BGR)),
        ([IMAGE[0], RESIZE, *IMAGE[1:]], {}),
        ([GEOTIFF[0], SQUEEZE, *GEOTIFF[1:]], {}),
        ([dict(GEOTIFF[0], bands=['nir', 3, 'blue', 2]), *GEOTIFF[1:]], {}),
        ([dict(GEOTIFF[0], nodata=97.5), *GEOTIFF[1:]], {}),
        ([*THREE, *GEOTIFF[2:]], {}),
        ([*THREE, *GEOTIFF[2:]], dict(preprocessor=dict(bgr_to_rgb=True))),
    ],
    ids=[
        'slide',
        'padded',
        'not turned',
        'turned to BGR',
        'resized',
        'squeezed',
        'bands',
        'nodata told',
        'three bands',
        'three bands turned',
    ],
)
def test_what_the_config_asks_for_is_done(
    predictor, tmp_path, pipeline, options
):
    path = tile_of(tmp_path, pipeline)
    check(predictor('softmax', pipeline, **options), pipeline, path)


def test_windows_of_a_pipeline_that_resizes_are_alike(predictor, tmp_path):
    """At the scene's edges, too: each is what a tile would be."""
    pipeline = [IMAGE[0], SQUEEZE, *IMAGE[1:]]
    predictor = predictor('softmax', pipeline)
    path = tile_of(tmp_path, pipeline, (150, 170))
    tiling = Tiling(window=96, overlap=32, margin=0)
    found, _ = mapped(predictor, path, tiling)
    with Scene(path, 3, trained=predictor.bands) as scene:
        rows = scene.read(0, 150)
        down, across = tiling.plans(scene, predictor)
        assert (down.starts, across.starts) == ([0, 54], [0, 64, 74])
    # In the corner no other window has a say.
    corner = rows.part(slice(54, 150), slice(74, 170))
    alone = predictor.decide(predictor([corner])[0])
    assert torch.equal(found[-54:, -10:], alone[-54:, -10:])


def test_a_scene_too_narrow_for_windows_that_are_resized(predictor, tmp_path):
    pipeline = [IMAGE[0], SQUEEZE, *IMAGE[1:]]
    predictor = predictor('softmax', pipeline)
    path = tile_of(tmp_path, pipeline, (150, 70))
    with pytest.raises(ValueError, match='--window: 96 .* 70x150 .* most 70'):
        mapped(predictor, path, Tiling(window=96, overlap=32))


def test_a_head_that_is_not_known(predictor, tmp_path):
    predictor = predictor('softmax', IMAGE)
    head = predictor.model.decode_head
    kind = type('OwnHead', (type(head),), {'predict': lambda self, *a: None})
    head.__class__ = kind
    with pytest.raises(ValueError, match='--probabilities: .* OwnHead mean'):
        predictor.check_probabilities()


def test_classes_that_do_not_follow_from_the_scores(predictor, tmp_path):
    predictor = predictor('softmax', IMAGE)
    path = tile_of(tmp_path, IMAGE)
    step = predictor.model.test_step

    def other(data):
        samples = step(data)
        for sample in samples:
            sample.pred_sem_seg.data += 1
        return samples

    predictor.model.test_step = other
    with pytest.raises(ValueError, match='does not take the class with the'):
        mapped(predictor, path)


def test_a_pipeline_that_augments(predictor):
    pipeline = [IMAGE[0], dict(type='TestTimeAug', transforms=[])]
    with pytest.raises(ValueError, match='augments .TestTimeAug.'):
        predictor('softmax', pipeline)
