"""One file per method: its conv_cfg, nothing else, and it converts."""

from pathlib import Path

import pytest
import torch

pytest.importorskip('torchvision')
pytest.importorskip('mmengine')

import torchvision
from mmengine.config import Config

from mmfdconv.convert import convert_dynamic_

FOLDER = Path(__file__).resolve().parents[2] / 'configs/_base_/dynamic'
METHODS = sorted(path.stem for path in FOLDER.glob('*.py'))


def test_every_method_is_there():
    assert METHODS == [
        'condconv',
        'dcd',
        'dyconv',
        'fadconv',
        'fdconv',
        'fkw1x',
        'fodconv',
        'kw1x',
        'kw4x',
        'odconv',
    ]


@pytest.mark.core
@pytest.mark.parametrize('method', METHODS)
def test_method(method):
    cfg = Config.fromfile(FOLDER / f'{method}.py')
    assert list(cfg) == ['dynamic_conv_cfg']
    with torch.device('meta'):
        model = torchvision.models.resnet18(weights=None)
    report = convert_dynamic_(model, cfg.dynamic_conv_cfg)
    assert report.converted
    assert {r.after for r in report.converted} == {cfg.dynamic_conv_cfg.type}
