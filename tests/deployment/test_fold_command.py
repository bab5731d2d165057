"""mmfdconv fold-static, and what the stock toolbox makes of its files."""

import subprocess
import sys

import pytest
import torch

pytest.importorskip('mmpretrain', reason='no classifier without mmpretrain')
from mmengine.config import Config

from mmfdconv.commands import main
from mmfdconv.engine.models import build_model

pytestmark = pytest.mark.slow

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
