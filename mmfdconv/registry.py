"""The one file that makes the layers known to OpenMMLab.

They go to MMEngine's root registry, where mmdet, mmsegmentation and
mmpretrain all look, whatever the current scope.
"""

from importlib import metadata
from importlib.util import find_spec

from mmengine.config import utils as config_utils
from mmengine.registry import MODELS

from .layers import (
    CondConv,
    DCDConv,
    DYConv,
    FADConv,
    FDConv,
    KWConv,
    ODConv,
    ParameterNetConv,
    linear_class,
)

__all__ = ['LAYERS', 'MODELS']

#: Every dynamic layer by the name that a ``conv_cfg`` gives as its ``type``.
LAYERS = {
    'CondConv': CondConv,
    'DCDConv': DCDConv,
    'DYConv': DYConv,
    'FADConv': FADConv,
    'FDConv': FDConv,
    'KWConv': KWConv,
    'ODConv': ODConv,
    'ParameterNetConv': ParameterNetConv,
}

for _name, _layer in LAYERS.items():
    MODELS.register_module(_name, module=_layer)
    MODELS.register_module(module=linear_class(_layer))

# MMEngine resolves `_base_ = 'mmfdconv::...'` for the packages in this table
# alone. It takes the name of a distribution first and looks for the package
# beside it, where an editable install has none; the name of a module leads to
# the package's folder in every case.
config_utils.MODULE2PACKAGE.setdefault('mmfdconv', __name__)

# It looks mmsegmentation's configs up by that package name, under which the
# maintained fork does not install it; the module name finds both.
if find_spec('mmseg') is not None:
    try:
        metadata.version('mmsegmentation')
    except metadata.PackageNotFoundError:
        config_utils.MODULE2PACKAGE['mmseg'] = 'mmseg'
