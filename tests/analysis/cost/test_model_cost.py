"""Configs of the three toolboxes, counted; and the shapes of the reports."""

import csv
import json

import pytest
import torch
from mmengine.analysis import FlopAnalyzer
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.registry import init_default_scope

from mmfdconv.analysis.cost import model_cost
from mmfdconv.analysis.cost.fdconv_tables import base_table
from mmfdconv.analysis.cost.run import (
    default_shape,
    empty_samples,
    parse_shape,
    stock_config,
)
from mmfdconv.engine.models import build_model

RESNET = dict(
    type='ResNet', depth=18, conv_cfg=None, base_channels=16, stem_channels=16
)
DYNAMIC = dict(
    type='DynamicBackbone',
    backbone=RESNET,
    conv_cfg=dict(type='FDConv', kernel_num=4),
)
HEAD = dict(
    type='FCNHead',
    in_channels=128,
    in_index=3,
    channels=16,
    num_classes=5,
    norm_cfg=dict(type='SyncBN'),
)


def segmentor(**changes):
    pytest.importorskip('mmseg')
    init_default_scope('mmseg')
    model = dict(
        type='EncoderDecoder',
        backbone=DYNAMIC,
        decode_head=HEAD,
        auxiliary_head=dict(HEAD, in_channels=64, in_index=2),
        test_cfg=dict(mode='whole'),
    )
    model.update(changes)
    return Config(dict(default_scope='mmseg', crop_size=(64, 96), model=model))


def test_a_segmentor_and_its_stock_one():
    cfg = segmentor()
    cost, stock = model_cost.compare(cfg)
    assert cost.shape == stock.shape == (64, 96)
    assert cfg.model.backbone.type == 'DynamicBackbone'  # left as it was
    parts = {(r.component, r.part): r for r in cost.rows}
    plain = {(r.component, r.part): r for r in stock.rows}
    assert set(plain) == {(c, p) for c, p in parts if not p}
    model = build_model(cfg)
    assert cost.total.params == sum(p.numel() for p in model.parameters())
    sums = [r for r in cost.rows if r.component == 'backbone' and r.part]
    for i in (2, 3, 4):
        assert parts['backbone', ''][i] == sum(row[i] for row in sums)
    heads = 'decode_head', 'auxiliary_head'
    assert all(parts[h, ''] == plain[h, ''] for h in heads)
    assert parts['decode_head', ''].flops > 0
    assert parts['auxiliary_head', ''].flops == 0
    convolved = parts['backbone', 'stock layers'].flops
    convolved += parts['backbone', 'convolution'].flops
    assert convolved == plain['backbone', ''].flops
    text = model_cost.to_text(cost, stock)
    lines = text.splitlines()
    end = lines.index('')
    assert len({len(line) for line in lines[:end]}) == 1
    assert 'Parameters without FLOPs here: auxiliary_head.' in lines
    assert 'relu' in text and '- kernel FFT' in text


def test_files(tmp_path):
    cost, stock = model_cost.compare(segmentor(), (64, 64))
    model_cost.write(tmp_path / 'a.JSON', cost, stock, config='x.py')
    content = json.loads((tmp_path / 'a.JSON').read_text())
    assert content['config'] == 'x.py'
    total = sum(entry['flops'] for entry in content['model']['modules'])
    assert total == cost.total.flops == content['model']['rows'][-1]['flops']
    model_cost.write(tmp_path / 'a.csv', cost, stock, config='x.py')
    with (tmp_path / 'a.csv').open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(cost.rows) + len(stock.rows) + 2
    assert rows[-1]['component'] == 'total' and rows[-1]['config'] == 'x.py'
    assert int(rows[-1]['flops']) == stock.total.flops
    with pytest.raises(ValueError, match="'a.txt' must end with"):
        model_cost.write('a.txt', cost)


@pytest.mark.slow
@pytest.mark.parametrize(
    'name, shape',
    [
        ('mmdet::retinanet/retinanet_r18_fpn_1x_coco.py', (128, 160)),
        ('mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py', (128, 160)),
        ('mmseg::pspnet/pspnet_r18-d8_4xb2-80k_cityscapes-512x1024.py', None),
        ('mmpretrain::convnext/convnext-tiny_32xb128_in1k.py', None),
    ],
)
def test_stock_configs_agree_with_mmengine(name, shape):
    scope = name.partition('::')[0]
    pytest.importorskip(scope)
    init_default_scope(scope)
    cfg = get_config(name)
    if 'rpn_head' in cfg.model:
        # So few that any weights find as many.
        cfg.model.test_cfg.rpn.max_per_img = 5
    shape = shape or (64, 64)
    cost = model_cost.cost_of_config(cfg, shape)
    model = build_model(cfg)
    samples = empty_samples(scope, shape)
    forward = model.forward
    model.forward = lambda x: forward(x, samples, mode='tensor')
    analyzer = FlopAnalyzer(model, torch.zeros(1, 3, *shape))
    analyzer.unsupported_ops_warnings(False)
    analyzer.uncalled_modules_warnings(False)
    assert cost.total.flops == pytest.approx(analyzer.total(), rel=0.005)
    if 'rpn_head' in cfg.model:
        assert cost.regions == 5


@pytest.mark.slow
def test_stock_detectors_of_the_paper():
    pytest.importorskip('mmdet')
    faster, mask = base_table()
    assert faster.params == pytest.approx(41.753, abs=0.001)
    assert mask.params == pytest.approx(44.396, abs=0.001)
    for row in (faster, mask):
        assert row.madds == pytest.approx(row.paper_madds, rel=0.002)


def test_default_shapes():
    for scope, shape in (('mmdet', (800, 1280)), ('mmpretrain', (224, 224))):
        assert default_shape(Config(dict(default_scope=scope))) == shape
    cfg = Config(dict(default_scope='mmseg'))
    assert default_shape(cfg) == (512, 512)
    cfg.data_preprocessor = dict(size=(32, 48))
    assert default_shape(cfg) == (32, 48)


def test_stock_config_by_conv_cfg_and_in_lists():
    cfg = Config(
        dict(
            model=dict(
                a=[dict(backbone=DYNAMIC), dict(conv_cfg=dict(type='DCN'))],
                b=dict(conv_cfg=dict(type='ODConv')),
            )
        )
    )
    stock = stock_config(cfg)
    assert stock.model.a[0].backbone.to_dict() == RESNET
    assert stock.model.a[1].conv_cfg.type == 'DCN'
    assert stock.model.b.conv_cfg is None


# ------------------------------------------------------------------ errors


@pytest.mark.parametrize('sides', [[1, 2, 3], [0, 5], []])
def test_wrong_sides(sides):
    with pytest.raises(ValueError, match='shape: give height and width'):
        parse_shape(sides)


def test_sides():
    assert parse_shape(None) is None
    assert parse_shape([64]) == (64, 64)
    assert parse_shape([64, 96]) == (64, 96)


@pytest.mark.parametrize(
    'model, words',
    [
        (None, 'must have model=dict'),
        (dict(backbone=dict(type='NoSuchNet')), 'cannot be built.*NoSuchNet'),
        (
            dict(backbone=RESNET, decode_head=dict(HEAD, in_channels=7)),
            'EncoderDecoder does not run on an image of 64 x 96',
        ),
    ],
)
def test_wrong_configs(model, words):
    cfg = segmentor(**(model or {}))
    if model is None:
        cfg = Config(dict(default_scope='mmseg'))
    with pytest.raises(ValueError, match=words):
        model_cost.cost_of_config(cfg)


def test_too_small_and_nothing_dynamic():
    with pytest.raises(ValueError, match='at least 32 pixels, got 8 64'):
        model_cost.cost_of_config(segmentor(), (8, 64))
    with pytest.raises(ValueError, match='is the stock model already'):
        model_cost.compare(segmentor(backbone=RESNET))
