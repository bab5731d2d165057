"""Conversion of models: rules, the swap, the registered backbone wrapper."""

from .backbone import DynamicBackbone, build_dynamic, keep_routers_alive_
from .bands import adapt_kernel, adapt_state_dict, load_from_bands
from .presets import PRESETS, preset_for, resolve_rule
from .rules import LayerRule
from .swap import ConversionReport, ReportRow, convert_dynamic_

__all__ = [
    'PRESETS',
    'ConversionReport',
    'DynamicBackbone',
    'LayerRule',
    'ReportRow',
    'adapt_kernel',
    'adapt_state_dict',
    'build_dynamic',
    'convert_dynamic_',
    'keep_routers_alive_',
    'load_from_bands',
    'preset_for',
    'resolve_rule',
]
