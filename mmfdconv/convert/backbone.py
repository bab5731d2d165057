"""``DynamicBackbone``: any registered backbone, converted while it is built.

The inner backbone itself is returned, so parameter names have no prefix and
stock checkpoints, layer-wise learning rates and ``frozen_stages`` keep
working.
"""

from functools import lru_cache
from typing import Any, Dict, List, Mapping, Tuple, Type, Union

from mmengine.logging import print_log
from mmengine.registry import MODELS
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..layers import DynamicConv2d
from ..registry import LAYERS
from .conversion_report import ConversionReport
from .initialise import stock_layers_in_place
from .learning_rates import names_by_layer
from .pretraining import (
    NOT_GIVEN,
    NotGiven,
    is_pretrained,
    without_pretraining,
)
from .rules import LayerRule
from .swap import convert_dynamic_

__all__ = ['DynamicBackbone', 'build_dynamic', 'keep_routers_alive_']

#: How the names of parameters begin that layers of some method share.
_SHARED = tuple(
    f'{layer.shared_module}.'
    for layer in LAYERS.values()
    if layer.shared_module is not None
)


@MODELS.register_module()
def DynamicBackbone(
    backbone: Mapping[str, Any],
    conv_cfg: Mapping[str, Any],
    rule: Union[LayerRule, Mapping[str, Any], str, None] = None,
    init_cfg: Union[Mapping[str, Any], list, None, NotGiven] = NOT_GIVEN,
    pretrained: Union[str, None, NotGiven] = NOT_GIVEN,
) -> nn.Module:
    """Build a backbone and make its convolutions and linear layers dynamic.

    The backbone is converted while the model is built, so that optimizer and
    DDP find the new parameters. The log gets a report of every layer.

    Args:
        backbone: Config of the inner backbone, as in a stock config.
        conv_cfg: Config of the dynamic layer, e.g.
            ``dict(type='FDConv', kernel_num=64)``.
        rule: Which layers become dynamic, see :func:`convert_dynamic_`. None:
            the preset of the backbone.
        init_cfg: Replaces the inner backbone's ``init_cfg``. None switches
            pretraining off.
        pretrained: Checkpoint for the inner backbone, as mmseg's segmentors
            pass it. None switches pretraining off.

    Returns:
        The inner backbone, converted in place; an instance of its class.

    Raises:
        ValueError: No layer was converted, or an option is wrong.
    """
    model, report = build_dynamic(
        backbone, conv_cfg, rule, init_cfg, pretrained
    )
    print_log(f'DynamicBackbone({type(model).__name__})\n{report}', 'current')
    return model


def build_dynamic(
    backbone: Mapping[str, Any],
    conv_cfg: Mapping[str, Any],
    rule: Union[LayerRule, Mapping[str, Any], str, None] = None,
    init_cfg: Union[Mapping[str, Any], list, None, NotGiven] = NOT_GIVEN,
    pretrained: Union[str, None, NotGiven] = NOT_GIVEN,
) -> Tuple[nn.Module, ConversionReport]:
    """Build a :func:`DynamicBackbone`, and return the report, too."""
    backbone = dict(backbone)
    if init_cfg is None or pretrained is None:
        backbone = without_pretraining(backbone)
    if init_cfg is not NOT_GIVEN:
        backbone['init_cfg'] = init_cfg
    if pretrained is not NOT_GIVEN and pretrained is not None:
        backbone['pretrained'] = pretrained
    model = MODELS.build(backbone)
    report = convert_dynamic_(model, conv_cfg, rule)
    return keep_routers_alive_(model), report


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
    if not isinstance(model, _LiveRouters):
        model.__class__ = _with_live_routers(type(model))
    for layer in _dynamic_layers(model):
        for parameter in layer.router_parameters():
            parameter.requires_grad_(True)
    return model


def _dynamic_layers(model: nn.Module) -> List[DynamicConv2d]:
    return [m for m in model.modules() if isinstance(m, DynamicConv2d)]


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
        cfgs = getattr(self, 'init_cfg', None) or []
        cfgs = [cfgs] if isinstance(cfgs, Mapping) else cfgs
        if any(is_pretrained(cfg) for cfg in cfgs):
            super().init_weights()  # the layers read any checkpoint
            return
        with stock_layers_in_place(self):
            super().init_weights()

    def __reduce_ex__(self, protocol: int) -> Tuple:
        # The class is made at run time and cannot be found by name.
        return _restore, (type(self).__mro__[2],), self.__getstate__()

    def __getstate__(self) -> Dict[str, Any]:
        return self.__dict__.copy()


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
