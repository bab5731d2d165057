"""One word that makes any config's backbone dynamic.

:func:`with_dynamic_convolutions` does to a loaded config what a config that
inherits from it and from a method's file would write down.
"""

import copy
import re
from dataclasses import fields
from typing import Any, Dict, Iterator, Mapping, Optional, Union

from mmengine.config import Config, ConfigDict
from mmengine.registry import HOOKS

from ..registry import LAYERS
from .learning_rates import ROUTER_RATE, set_rates_, unset_rates_
from .nodes import nodes, type_name
from .presets import PRESETS
from .pretraining import strip_checkpoints
from .rules import LayerRule
from .words import METHODS, merge_values_, nearest, read_method

_WRAPPER = 'DynamicBackbone'
_HOOK = 'TemperatureHook'
_SCHEDULE, _PRETRAINING = 'dynamic_temperature', 'pretraining_temperature'
#: What the wrapper says in place of the inner backbone, None included.
_REPLACING = ('init_cfg', 'pretrained')


def with_dynamic_convolutions(
    cfg: Config,
    method: str,
    options: Optional[Mapping[str, Any]] = None,
    rule: Union[LayerRule, Mapping[str, Any], str, None] = None,
) -> Config:
    """Give every backbone of a config the layers of a method.

    The new config differs from the old one as follows:

    * The backbone is inside a :func:`DynamicBackbone`, with the layer's config
      from the method's file, adapted to the backbone.
    * ``custom_imports`` has mmfdconv.
    * If the method does not learn without a temperature schedule, and the
      config has none, there is a hook with one, over a share of the training.
    * If the recipe goes by the names of layers, its optimizer is built by
      :class:`DynamicOptimConstructor`: norms of gates get the weight decay of
      the norms next to them, and cells that layers share the settings of a
      layer.

    If the config is dynamic already, its method and rule are replaced. A
    config may set ``dynamic_rule=...`` and ``warehouse_names=...``, which
    replace the preset and KernelWarehouse's own names, and
    ``router_lr_mult=dict(odconv=0.1)``, see ``options``.

    Args:
        cfg: A loaded config of mmdet, mmseg or mmpretrain, of either style.
        method: One of :data:`METHODS`; ``'stock'`` removes dynamic layers.
        options: Changes of the method's ``conv_cfg``, with dots for nested
            dicts, such as ``{'fbm_cfg.mask': 'nearest64'}``. In addition,
            ``router_lr_mult`` multiplies the learning rate of routers, see
            :class:`DynamicOptimConstructor`. Defaults to what the config
            sets for the method, or to 1, as published. And
            ``dynamic_temperature.end`` and the like change the schedule.
        rule: Which layers become dynamic, see :func:`convert_dynamic_`. None:
            the preset of backbone and method.

    Returns:
        A new, complete config.

    Raises:
        ValueError: The method, an option or a preset does not exist, or the
            config has no backbone.
    """
    if method not in METHODS:
        raise ValueError(
            f'method must be one of {", ".join(METHODS)}, got {method!r}; '
            f'{nearest(str(method), METHODS)}'
        )
    cfg = copy.deepcopy(cfg)
    make_stock_(cfg)
    if method == 'stock':
        if options or rule is not None:
            raise ValueError(
                "method='stock' has neither options nor a rule, got "
                f'options={options!r}, rule={rule!r}'
            )
        return cfg
    holders = list(_holders(cfg.get('model')))
    if not holders:
        parts = ', '.join(
            place.partition('.')[2]
            for place, part in nodes(cfg.get('model'), 'model')
            if 'type' in part and re.fullmatch(r'model\.\w+(\.\d+)?', place)
        )
        raise ValueError(
            'config: the model has no backbone=dict(type=...), so no layer '
            'can become dynamic; in the config, put another part of it'
            f'{parts and f" ({parts})"} into '
            "dict(type='DynamicBackbone', backbone=PART, "
            'conv_cfg=dict(type=...))'
        )
    entry = read_method(method)
    options = dict(options or {})
    router_rate = options.pop(ROUTER_RATE, None)
    if router_rate is None:
        router_rate = _router_rate(cfg, method)
    start = f'{_SCHEDULE}.'
    schedule = {
        name[len(start) :]: options.pop(name)
        for name in list(options)
        if name.startswith(start)
    }
    if rule is None:
        rule = cfg.get('dynamic_rule')
    check_rule(rule)
    for holder in holders:
        inner = holder['backbone']
        conv_cfg = ConfigDict(copy.deepcopy(entry.dynamic_conv_cfg))
        conv_cfg.update(_suited(conv_cfg.type, inner, cfg))
        holder['backbone'] = ConfigDict(
            type=_WRAPPER,
            backbone=inner,
            conv_cfg=_changed(conv_cfg, options),
        )
        if rule is not None:
            holder['backbone']['rule'] = _as_config(rule)
    import_mmfdconv_(cfg)
    _schedule_temperature(cfg, entry, schedule)
    layer = LAYERS[entry.dynamic_conv_cfg.type]
    set_rates_(cfg, layer.shared_module is not None, router_rate)
    return cfg


def make_stock_(cfg: Config) -> bool:
    """Take dynamic layers out of a config, and what they brought, in place.

    Returns:
        Whether there were any.
    """
    found = False
    for _, node in nodes(cfg.get('model'), 'model'):
        if type_name(node) == _WRAPPER:
            inner = ConfigDict(node['backbone'])
            given = {k: node[k] for k in _REPLACING if k in node}
            if None in given.values():
                inner = ConfigDict(strip_checkpoints(inner))
            for name, value in given.items():
                if value is not None or name in inner:
                    inner[name] = value
            node.clear()
            node.update(inner)
            found = True
        if type_name(node.get('conv_cfg')) in LAYERS:
            node['conv_cfg'] = None
            found = True
    hooks = cfg.get('custom_hooks')
    if found and hooks:
        rest = [hook for hook in hooks if type_name(hook) != _HOOK]
        cfg.custom_hooks = rest
        if not rest:
            cfg.pop('custom_hooks')
    if found:
        unset_rates_(cfg)
    return found


def _holders(node: Any) -> Iterator[Dict[str, Any]]:
    """Yield every dict below a node that has a backbone with a type."""
    if isinstance(node, (list, tuple)):
        children = node
    elif isinstance(node, dict):
        children = list(node.values())
        backbone = node.get('backbone')
        if isinstance(backbone, dict) and 'type' in backbone:
            yield node
            children = [c for c in children if c is not backbone]
    else:
        return
    for child in children:
        yield from _holders(child)


# --------------------------------------------------------- conv_cfg and rule


def _suited(
    kind: str, backbone: Mapping[str, Any], cfg: Config
) -> Dict[str, Any]:
    """What a layer of this kind needs in this backbone."""
    layer, names = LAYERS[kind], 'warehouse_names'
    if names in cfg and names in layer.own_options():
        return {names: cfg[names]}
    inner = backbone.get('backbone_cfg') or backbone  # of BiSeNetV1, ICNet
    return layer.suited_options(type_name(inner), inner)


def _changed(
    conv_cfg: ConfigDict, options: Mapping[str, Any]
) -> Dict[str, Any]:
    """Give a ``conv_cfg`` other options, and refuse unknown ones."""
    known = {*LAYERS[conv_cfg.type].own_options(), *conv_cfg} - {'type'}
    for option in options:
        name = option.partition('.')[0]
        if name not in known:
            raise ValueError(
                f'options: {conv_cfg.type} has no option {name!r}; '
                f'{nearest(name, sorted({*known, ROUTER_RATE, _SCHEDULE}))}'
            )
    changed = Config(dict(conv_cfg=conv_cfg))
    values = {f'conv_cfg.{name}': value for name, value in options.items()}
    merge_values_(changed, values, 'options')
    return changed.conv_cfg


def check_rule(rule: Union[LayerRule, Mapping[str, Any], str, None]) -> None:
    """Refuse a rule that is none, before a model is built.

    Raises:
        ValueError: The preset or an argument of :class:`LayerRule` does not
            exist, or a value is out of range.
    """
    if isinstance(rule, str) and rule not in PRESETS:
        raise ValueError(
            f'rule: there is no preset {rule!r}; {nearest(rule, PRESETS)}'
        )
    if isinstance(rule, Mapping):
        names = [field.name for field in fields(LayerRule)]
        for name in rule:
            if name not in names:
                raise ValueError(
                    f'rule: LayerRule has no argument {name!r}; '
                    f'{nearest(name, names)}'
                )
        LayerRule(**rule)


def _as_config(rule: Union[LayerRule, Mapping[str, Any], str]) -> Any:
    """A rule as a config can hold it."""
    if not isinstance(rule, LayerRule):
        return copy.deepcopy(rule)
    stock = LayerRule()
    return {
        field.name: copy.deepcopy(getattr(rule, field.name))
        for field in fields(rule)
        if getattr(rule, field.name) != getattr(stock, field.name)
    }


# ------------------------------------------------------- the rest of a config


def import_mmfdconv_(cfg: Config) -> None:
    """Let whoever loads the config import mmfdconv, beside what it does."""
    old = dict(cfg.get('custom_imports') or {})
    names = old.get('imports') or []
    names = [names] if isinstance(names, str) else list(names)
    if 'mmfdconv' not in names:
        names.append('mmfdconv')
    allow = old.get('allow_failed_imports', False)
    cfg.custom_imports = dict(imports=names, allow_failed_imports=allow)


def _router_rate(cfg: Config, method: str) -> float:
    """The factor that a recipe has for the routers of a method."""
    rates = cfg.get(ROUTER_RATE, {})
    if not isinstance(rates, dict) or not set(rates) <= set(METHODS):
        raise ValueError(
            f'config: {ROUTER_RATE} must be factors of {", ".join(METHODS)}, '
            f'such as dict(odconv=0.1), got {rates!r}'
        )
    return rates.get(method, 1)


def _schedule_temperature(
    cfg: Config, entry: Mapping[str, Any], changes: Mapping[str, Any]
) -> None:
    """Add the method's hook, the authors' own where they pretrain.

    A hook that the config has for such layers stays the only one.
    """
    hooks = list(cfg.get('custom_hooks') or [])
    kind = entry.dynamic_conv_cfg.type
    has_own = any(
        type_name(hook) == _HOOK and kind in (hook.get('layer_types') or kind)
        for hook in hooks
    )
    hook = entry.get(_SCHEDULE)
    if cfg.get('default_scope') == 'mmpretrain':
        hook = entry.get(_PRETRAINING, hook)
    if changes and (has_own or hook is None):
        why = (
            f'{kind} needs none' if hook is None else 'the config has its own'
        )
        raise ValueError(
            f'options: there is no {_SCHEDULE} to change, as {why}; change '
            f"dict(type='{_HOOK}', ...) in custom_hooks of the config"
        )
    if hook is None or has_own:
        return
    hook = ConfigDict(copy.deepcopy(hook), **changes)
    try:
        HOOKS.build(hook)
    except TypeError as error:
        raise ValueError(f'options: {_SCHEDULE}: {error}') from error
    cfg.custom_hooks = [*hooks, hook]
