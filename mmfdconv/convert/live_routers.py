"""Routers that learn in the frozen stages of a backbone.

A backbone of the toolboxes freezes its stages again in every ``train()``, and
initialises its layers by class. Both would miss, or hit, what a conversion has
put in their place.
"""

from functools import lru_cache
from typing import Any, Callable, Dict, List, Mapping, Tuple, Type

from mmengine.model import BaseModule
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..layers import DynamicConv2d
from ..registry import LAYERS
from .initialise import stock_layers_in_place
from .learning_rates import names_by_layer
from .pretraining import is_pretrained

#: How the names of parameters begin that layers of some method share.
_SHARED = tuple(
    f'{layer.shared_module}.'
    for layer in LAYERS.values()
    if layer.shared_module is not None
)
#: Attributes of backbones that change their layers in ``train()``.
_SWITCHES = ('frozen_stages', 'norm_eval')


def keep_routers_alive_(model: nn.Module) -> nn.Module:
    """Keep routers trainable in the frozen stages of a backbone.

    A backbone with ``frozen_stages`` freezes these stages in every
    ``train()``, including the routers of converted layers. After this call
    routers keep their ``requires_grad``, and follow ``train()`` and ``eval()``
    as in unfrozen stages. The class of the model becomes a subclass of its
    old class.

    Args:
        model: A converted backbone.

    Returns:
        ``model``, with all routers trainable.
    """
    _enliven_(model)
    for module in model.modules():
        if isinstance(module, DynamicConv2d):
            for parameter in module.router_parameters():
                parameter.requires_grad_(True)
    return model


def live_where_frozen_(model: nn.Module) -> None:
    """Do so for the backbones of a model that was just converted, in place.

    Routers are trainable after a conversion; a backbone that freezes stages,
    of which the model may have several, or be one, must leave them so. Without
    such a backbone a model of MMEngine itself changes, for its initialisation.

    Args:
        model: A converted one, of any kind.
    """
    backbones = _outermost(
        model,
        lambda m: (
            isinstance(m, BaseModule)
            and any(hasattr(m, name) for name in _SWITCHES)
            and any(isinstance(inner, DynamicConv2d) for inner in m.modules())
        ),
    )
    if not backbones and isinstance(model, BaseModule):
        backbones = [model]
    for backbone in backbones:
        _enliven_(backbone)


def _enliven_(model: nn.Module) -> None:
    if not isinstance(model, _LiveRouters):
        model.__class__ = _with_live_routers(type(model))


def _outermost(
    module: nn.Module, fits: Callable[[nn.Module], bool]
) -> List[nn.Module]:
    """Modules that fit, and are in none that does."""
    if fits(module):
        return [module]
    return [m for child in module.children() for m in _outermost(child, fits)]


def _dynamic_layers(model: nn.Module) -> List[DynamicConv2d]:
    """Of a live backbone, without those of one inside of it."""
    own = (DynamicConv2d, _LiveRouters)
    found = [
        m
        for child in model.children()
        for m in _outermost(child, lambda m: isinstance(m, own))
    ]
    return [m for m in found if isinstance(m, DynamicConv2d)]


class _LiveRouters:
    """Mixed into the class of a converted backbone."""

    def train(self, mode: bool = True) -> nn.Module:
        """Switch mode; frozen stages freeze again, their routers do not."""
        layers = _dynamic_layers(self)
        live = [
            p
            for layer in layers
            for p in layer.router_parameters()
            if p.requires_grad
        ]
        super().train(mode)
        for parameter in live:
            parameter.requires_grad_(True)
        for layer in layers:
            for router in layer.routers():
                router.train(mode)
                if mode and getattr(self, 'norm_eval', False):
                    _eval_batch_norms(router)
        return self

    def init_weights(self) -> None:
        """Initialise as the stock backbone, the dynamic layers included."""
        if any(map(_loads_checkpoint, self.modules())):
            super().init_weights()  # the layers read any checkpoint
            return
        with stock_layers_in_place(self):
            super().init_weights()

    def __reduce_ex__(self, protocol: int) -> Tuple:
        # The class is made at run time and cannot be found by name.
        return _restore, (type(self).__mro__[2],), self.__getstate__()

    def __getstate__(self) -> Dict[str, Any]:
        return self.__dict__.copy()


def _loads_checkpoint(module: nn.Module) -> bool:
    cfgs = getattr(module, 'init_cfg', None) or []
    cfgs = [cfgs] if isinstance(cfgs, Mapping) else cfgs
    return any(is_pretrained(cfg) for cfg in cfgs)


@lru_cache(maxsize=None)
def _with_live_routers(cls: Type[nn.Module]) -> Type[nn.Module]:
    namespace: Dict[str, Any] = {'__module__': cls.__module__}
    if hasattr(cls, 'get_layer_depth'):

        def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple:
            """See the stock backbone; shared cells lie at their first layer.

            mmpretrain's layer-wise learning-rate decay asks for it.
            """
            name = param_name[len(prefix) :]
            if name.startswith(_SHARED):
                name = names_by_layer(self)[name]
            return cls.get_layer_depth(self, prefix + name, prefix)

        namespace['get_layer_depth'] = get_layer_depth
    return type(f'Dynamic{cls.__name__}', (_LiveRouters, cls), namespace)


def _restore(cls: Type[nn.Module]) -> nn.Module:
    new = _with_live_routers(cls)
    return new.__new__(new)


def _eval_batch_norms(module: nn.Module) -> None:
    for m in module.modules():
        if isinstance(m, _BatchNorm):
            m.eval()
