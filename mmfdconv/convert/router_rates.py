"""A learning rate of their own for the parameters that predict gates.

Written as ``custom_keys``, which the constructors of MMEngine read: parts of
names, of which the longest that stands in a parameter's name holds for it, and
for which all other settings by kind of parameter are void.
"""

import copy
import logging
from numbers import Real
from typing import Any, Collection, Dict, Iterable, Iterator, Mapping, Optional

from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..layers import DynamicConv2d

__all__ = ['ROUTER_RATE', 'scale_router_rates_', 'unscale_router_rates_']

#: The option, and the mark of the keys that it wrote.
ROUTER_RATE = 'router_lr_mult'
#: Constructors that set the rate by depth and give no key a say in it.
_BY_DEPTH = (
    'LayerDecayOptimizerConstructor',
    'LearningRateDecayOptimWrapperConstructor',
    'LearningRateDecayOptimizerConstructor',
    'SharedCellsConstructor',
)


def scale_router_rates_(
    cfg: Config, factor: float, own: Collection[str] = ()
) -> None:
    """Multiply the learning rates of all routers by a factor, in place.

    The model is built to see its names: the keys are the shortest ones that
    stand in names of routers' parameters alone. Other than their rate, routers
    keep what the recipe says of them. A key that names more than routers, such
    as ``backbone``, goes on to hold for them but that its ``lr_mult`` is times
    the factor, and so do ``norm_decay_mult`` and the like. A key that names
    routers alone stays and wins.

    Args:
        cfg: An experiment with dynamic layers.
        factor: What multiplies the rates, over 0; at 1 nothing changes.
        own: Keys of routers that set something else than their rate, so that
            they do not win.

    Raises:
        ValueError: The factor is no positive number, there is no optimizer,
            or its constructor sets rates by depth alone.
    """
    if isinstance(factor, bool) or not isinstance(factor, Real):
        raise ValueError(f'{ROUTER_RATE} must be a number, got {factor!r}')
    if not 0 < factor < float('inf'):
        raise ValueError(f'{ROUTER_RATE} must be over 0, got {factor}')
    if factor == 1:
        return
    wrapper = cfg.get('optim_wrapper') or {}
    if 'optimizer' not in wrapper:
        raise ValueError(
            f'{ROUTER_RATE}={factor} needs a config with '
            'optim_wrapper=dict(optimizer=...)'
        )
    constructor = wrapper.get('constructor')
    constructor = str(getattr(constructor, '__name__', constructor))
    if constructor.rpartition('.')[2] in _BY_DEPTH:
        raise ValueError(
            f'{ROUTER_RATE}={factor} would have no effect: constructor='
            f'{constructor!r} sets learning rates by depth and reads no '
            'lr_mult; leave it at 1, or take another constructor'
        )
    paramwise = dict(wrapper.get('paramwise_cfg') or {})
    recipe = dict(paramwise.get('custom_keys') or {})
    model = _build(cfg)
    names = [name for name, _ in model.named_parameters()]
    routers = _routers(model)
    winning = [
        key
        for key in recipe
        if key not in own and all(n in routers for n in names if key in n)
    ]
    scaled: Dict[str, Dict[str, Any]] = {}
    for name in routers:
        if _holding(name, recipe) not in winning:
            settings = _settings(name, model, paramwise, recipe)
            rate = round(settings.get('lr_mult', 1) * factor, 12)
            settings.update({'lr_mult': rate, ROUTER_RATE: factor})
            scaled[name] = settings

    def fits(key: str) -> bool:
        """Whether a key holds for what has the same settings, and only it."""
        return keys.get(key) == settings or all(
            scaled.get(n) == settings
            and len(key) > len(_holding(n, recipe) or '')
            for n in names
            if key in n
        )

    keys: Dict[str, Dict[str, Any]] = {}
    for name, settings in scaled.items():
        keys[next(filter(fits, _parts(name, routers[name])))] = settings
    paramwise['custom_keys'] = {**recipe, **keys}
    wrapper['paramwise_cfg'] = paramwise


def unscale_router_rates_(cfg: Config) -> None:
    """Take out the keys of :func:`scale_router_rates_`, in place."""
    wrapper = cfg.get('optim_wrapper') or {}
    paramwise = wrapper.get('paramwise_cfg') or {}
    keys = paramwise.get('custom_keys') or {}
    written = [key for key, value in keys.items() if ROUTER_RATE in value]
    for key in written:
        dict.pop(keys, key)
    if written and not keys:
        dict.pop(paramwise, 'custom_keys')
    if written and not paramwise:
        dict.pop(wrapper, 'paramwise_cfg')


def _build(cfg: Config) -> nn.Module:
    """Build a config's model, the log of it left to who will train it."""
    disabled = logging.root.manager.disable
    logging.disable(logging.INFO)
    try:
        with DefaultScope.overwrite_default_scope(cfg.get('default_scope')):
            return MODELS.build(copy.deepcopy(cfg.model))
    finally:
        logging.disable(disabled)


def _routers(model: nn.Module) -> Dict[str, str]:
    """Name of every parameter of a router -> name of its layer."""
    found = {}
    for layer_name, layer in model.named_modules():
        if isinstance(layer, DynamicConv2d):
            routers = {id(p) for p in layer.router_parameters()}
            for name, parameter in layer.named_parameters(layer_name):
                if id(parameter) in routers:
                    found[name] = layer_name
    return found


def _holding(name: str, keys: Iterable[str]) -> Optional[str]:
    """The key that holds for a parameter: the longest, the first of those."""
    found = sorted(key for key in keys if key in name)
    return max(found, key=len, default=None)


def _settings(
    name: str,
    model: nn.Module,
    paramwise: Mapping[str, Any],
    recipe: Mapping[str, Mapping[str, Any]],
) -> Dict[str, Any]:
    """What a recipe makes of a parameter, as a custom key says it."""
    key = _holding(name, recipe)
    if key is not None:
        return dict(recipe[key])
    owner, _, local = name.rpartition('.')
    module = model.get_submodule(owner)
    is_norm = isinstance(module, (_BatchNorm, nn.LayerNorm))
    settings = {}
    if local == 'bias' and not is_norm:
        settings['lr_mult'] = paramwise.get('bias_lr_mult')
    for holds, option in (
        (getattr(module, local).dim() == 1, 'flat_decay_mult'),
        (local == 'bias', 'bias_decay_mult'),
        (is_norm, 'norm_decay_mult'),
    ):
        if holds and paramwise.get(option) is not None:
            settings['decay_mult'] = paramwise[option]
    return {k: v for k, v in settings.items() if v is not None}


def _parts(name: str, layer: str) -> Iterator[str]:
    """Yield parts of a router parameter's name, less and less general.

    From the router's own name, ``attention.``, to the whole.
    """
    before, after = layer.split('.'), name[len(layer) + 1 :].split('.')
    for left in range(len(before) + 1):
        for right in range(1, len(after) + 1):
            part = '.'.join(before[len(before) - left :] + after[:right])
            yield part if right == len(after) else f'{part}.'
