"""Images, truth and predictions, side by side."""

import pytest
import torch

pytest.importorskip('mmseg', reason='no segmentor without mmseg')
pytest.importorskip('matplotlib')
import cv2
import numpy as np
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import BaseDataElement

from mmfdconv.analysis.compare.predictions import (
    _Painter,
    draw_predictions,
    original,
)
from mmfdconv.analysis.compare.training import Run
from mmfdconv.analysis.figures.data import build_data
from mmfdconv.engine.models import build_model

from ...tools.experiments import write_mmdet

CONFIG = """
default_scope = 'mmseg'
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(type='SegDataPreProcessor', pad_val=0),
    backbone=dict(
        type='ResNet', depth=18, base_channels=8, stem_channels=8,
        norm_cfg=dict(type='BN')),
    decode_head=dict(
        type='FCNHead', in_channels=64, in_index=3, channels=64, num_convs=0,
        concat_input=False, num_classes=2, norm_cfg=dict(type='BN')),
    test_cfg=dict(mode='whole'))
val_dataloader = test_dataloader = dict(
    dataset=dict(
        type='BaseSegDataset', data_root={root!r},
        data_prefix=dict(img_path='img', seg_map_path='ann'),
        metainfo=dict(classes=('a', 'b'), palette=[[0, 0, 255], [255, 0, 0]]),
        pipeline=[dict(type=t, **more) for t, more in {pipeline}]))
visualizer = dict(type='SegLocalVisualizer', alpha=1.0)
"""

LOAD, RESIZE = ('LoadAnnotations', {}), ('Resize', dict(scale=(48, 48)))
PIPELINES = {
    'as they are': [LOAD],
    'images resized': [RESIZE, LOAD],  # as in the toolboxes' configs
    'both resized': [LOAD, RESIZE],
}


@pytest.fixture(params=PIPELINES.values(), ids=list(PIPELINES))
def runs(request, tmp_path):
    """Two models: one sees class 0 everywhere, the other class 1."""
    ends = [('LoadImageFromFile', {})], [('PackSegInputs', {})]
    pipeline = ends[0] + request.param + ends[1]
    for folder in ('img', 'ann'):
        (tmp_path / folder).mkdir()
    truth = np.zeros((64, 64), np.uint8)
    truth[:, 32:] = 1
    for i in range(2):
        grey = np.full((64, 64, 3), 128, np.uint8)
        cv2.imwrite(str(tmp_path / 'img' / f'{i}.jpg'), grey)
        cv2.imwrite(str(tmp_path / 'ann' / f'{i}.png'), truth)
    made = []
    for label in (0, 1):
        run = Run(f'sees {label}', 0, tmp_path / f'run_{label}', 'epoch', 1)
        text = CONFIG.format(root=str(tmp_path), pipeline=pipeline)
        run.config.write_text(text)
        cfg = Config.fromfile(run.config)
        init_default_scope(cfg.default_scope)
        model = build_model(cfg)
        torch.nn.init.zeros_(model.decode_head.conv_seg.weight)
        bias = torch.tensor([1.0 - label, float(label)])
        model.decode_head.conv_seg.bias.data.copy_(bias)
        run.folder.mkdir()
        weights = dict(state_dict=model.state_dict())
        torch.save(weights, run.folder / 'epoch_1.pth')
        made.append(run)
    return made


def test_columns_show_what_each_model_sees(runs, tmp_path):
    out = tmp_path / 'predictions.png'
    draw_predictions(runs, 5, out)
    picture = cv2.imread(str(out))[..., ::-1].astype(int)
    height, width = picture.shape[:2]
    middles = [int(width * (column + 0.5) / 4) for column in range(4)]
    row = picture[int(height * 0.3)]
    grey, _, blue, red = (row[middle] for middle in middles)
    assert np.abs(grey - 128).max() < 5
    left, right = row[middles[1] - 30], row[middles[1] + 30]
    for pixel, expected in (
        (left, (0, 0, 255)),
        (right, (255, 0, 0)),
        (blue, (0, 0, 255)),
        (red, (255, 0, 0)),
    ):
        assert np.abs(pixel - expected).max() < 30, (pixel, expected)


def test_boxes_and_masks_of_a_detector_are_drawn(tmp_path):
    pytest.importorskip('mmdet')
    run = Run('stock', 0, tmp_path / 'run', 'epoch', 1)
    run.config.write_text(f'_base_ = {str(write_mmdet(tmp_path))!r}')
    cfg = Config.fromfile(run.config)
    init_default_scope(cfg.default_scope)
    run.folder.mkdir()
    weights = dict(state_dict=build_model(cfg).state_dict())
    torch.save(weights, run.checkpoint)

    draw_predictions([run], 1, tmp_path / 'out.png')
    picture = cv2.imread(str(tmp_path / 'out.png')).astype(int)
    third = picture.shape[1] // 3
    bare, true = (
        picture[40:, third * column + 10 : third * (column + 1) - 10]
        for column in (0, 1)
    )
    drawn = (np.abs(true - bare).max(2) > 20).mean()
    assert 0.02 < drawn < 0.8


@pytest.mark.parametrize('before', [False, True])
def test_boxes_lie_on_their_objects(tmp_path, before):
    """A pipeline may load them before it resizes the image, or after."""
    pytest.importorskip('mmdet')
    run = Run('stock', 0, tmp_path / 'run', 'epoch', 1)
    run.config.write_text(f'_base_ = {str(write_mmdet(tmp_path))!r}')
    cfg = Config.fromfile(run.config)
    steps = cfg.val_dataloader.dataset.pipeline
    pack = steps[-1]
    resize = dict(type='Resize', scale=(48, 48), keep_ratio=True)
    load = dict(type='LoadAnnotations', with_bbox=True, with_mask=True)
    last = [load, resize] if before else [resize, load]
    cfg.val_dataloader.dataset.pipeline = [steps[0], *last, pack]
    data = build_data(cfg)
    painter = _Painter(cfg, data)
    item = data[0]
    truth = item['data_samples']
    picture = painter.canvas(item, truth)
    assert truth.gt_instances.masks.masks.shape[1:] == picture.shape[:2]
    assert painter.draw(item, truth).shape == picture.shape
    assert original(item).shape[:2] == truth.ori_shape


def test_what_was_resized_and_padded_is_shown_in_its_own_size():
    inputs = torch.full((3, 32, 48), 114, dtype=torch.uint8)
    inputs[:, :20, :30] = 7
    truth = BaseDataElement(
        metainfo=dict(ori_shape=(40, 60), scale_factor=(0.5, 0.5))
    )
    picture = original(dict(inputs=inputs, data_samples=truth))
    assert picture.shape == (40, 60, 3)
    assert (picture == 7).all()  # nothing of the padding
