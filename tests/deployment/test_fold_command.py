"""mmfdconv fold-static, and what the stock toolbox makes of its files."""

import subprocess
import sys

import pytest
import torch

pytest.importorskip('cv2', reason='no pictures without OpenCV')
pytest.importorskip('mmpretrain', reason='no classifier without mmpretrain')
import cv2
import numpy as np
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmfdconv.commands import main
from mmfdconv.engine.models import build_model

pytestmark = pytest.mark.slow

CONFIG = """
custom_imports = dict(imports=['mmfdconv'], allow_failed_imports=False)
default_scope = 'mmpretrain'
model = dict(
    type='ImageClassifier',
    data_preprocessor=dict(num_classes=5, mean=[120.0] * 3, std=[60.0] * 3),
    backbone=dict(
        type='DynamicBackbone',
        backbone=dict(type='ResNet', depth=18, base_channels=8,
                      stem_channels=8, out_indices=(3,)),
        conv_cfg=dict(type='FADConv', pool_size=4)),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=5, in_channels=64,
              loss=dict(type='CrossEntropyLoss')))
"""

STOCK = """
import sys
sys.modules['mmfdconv'] = None
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
cfg = Config.fromfile('folded.py')
init_default_scope(cfg.default_scope)
model = MODELS.build(cfg.model).eval()
model.load_state_dict(torch.load('folded.pth')['state_dict'])
torch.save(model(torch.ones(1, 3, 32, 32), mode='tensor'), 'out.pt')
"""


@pytest.fixture
def experiment(tmp_path, monkeypatch):
    """A config, a checkpoint and pictures, in the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'config.py').write_text(CONFIG)
    cfg = Config.fromfile('config.py')
    init_default_scope(cfg.default_scope)
    model = build_model(cfg)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if '.routing.' in name:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    torch.save(dict(state_dict=model.state_dict()), 'model.pth')
    pictures = tmp_path / 'pictures'
    pictures.mkdir()
    random = np.random.default_rng(0)
    for i in range(2):
        pixels = random.integers(0, 256, (40, 48, 3), np.uint8)
        cv2.imwrite(str(pictures / f'{i}.png'), pixels)
    return tmp_path


def fold(*options):
    main(
        'fold_static',
        ['config.py', 'model.pth', '--calibrate', 'pictures', '--out']
        + ['folded.pth', '--shape', '32', *options],
        'fold-static',
    )


def load(config):
    cfg = Config.fromfile(config)
    model = build_model(cfg)
    weights = torch.load('folded.pth')['state_dict']
    model.load_state_dict(weights)
    return model


def test_the_stock_toolbox_runs_what_was_folded(experiment, capsys):
    fold()
    said = capsys.readouterr().out
    assert said.count('folded |') == 16
    assert 'logits' in said
    subprocess.run([sys.executable, '-c', STOCK], check=True)
    image = torch.ones(1, 3, 32, 32)
    with torch.no_grad():
        expected = load('folded.py')(image, mode='tensor')
    assert torch.allclose(torch.load('out.pt'), expected, atol=1e-5)


def test_some_layers_stay_dynamic(experiment, capsys):
    fold('--layers', 'backbone.layer1.0.conv1', 'backbone.layer2.0.conv2')
    assert capsys.readouterr().out.count('not among layers') == 14
    model = load('folded.py')
    assert type(model.backbone.layer1[0].conv1) is torch.nn.Conv2d
    assert type(model.backbone.layer1[0].conv2).__name__ == 'FADConv'


def test_wrong_options_are_told(experiment):
    (experiment / 'empty').mkdir()
    for options, words in (
        (('--calibrate', 'empty'), "calibrate: 'empty' has no pictures"),
        (('--out', 'a.onnx'), "out: 'a.onnx' must end with .pth"),
        (('--layers', 'neck'), r"layers: \['neck'\] are no dynamic layers"),
    ):
        with pytest.raises(SystemExit, match=words):
            fold(*options)
    assert not (experiment / 'folded.pth').exists()
