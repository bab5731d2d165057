"""tools/analysis/figures.py: every figure, and every kind of wrong input."""

import runpy
import sys

import pytest
import torch

pytest.importorskip('mmdet')
pytest.importorskip('matplotlib')

import cv2
from mmengine.config import Config

from mmfdconv.analysis.figures.subject import Subject

from .conftest import ROOT
from .experiments import write_mmdet, write_mmpretrain, write_mmseg

pytestmark = [
    pytest.mark.core,
    pytest.mark.slow,
    pytest.mark.filterwarnings('ignore'),
]


@pytest.fixture
def figures(monkeypatch, tmp_path, capsys):
    """Run the tool in this process: what it prints, or what it exits with."""
    path = str(ROOT / 'tools/analysis/figures.py')
    monkeypatch.chdir(tmp_path)

    def figures(*args):
        monkeypatch.setattr(sys, 'argv', ['figures.py', *map(str, args)])
        capsys.readouterr()
        try:
            runpy.run_path(path, run_name='__main__')
        except SystemExit as stopped:
            return str(stopped.code)
        return capsys.readouterr().out

    return figures


@pytest.fixture(scope='module')
def experiments(tmp_path_factory):
    """A config of each toolbox, and an image."""
    folder = tmp_path_factory.mktemp('data')
    found = {}
    for write in (write_mmdet, write_mmseg, write_mmpretrain):
        name = write.__name__.partition('_')[2]
        (folder / name).mkdir()
        found[name] = write(folder / name)
    images = sorted((folder / 'mmdet').rglob('val/*.[jp]*g'))
    return {**found, 'images': images}


def cells(line):
    return line.replace('|', ' ').split()


def is_drawn(path):
    pixels = cv2.imread(str(path))
    return pixels is not None and len(pixels) > 100


def fadconv(path, folder):
    """The same experiment with another method."""
    config = folder / 'fadconv.py'
    config.write_text(
        f'_base_ = [{str(path)!r}]\n'
        'model = dict(backbone=dict('
        "conv_cfg=dict(_delete_=True, type='FADConv')))\n"
    )
    return config


@pytest.mark.parametrize('toolbox', ['mmdet', 'mmseg', 'mmpretrain'])
def test_gates_of_a_data_set(figures, experiments, toolbox):
    split = 'train' if toolbox == 'mmpretrain' else 'val'
    out = figures(
        *('gates', experiments[toolbox], '--out', 'gates.png'),
        *('--number', 2, '--split', split),
    )
    assert 'wrote gates.png' in out
    assert is_drawn('gates.png')
    row = cells(next(z for z in out.splitlines() if 'layer1.0.conv1' in z))
    assert row[1] == '4'
    assert float(row[2]) == pytest.approx(1, abs=1e-3)  # neutral at the start


def test_kernels(figures, experiments):
    out = figures(
        'responses', experiments['mmdet'], '--out', 'a.png', '--number', 3
    )
    assert 'backbone.layer1.0.conv1: 4 groups' in out
    assert is_drawn('a.png')
    out = figures(
        *('similarity', experiments['mmdet'], '--out', 'b.png', '--all'),
        *('--layer', 'layer2.0.conv1'),
    )
    assert is_drawn('b.png')
    rows = [cells(z) for z in out.splitlines() if 'backbone.' in z]
    assert len(rows) == 16
    assert rows[0][0] == 'backbone.layer2.0.conv1'
    assert all(abs(float(row[1])) < 0.01 for row in rows)


def test_experts_begin_nearly_alike(figures, experiments, tmp_path):
    config = fadconv(experiments['mmseg'], tmp_path)
    out = figures('similarity', config, '--out', 'a.png')
    row = cells(next(z for z in out.splitlines() if 'backbone.' in z))
    assert all(0.98 < float(z) < 1 for z in row[1:]), row
    assert 'experts' in figures('responses', config, '--out', 'b.png')
    assert is_drawn('b.png')


def test_features_of_an_image(figures, experiments, tmp_path):
    image = experiments['images'][0]
    config = experiments['mmdet']
    # A checkpoint: the maps are no longer neutral.
    model = Subject.load(Config.fromfile(config)).model
    with torch.no_grad():
        for conv in model.backbone.layer1[0].conv1.FBM.freq_weight_conv_list:
            conv.bias.fill_(1.0)
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'a.pth')
    out = figures(
        *('bands', config, 'a.pth', '--image', image, '--out', 'a.png')
    )
    assert out.count('cycles/pixel') == 4
    assert out.count('map 1.462 to 1.462') == 3
    assert is_drawn('a.png')
    config = fadconv(experiments['mmseg'], tmp_path)
    out = figures('attention', config, '--image', image, '--out', 'd.png')
    assert 'FAT keeps' in out
    assert is_drawn('d.png')


def test_wrong_input_is_told_in_one_line(figures, experiments, tmp_path):
    config, image = experiments['mmdet'], experiments['images'][0]
    (tmp_path / 'text.png').write_text('no image')
    torch.save(dict(state_dict=dict(a=torch.zeros(1))), tmp_path / 'b.pth')
    static = tmp_path / 'static.py'
    static.write_text(
        "_base_ = ['mmdet::retinanet/retinanet_r18_fpn_1x_coco.py']\n"
    )
    out = ('--out', 'a.png')
    fad = fadconv(config, tmp_path)
    for args, words in (
        (('bands', config, *out, '--image', 'none.png'), 'is not a file'),
        (('bands', config, *out, '--image', 'text.png'), 'cannot be read'),
        (
            ('responses', config, *out, '--layer', 'layer1.0.conv3'),
            'nearest names are backbone.layer1.0.conv',
        ),
        (('responses', 'none.py', *out), "config: 'none.py' is not a file"),
        (('responses', config, 'none.pth', *out), "checkpoint: 'none.pth'"),
        (('responses', config, 'b.pth', *out), 'does not fit the model'),
        (('responses', static, *out), 'no dynamic layer; give its backbone'),
        (('gates', static, *out), 'no dynamic layer; give its backbone'),
        (
            ('bands', fad, *out, '--image', image),
            'FADConv has no Frequency Band Modulation',
        ),
        (
            (
                'bands',
                fad,
                *out,
                '--image',
                image,
                '--layer',
                'layer1.0.conv1',
            ),
            'does not fit this figure: FADConv has no Frequency Band',
        ),
        (
            ('attention', config, *out, '--image', image),
            'without frequency attention',
        ),
        (('responses', config, '--out', 'a.doc'), "out: 'a.doc' must end"),
        (('gates', config, *out, '--number', 0), '--number: must be at'),
        (
            (
                *('gates', config, *out, '--cfg-options'),
                'val_dataloader.dataset.data_root=nowhere',
            ),
            'split: the val data of the config cannot be read',
        ),
    ):
        told = figures(*args)
        assert told.startswith('figures.py: error: '), (args, told)
        assert words in told
        assert '\n' not in told
    assert not (tmp_path / 'a.png').exists()
