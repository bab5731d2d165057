"""The conversion report of a config."""

import pytest
from mmengine.config import Config

from mmfdconv.convert import conversion_reports

pytest.importorskip('mmdet')
import mmdet.models  # noqa: F401

pytestmark = pytest.mark.core

BACKBONE = dict(
    type='mmfdconv.DynamicBackbone',
    backbone=dict(type='mmdet.ResNet', depth=18, base_channels=8),
    conv_cfg=dict(type='FDConv', kernel_num=4),
)


def test_every_dynamic_backbone_is_found():
    model = dict(
        backbone=BACKBONE, others=[dict(type='Neck'), dict(encoder=BACKBONE)]
    )
    reports = conversion_reports(Config(dict(model=model)))
    assert list(reports) == ['model.backbone', 'model.others.1.encoder']
    for report in reports.values():
        assert len(report.converted) == 16
        assert len(report.skipped) == 4


def test_options_of_the_wrapper_are_heard():
    backbone = dict(BACKBONE, rule=dict(kernel_sizes=[1]))
    reports = conversion_reports(Config(dict(model=dict(backbone=backbone))))
    assert [r.name for r in reports['model.backbone'].converted] == [
        f'layer{i}.0.downsample.0' for i in (2, 3, 4)
    ]


def test_a_stock_config_is_told():
    cfg = Config(dict(model=dict(backbone=BACKBONE['backbone'])))
    with pytest.raises(ValueError, match='DynamicBackbone'):
        conversion_reports(cfg)
