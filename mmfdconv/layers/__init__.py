"""Dynamic convolutions as ``nn.Module``. They need only torch."""

from .base import DynamicConv2d
from .condconv import CondConv
from .dcd import DCDConv
from .dyconv import DYConv
from .fadconv import FADConv
from .fdconv import FDConv
from .fixed_gates import fixed_gates, record_descriptors
from .kernel_warehouse import KWConv
from .linear import (
    CondLinear,
    DCDLinear,
    DYLinear,
    FADLinear,
    FDLinear,
    KWLinear,
    ODLinear,
    OnTokens,
    ParameterNetLinear,
    linear_class,
)
from .odconv import ODConv
from .parameternet import ParameterNetConv
from .recording import gate_entropy, has_gates, record_bands, record_gates
from .warehouse import Warehouse

__all__ = [
    'CondConv',
    'CondLinear',
    'DCDConv',
    'DCDLinear',
    'DYConv',
    'DYLinear',
    'DynamicConv2d',
    'FADConv',
    'FADLinear',
    'FDConv',
    'FDLinear',
    'KWConv',
    'KWLinear',
    'ODConv',
    'ODLinear',
    'OnTokens',
    'ParameterNetConv',
    'ParameterNetLinear',
    'Warehouse',
    'fixed_gates',
    'gate_entropy',
    'has_gates',
    'linear_class',
    'record_bands',
    'record_descriptors',
    'record_gates',
]
