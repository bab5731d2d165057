"""The one file that makes the layers known to OpenMMLab.

They go to MMEngine's root registry, where mmdet, mmsegmentation and
mmpretrain all look, whatever the current scope.
"""

from importlib import import_module, metadata
from importlib.util import find_spec
from typing import Any, Callable

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

__all__ = ['LAYERS', 'MODELS', 'builder']

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


def builder(module: str, name: str) -> Callable:
    """Make a function of a class's name that imports the class to build it.

    What derives from a toolbox's class takes seconds to import, and ``import
    mmfdconv`` must stay light for those who use another toolbox.

    Args:
        module: Where the class is, ``'mmfdconv.models.unet_head'``.
        name: What it is called.
    """

    def build(*args: Any, **kwargs: Any) -> Any:
        return getattr(import_module(module), name)(*args, **kwargs)

    build.__name__ = build.__qualname__ = name
    build.__doc__ = f'Build a :class:`{module}.{name}`.'
    return build


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
