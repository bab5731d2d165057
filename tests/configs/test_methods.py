"""One file per method: its conv_cfg, nothing else, and it converts."""

from pathlib import Path

import pytest
import torch

pytest.importorskip('torchvision')
pytest.importorskip('mmengine')

import torchvision
from mmengine.config import Config
from mmengine.registry import HOOKS

from mmfdconv import convert
from mmfdconv.convert import convert_dynamic_
from mmfdconv.hooks import TemperatureHook

FOLDER = Path(__file__).resolve().parents[2] / 'configs/_base_/dynamic'
TEMPERATURES = ('dynamic_temperature', 'pretraining_temperature')
METHODS = sorted(path.stem for path in FOLDER.glob('*.py'))


def test_every_method_has_a_file():
    assert METHODS == sorted(set(convert.METHODS) - {'stock'})


@pytest.mark.core
@pytest.mark.parametrize('method', METHODS)
def test_method(method):
    cfg = Config.fromfile(FOLDER / f'{method}.py')
    hooks = [cfg.pop(name, None) for name in TEMPERATURES]
    assert list(cfg) == ['dynamic_conv_cfg']
    for hook in filter(None, hooks):
        assert isinstance(HOOKS.build(hook), TemperatureHook)
    # What has a temperature has a schedule; KernelWarehouse always.
    assert any(hooks) == ('temperature' in cfg.dynamic_conv_cfg)
    assert bool(hooks[0]) == (cfg.dynamic_conv_cfg.type == 'KWConv')
    with torch.device('meta'):
        model = torchvision.models.resnet18(weights=None)
    report = convert_dynamic_(model, cfg.dynamic_conv_cfg)
    assert report.converted
    assert {r.after for r in report.converted} == {cfg.dynamic_conv_cfg.type}
