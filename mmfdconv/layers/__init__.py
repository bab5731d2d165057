"""Dynamic convolutions as ``nn.Module``: torch only, no OpenMMLab needed."""

from .base import DynamicConv2d
from .condconv import CondConv
from .dcd import DCDConv
from .dyconv import DYConv
from .fadconv import FADConv
from .fdconv import FDConv
from .kernel_warehouse import KWConv
from .odconv import ODConv
from .warehouse import Warehouse

__all__ = [
    'CondConv',
    'DCDConv',
    'DYConv',
    'DynamicConv2d',
    'FADConv',
    'FDConv',
    'KWConv',
    'ODConv',
    'Warehouse',
]
