"""What a config's dynamic backbones convert, without training or data."""

import csv
from pathlib import Path
from typing import Dict, Mapping, Union

from mmengine.config import Config

from ..convert import ConversionReport, ReportRow, build_dynamic
from ..convert.nodes import dynamic_backbones

__all__ = ['conversion_reports', 'write_csv']


def conversion_reports(cfg: Config) -> Dict[str, ConversionReport]:
    """Build every ``DynamicBackbone`` of a config and report.

    Args:
        cfg: An experiment; its default scope must be set.

    Returns:
        A report by the backbone's place in the config, ``'model.backbone'``.

    Raises:
        ValueError: The config has no such backbone.
    """
    found = dict(dynamic_backbones(cfg.get('model')))
    if not found:
        raise ValueError(
            'config: its model has no backbone=dict(type='
            "'DynamicBackbone', backbone=..., conv_cfg=...), so there is "
            'nothing to convert'
        )
    return {
        place: build_dynamic(**{k: v for k, v in node.items() if k != 'type'})[
            1
        ]
        for place, node in found.items()
    }


def write_csv(
    reports: Mapping[str, ConversionReport], path: Union[str, Path]
) -> None:
    """Write all rows to a CSV file, the backbone's place first."""
    with Path(path).open('w', newline='', encoding='utf-8') as file:
        writer = csv.writer(file)
        writer.writerow(('backbone', *ReportRow._fields))
        for place, report in reports.items():
            for row in report.rows:
                writer.writerow((place, *row))
