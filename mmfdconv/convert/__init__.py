"""Conversion of models: rules, the swap, the registered backbone wrapper."""

from .backbone import DynamicBackbone, build_dynamic, keep_routers_alive_
from .presets import PRESETS, preset_for, resolve_rule
from .rules import LayerRule
from .swap import ConversionReport, ReportRow, convert_dynamic_

__all__ = [
    'PRESETS',
    'ConversionReport',
    'DynamicBackbone',
    'LayerRule',
    'ReportRow',
    'build_dynamic',
    'convert_dynamic_',
    'keep_routers_alive_',
    'preset_for',
    'resolve_rule',
]
