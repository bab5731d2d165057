"""mmfdconv export-onnx, from a config and a checkpoint to a file."""

import numpy as np
import pytest
import torch
from mmengine.config import Config
from torch import nn

pytest.importorskip('onnx', reason='nothing is exported without onnx')
pytest.importorskip('onnxruntime', reason='nothing runs what was exported')
import onnx

from mmfdconv.commands import main
from mmfdconv.commands.export_onnx import check
from mmfdconv.deployment import runtimes
from mmfdconv.deployment.exporting import export_onnx
from mmfdconv.deployment.inputs import noise, normalisation, read_pictures

pytestmark = pytest.mark.slow


def export(*options):
    main(
        'export_onnx',
        [
            'config.py',
            'model.pth',
            '--out',
            'm.onnx',
            '--shape',
            '32',
            *options,
        ],
        'export-onnx',
    )


def test_a_classifier_is_compared_and_written(experiment, capsys):
    table = experiment / 'table.md'
    export('--image', 'pictures/0.png', '--table', 'table.md')
    capsys.readouterr()
    export('--image', 'pictures', '--table', 'table.md')
    said = capsys.readouterr().out
    assert ' threads, 2 images' in said
    head, _, *rows = table.read_text().splitlines()
    cells = [[cell.strip() for cell in row.split('|')[1:-1]] for row in rows]
    assert [c[:3] for c in cells] == [
        ['config', 'FADConv', f'{n} of 32x32'] for n in (1, 2)
    ]
    assert {c[-1] for c in cells} == {'100.0000'} and 'OpenVINO, ms' in head
    assert '| onnxruntime |' in said and said.endswith('MB, logits\n')
    model = onnx.load('m.onnx')
    assert {entry.version for entry in model.opset_import} == {17}
    about = {entry.key: entry.value for entry in model.metadata_props}
    assert about['mean'] == '120 120 120' and about['std'] == '60 60 60'


def test_a_difference_leaves_no_file(experiment, monkeypatch):
    def wrong(proto):
        run = right(proto)
        return lambda x: [value * 1.01 for value in run(x)]

    right = runtimes._onnxruntime
    monkeypatch.setattr(runtimes, '_onnxruntime', wrong)
    with pytest.raises(SystemExit, match='onnxruntime differs from PyTorch'):
        export()
    assert not list(experiment.glob('m.onnx*'))


def test_wrong_options_are_told(experiment):
    for options, words in (
        (('--out', 'm.pth'), "out: 'm.pth' must end with .onnx"),
        (('--image', 'no.png'), "image: 'no.png' cannot be read"),
        (('--table', 'm.csv'), "table: 'm.csv' must end with .md"),
        (('--classes',), 'ImageClassifier is no segmentor'),
    ):
        with pytest.raises(SystemExit, match=words):
            export(*options)


def test_noise_has_the_bands_of_the_model():
    darknet = pytest.importorskip('mmdet.models', reason='no Focus without')
    model = darknet.CSPDarknet(widen_factor=0.125)
    assert noise(model, (64, 32)).shape == (1, 3, 64, 32)
    assert noise(nn.Conv2d(7, 2, 1), (4, 4)).shape == (1, 7, 4, 4)


def test_images_are_read_as_a_pipeline_that_normalises_reads_them(tmp_path):
    rasterio = pytest.importorskip('rasterio', reason='no bands without')
    mmseg = pytest.importorskip('mmseg.models', reason='no segmentor without')
    path = tmp_path / 'a.tif'
    size = dict(count=4, height=6, width=6, dtype='uint16')
    with rasterio.open(path, 'w', driver='GTiff', **size) as file:
        file.write(np.full((4, 6, 6), 1400, np.uint16))
    model = nn.Module()
    model.data_preprocessor = mmseg.SegDataPreProcessor()
    normalise = dict(mean=[1000] * 4, std=[200] * 4)
    pipeline = [
        dict(type='LoadGeoTIFF'),
        dict(type='NormalizeBands', **normalise),
        dict(type='PackSegInputs'),
    ]
    data = dict(dataset=dict(pipeline=pipeline))
    cfg = Config(dict(default_scope='mmseg', test_dataloader=data))
    (image,) = read_pictures(model, cfg, str(path), (4, 2), 'image')
    assert image.equal(torch.full((1, 4, 4, 2), 2.0))
    assert normalisation(model, cfg)['std'] == '200 200 200 200'


def test_other_classes_are_counted(monkeypatch):
    """Where logits nearly tie, a small difference is another class."""
    model = nn.Conv2d(3, 2, 1)
    nn.init.zeros_(model.weight)
    nn.init.ones_(model.bias)
    image = torch.ones(1, 3, 4, 4)
    proto = export_onnx(model, image, ['logits'], torchscript=True)

    def wrong(proto):
        def run(x):
            logits = model(torch.from_numpy(x)).detach().numpy()
            logits[:, 1, 0] += 1e-4
            return [logits]

        return run

    monkeypatch.setattr(runtimes, '_onnxruntime', wrong)
    own, found, *_ = runtimes.compare_runtimes(model, proto, [image] * 2, 1)
    assert own.equal == 1 and found.equal == 0.75
    with pytest.raises(ValueError, match='75.0000 % equal classes'):
        check([own, found])
    with pytest.raises(ValueError, match='two runs of the model differ'):
        check([own._replace(difference=0.3), found])


@pytest.mark.parametrize('options', [{}, dict(torchscript=True)])
def test_uneven_pooling(options):
    model = nn.Sequential(nn.AdaptiveAvgPool2d(3), nn.Flatten())
    images = [torch.randn(1, 2, 7, 4), torch.randn(1, 2, 14, 10)]
    proto = export_onnx(model, images[0], ['out'], 'size', **options)
    _, found, *_ = runtimes.compare_runtimes(model, proto, images, 1)
    assert found.difference < 1e-6


def test_nan_is_no_equality():
    model = nn.ReLU()
    image = torch.ones(1, 1, 2, 2)
    proto = export_onnx(model, image, ['out'], torchscript=True)
    images = [image, image * torch.nan]
    found = runtimes.compare_runtimes(model, proto, images, 1)
    with pytest.raises(ValueError, match='not finite, so nothing can be'):
        check(found)
