"""The one file that makes the layers known to OpenMMLab.

They go to MMEngine's root registry, where mmdet, mmsegmentation and
mmpretrain all look, whatever the current scope.
"""

from importlib import import_module, metadata
from importlib.util import find_spec
from typing import Any, Callable, Optional

import mmengine.registry
from mmengine.config import utils as config_utils
from mmengine.registry import MODELS, DefaultScope, Registry

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


class ToolboxTypes(Registry):
    """What the types of a base named ``mmfdconv::...`` are looked up in.

    MMEngine gives them this package as their scope. They belong to the toolbox
    that runs the config: to the default scope around.
    """

    def get(self, key: str) -> Optional[Any]:
        """Return what ``key`` is in the default scope, else at the root."""
        # No method tells the scopes below the current one, which is ours.
        scopes = [s.scope_name for s in DefaultScope._instance_dict.values()]
        others = [s for s in scopes if s != self.scope] or [self.parent.scope]
        with self.parent.switch_scope_and_registry(others[-1]) as registry:
            return registry.get(key)


for _registry in vars(mmengine.registry).values():
    if isinstance(_registry, Registry):
        ToolboxTypes(_registry.name, parent=_registry, scope='mmfdconv')

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
