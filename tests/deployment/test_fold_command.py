"""mmfdconv fold-static, and what the stock toolbox makes of its files."""

import subprocess
import sys

import numpy as np
import pytest
import torch

pytest.importorskip('mmpretrain', reason='no classifier without mmpretrain')
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.registry import METRICS

from mmfdconv.commands import fold_static, main
from mmfdconv.deployment.inputs import read_pictures
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


VALIDATION = """
val_evaluator = dict(type='FirstScore')
val_dataloader = dict(
    batch_size=2,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='CustomDataset', ann_file='labels.txt', data_prefix='pictures',
        classes=['a', 'b', 'c', 'd', 'e'],
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='Resize', scale=(32, 32), interpolation='area'),
            dict(type='PackInputs')]))
"""


def fold(*options):
    main(
        'fold_static',
        ['config.py', 'model.pth', '--calibrate', 'pictures', '--out']
        + ['folded.pth', '--shape', '32', *options],
        'fold-static',
    )


def load(config, weights='folded.pth'):
    cfg = Config.fromfile(config)
    model = build_model(cfg)
    if weights is not None:
        model.load_state_dict(torch.load(weights)['state_dict'])
    return model


def rows(capsys, start):
    """Cells of the printed rows whose first cell starts so."""
    lines = capsys.readouterr().out.splitlines()
    cells = [[c.strip() for c in line.split('|')[1:-1]] for line in lines]
    return [row for row in cells if row and row[0].startswith(start)]


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


def test_nothing_is_written_where_nothing_was_folded(experiment, capsys):
    with pytest.raises(SystemExit, match='no layer was folded'):
        fold('--below', '0')
    assert capsys.readouterr().out.count('its error is not below 0') == 16
    assert not (experiment / 'folded.pth').exists()


def test_inputs_and_folders_are_not_replaced(experiment):
    (experiment / 'a.pth').mkdir()
    (experiment / 'b.py').mkdir()
    for out, words in (
        ('config.pth', "out: 'config.py' would replace what is read"),
        ('model.pth', "out: 'model.pth' would replace what is read"),
        ('a.pth', "out: 'a.pth' is a folder"),
        ('b.pth', "out: 'b.py' is a folder"),
    ):
        with pytest.raises(SystemExit, match=words):
            fold('--out', out)
    assert not (experiment / 'b.pth').exists()


def test_layers_that_stay_dynamic_keep_options_of_their_own(experiment):
    """Such as the size of FAT's map, of which no parameter tells."""
    with open('config.py', 'a') as config:
        config.write(
            "model['backbone']['rule'] = dict(patterns={"
            "r'layer4.*conv2': dict(pool_size=8), r'layer4.*conv1': True},"
            'otherwise=False)\n'
        )
    torch.save(load('config.py', weights=None).state_dict(), 'model.pth')
    fold('--layers', 'backbone.layer4.0.conv1')
    sizes = {
        name: layer.descriptor.pool_size
        for name, layer in load('folded.py').backbone.named_modules()
        if hasattr(layer, 'descriptor')
    }
    assert sizes == {
        'layer4.0.conv2': 8,
        'layer4.1.conv1': 4,
        'layer4.1.conv2': 8,
    }


@pytest.mark.parametrize(
    ('part', 'needed'),
    [
        (dict(type='LinearHead'), False),
        (dict(type='UNetHead'), True),
        (dict(init_cfg=dict(checkpoint='bands:red:a.pth')), True),
    ],
)
def test_the_folded_config_imports_what_it_names(part, needed, tmp_path):
    cfg = Config(
        dict(model=dict(head=part), custom_imports=dict(imports='mmfdconv'))
    )
    fold_static.write(torch.nn.Identity(), cfg, str(tmp_path / 'folded.pth'))
    written = Config.fromfile(tmp_path / 'folded.py')
    assert ('custom_imports' in written) == needed


class FirstScore(BaseMetric):
    """The first image's score of the first class, in millionths."""

    def process(self, data_batch, data_samples):
        self.results += [1e6 * s['pred_score'][0].item() for s in data_samples]

    def compute_metrics(self, results):
        # mmseg's are of this type.
        return dict(first=np.float32(results[0]), classes=['a'])


def test_scores_of_both_models(experiment, capsys, monkeypatch):
    monkeypatch.setitem(METRICS._module_dict, 'FirstScore', FirstScore)
    (experiment / 'labels.txt').write_text('0.png 0\n1.png 1\n')
    dynamic = Config.fromfile('config.py')
    with open('config.py', 'a') as config:
        config.write(VALIDATION)
    fold('--score')
    ((name, *scores),) = rows(capsys, 'first')
    assert name == 'first'
    model = build_model(dynamic)
    images = read_pictures(model, dynamic, 'pictures', (32, 32), '')
    for score, config, weights in zip(
        scores, ('config.py', 'folded.py'), ('model.pth', 'folded.pth')
    ):
        model = load(config, weights)
        with torch.no_grad():
            logits = model(images[0], mode='tensor')
        expected = 1e6 * logits.softmax(1)[0, 0].item()
        assert float(score) == pytest.approx(expected, abs=0.5)
    assert abs(float(scores[0]) - float(scores[1])) > 2


def test_wrong_options_are_told(experiment):
    (experiment / 'empty').mkdir()
    for options, words in (
        (('--score',), 'config: must have val_dataloader'),
        (('--calibrate', 'empty'), "calibrate: 'empty' has no pictures"),
        (('--out', 'a.onnx'), "out: 'a.onnx' must end with .pth"),
        (('--layers', 'neck'), r"layers: \['neck'\] are no dynamic layers"),
    ):
        with pytest.raises(SystemExit, match=words):
            fold(*options)
    assert not (experiment / 'folded.pth').exists()
