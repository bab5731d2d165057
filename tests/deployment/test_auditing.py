"""mmfdconv audit, on a model of which one layer's gates decide."""

import csv
import math

import pytest
import torch
from torch import nn

pytest.importorskip('mmpretrain', reason='no classifier without mmpretrain')
pytest.importorskip('matplotlib')
import cv2
import numpy as np
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.registry import METRICS, MODELS, init_default_scope

from mmfdconv.commands import main
from mmfdconv.engine.models import build_model

pytestmark = pytest.mark.core

CONFIG = """
default_scope = 'mmpretrain'
model = dict(
    type='ImageClassifier',
    data_preprocessor=dict(num_classes=2, mean=[0.0] * 3, std=[255.0] * 3),
    backbone=dict(
        type='DynamicBackbone',
        backbone=dict(type='mmengine.ThreeConvolutions'),
        conv_cfg=dict(type='FADConv', num_experts=3, fusion='add', low_freq=1),
        rule=dict(otherwise=True)),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=2, in_channels=3,
              loss=dict(type='CrossEntropyLoss')))
loader = dict(
    batch_size=2, num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='CustomDataset', data_root='pictures',
        pipeline=[dict(type='LoadImageFromFile'), dict(type='PackInputs')]))
train_dataloader = val_dataloader = test_dataloader = loader
val_evaluator = test_evaluator = dict(type='Accuracy', topk=(1,))
"""


class ThreeConvolutions(nn.Module):
    def __init__(self):
        super().__init__()
        self.deciding = nn.Conv2d(3, 3, 1, bias=False)
        self.agreeing = nn.Conv2d(3, 3, 1, bias=False)
        self.still = nn.Conv2d(3, 3, 1, bias=False)

    def init_weights(self):
        """As built."""

    def forward(self, x):
        return (self.still(self.agreeing(self.deciding(x))),)


@pytest.fixture
def experiment(tmp_path, monkeypatch):
    """Black and white pictures; white ones take another expert.

    With the gates of both together, a white picture looks black.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(
        MODELS.module_dict, 'ThreeConvolutions', ThreeConvolutions
    )
    for name, value in (('black', 0), ('white', 255)):
        folder = tmp_path / 'pictures' / name
        folder.mkdir(parents=True)
        for i in range(2):
            pixels = np.full((32, 32, 3), value, np.uint8)
            cv2.imwrite(str(folder / f'{i}.png'), pixels)
    (tmp_path / 'config.py').write_text(CONFIG)
    cfg = Config.fromfile('config.py')
    init_default_scope(cfg.default_scope)
    model = build_model(cfg)
    unit = torch.eye(3).view(3, 3, 1, 1)
    with torch.no_grad():
        for name in ('deciding', 'agreeing', 'still'):
            layer = getattr(model.backbone, name)
            for linear in (layer.routing[0], layer.routing[2]):
                linear.weight.zero_()
                linear.bias.zero_()
            layer.experts.copy_(unit.expand(3, -1, -1, -1, -1))
            if name != 'still':  # expert 0 for black, 2 for white
                layer.routing[0].weight[0] = 1 / 3
                slope = torch.tensor([-60.0, 0.0, 60.0])
                layer.routing[2].weight[:, 0] = slope
                layer.routing[2].bias.copy_(torch.tensor([30.0, -99, -30]))
        model.backbone.deciding.experts[0] *= -3
        model.head.fc.weight.copy_(torch.tensor([[0.0] * 3, [1.0] * 3]))
        model.head.fc.bias.copy_(torch.tensor([0.1, 0.0]))
    torch.save(dict(state_dict=model.state_dict()), 'model.pth')
    return tmp_path


def test_each_layer_gets_the_advice_that_its_gates_deserve(experiment, capsys):
    main('audit', ['config.py', 'model.pth', '--out', 'audit.csv'], 'audit')
    said = capsys.readouterr().out
    assert 'accuracy/top1 100 with the 2 of 3 layers folded' in said
    assert '--layers backbone.agreeing backbone.still' in said
    assert 'every image alike, to the last bit: 1.' in said
    with open('audit.csv', newline='') as file:
        rows = {row['name']: row for row in csv.DictReader(file)}
    found = {
        name.partition('.')[2]: (row['advice'], float(row['lost']))
        for name, row in rows.items()
    }
    assert found == dict(
        deciding=('keep', 50.0),
        agreeing=('freeze', 0.0),
        still=('leave static', 0.0),
    )
    assert float(rows['backbone.still']['moves']) == 0
    assert float(rows['backbone.agreeing']['moves']) > 0.5
    assert all(int(row['params']) > 0 for row in rows.values())
    assert all(int(row['flops']) > 0 for row in rows.values())


class PrecisionOfWhite(BaseMetric):
    """NaN where nothing is called white, beside the share that is."""

    def process(self, data_batch, data_samples):
        for sample in data_samples:
            if sample['pred_label'].item() == 1:
                self.results.append(sample['gt_label'].item() == 1)

    def compute_metrics(self, results):
        return dict(white=np.mean(results) if results else math.nan, known=1.0)


def test_a_score_that_is_nan_is_no_score(experiment, capsys, monkeypatch):
    name = PrecisionOfWhite.__name__
    monkeypatch.setitem(METRICS.module_dict, name, PrecisionOfWhite)
    metric = f"dict(type='mmengine.{name}')"
    (experiment / 'config.py').write_text(
        CONFIG.replace("dict(type='Accuracy', topk=(1,))", metric)
    )
    run = ['config.py', 'model.pth', '--metric', 'white']
    main('audit', [*run, '--out', 'audit.csv'], 'audit')
    with open('audit.csv', newline='') as file:
        rows = {row['name']: row for row in csv.DictReader(file)}
    deciding = rows['backbone.deciding']
    assert (deciding['lost'], deciding['advice']) == ('nan', 'keep')
    saved = torch.load('model.pth')
    saved['state_dict']['head.fc.bias'][0] = 9.0  # all is called black
    torch.save(saved, 'model.pth')
    with pytest.raises(SystemExit, match="'white' is NaN .* one of known$"):
        main('audit', run, 'audit')


def test_wrong_options_are_told(experiment):
    for options, words in (
        (('--images', '1'), 'images: must be at least 2, got 1'),
        (('--tolerance', '2'), r'tolerance: must be in \[0, 1\), got 2'),
        (
            ('--metric', 'mIoU'),
            "metric: the validation has no 'mIoU'; use one of accuracy/top1",
        ),
        (('--out', 'a.txt'), "out: 'a.txt' must end with .csv"),
    ):
        with pytest.raises(SystemExit, match=words):
            main('audit', ['config.py', 'model.pth', *options], 'audit')
