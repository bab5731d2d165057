"""Make the layers of a model or a config dynamic, and choose which ones."""

from .backbone import DynamicBackbone, build_dynamic, conversion_reports
from .conversion_report import ConversionReport, ReportRow
from .fuse import fuse_conv_bn
from .input_bands import adapt_kernel, adapt_state_dict, load_from_bands
from .learning_rates import DynamicOptimConstructor, names_by_layer
from .live_routers import keep_routers_alive_
from .presets import PRESETS, preset_for, resolve_rule
from .rules import LayerRule
from .short_config import short_config
from .swap import convert_dynamic_
from .word import check_rule, make_stock_, with_dynamic_convolutions
from .words import METHODS, config_path, nearest, read_method

__all__ = [
    'METHODS',
    'PRESETS',
    'ConversionReport',
    'DynamicBackbone',
    'DynamicOptimConstructor',
    'LayerRule',
    'ReportRow',
    'adapt_kernel',
    'adapt_state_dict',
    'build_dynamic',
    'check_rule',
    'config_path',
    'conversion_reports',
    'convert_dynamic_',
    'fuse_conv_bn',
    'keep_routers_alive_',
    'load_from_bands',
    'make_stock_',
    'names_by_layer',
    'nearest',
    'preset_for',
    'read_method',
    'resolve_rule',
    'short_config',
    'with_dynamic_convolutions',
]
