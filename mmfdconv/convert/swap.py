"""Replace convolutions and linear layers of a model in place, and report."""

import copy
from typing import Any, Dict, Mapping, Optional, Tuple, Type, Union

from torch import nn

from ..layers import DynamicConv2d, linear_class
from ..layers.declaring import Shared
from ..registry import LAYERS
from .checkpointing import checkpoint_without_reentrance_
from .conversion_report import ConversionReport, ReportRow, count, describe
from .fuse import refuse_misfolding_
from .hint import suggest_rule
from .initialise import sparing_random_numbers
from .live_routers import live_where_frozen_
from .presets import resolve_rule
from .reasons import STOCK, StaticReasons, other_convolutions, pads_by_size
from .rules import LayerRule

#: Where a module keeps the hooks of its forward and backward pass.
_HOOKS = (
    '_forward_pre_hooks',
    '_forward_pre_hooks_with_kwargs',
    '_forward_hooks',
    '_forward_hooks_with_kwargs',
    '_forward_hooks_always_called',
    '_backward_pre_hooks',
    '_backward_hooks',
    '_is_full_backward_hook',
)


def convert_dynamic_(
    model: nn.Module,
    conv_cfg: Mapping[str, Any],
    rule: Union[LayerRule, Mapping[str, Any], str, None] = None,
) -> ConversionReport:
    """Replace convolutions of ``model`` by dynamic ones, in place.

    An ``nn.Linear`` that the rule selects becomes the method's dynamic layer
    for tokens.

    Each new layer starts as the old one. It gets a copy of the kernel, and
    shares the bias. ``training``, ``requires_grad``, device, dtype and hooks
    stay the same, but gates are trainable even if the kernel is frozen, also
    in the frozen stages of a backbone, see :func:`keep_routers_alive_`. A
    module with two names is converted once, and a second call changes nothing.

    A layer stays as it is if the model would change otherwise, and the report
    says why: other modules use its weight, a hook or a parametrization
    computes it, or it is merged into another weight for deployment. So does
    one that predicts where another layer samples, as in a deformable
    convolution.

    Convert before you create the optimizer or wrap the model in DDP.

    Args:
        model: Any model that contains the layers; it must not be a layer
            itself.
        conv_cfg: ``type`` and options of the dynamic layer, as in a config.
        rule: Which layers become dynamic: a :class:`LayerRule`, a dict of its
            arguments, the name of a preset, or None for the preset of the
            model.

    Returns:
        A row for every convolution and linear layer.

    Raises:
        ValueError: ``conv_cfg`` names no dynamic layer, an option is wrong,
            or not a single layer was converted.
    """
    layer_type, options = _split(conv_cfg)
    by_preset = rule is None
    rule = resolve_rule(rule, model, layer_type.__name__)
    modules = dict(model.named_modules(remove_duplicate=False))
    unknown = [name for name in rule.names if name not in modules]
    if unknown:
        raise ValueError(
            f'rule.names: the model has no module {unknown}; '
            f'its convolutions and linear layers: {_layers(modules)}'
        )
    stock: Dict[nn.Module, str] = {}  # layer -> its first name
    already: Tuple[str, ...] = ()
    for name, module in modules.items():
        if isinstance(module, DynamicConv2d):
            already += (f'{name}.',)
        elif isinstance(module, STOCK) and not name.startswith(already):
            stock.setdefault(module, name)
    chosen: Dict[str, Dict[str, Any]] = {}
    reasons: Dict[str, str] = {}
    static = StaticReasons(modules)
    for conv, name in stock.items():
        decision = rule.decide(name, conv)
        merged = {**options, **decision.options}
        reason = static(name)
        if reason is None and not decision.convert:
            reason = decision.reason
        cls = _class_for(layer_type, conv)
        reason = reason or cls.static_reason(conv, **merged)
        reasons[name] = reason or decision.reason
        if reason is None:
            chosen[name] = merged
    # All layers are built before the first is put in its place: an error
    # leaves the model as it was.
    with sparing_random_numbers(model):
        layers, shared = _build(modules, layer_type, chosen)
    reasons.update(shared.left_out)
    rows = tuple(
        _row(name, conv, layers.get(name), reasons[name])
        for conv, name in stock.items()
    )
    for name, module in modules.items():
        layer = layers.get(stock.get(module))
        if layer is not None:
            _carry_hooks(module, layer)
            parent, _, child = name.rpartition('.')
            setattr(modules[parent], child, layer)
    for name, module in shared.modules.items():
        model.add_module(name, module)
    if shared.modules:
        checkpoint_without_reentrance_(model, layer_type)
    report = ConversionReport(
        rows,
        sum(count(module) for module in shared.modules.values()),
        (
            *shared.notes,
            *refuse_misfolding_(model),
            *other_convolutions(modules),
        ),
    )
    if report.converted:
        live_where_frozen_(model)
    if not report.converted and not already:
        # No other rule helps layers that share with none.
        by_rule = by_preset and not shared.left_out
        hint = suggest_rule(model) if by_rule else ''
        raise ValueError(
            f'rule: no layer of {type(model).__name__} was converted.\n'
            f'{report}' + (f'\ntry {hint}' if hint else '')
        )
    return report


def _split(
    conv_cfg: Mapping[str, Any],
) -> Tuple[Type[DynamicConv2d], Dict[str, Any]]:
    options = dict(conv_cfg)
    layer_type = options.pop('type', None)
    if isinstance(layer_type, str):
        name = layer_type.rpartition('.')[2]  # a scope prefix is harmless
        layer_type = LAYERS.get(name, layer_type)
    is_class = isinstance(layer_type, type)
    if not is_class or not issubclass(layer_type, DynamicConv2d):
        raise ValueError(
            f"conv_cfg['type'] must be one of {sorted(LAYERS)}, got "
            f'{layer_type!r}'
        )
    return layer_type, options


def _class_for(
    layer_type: Type[DynamicConv2d], stock: nn.Module
) -> Type[DynamicConv2d]:
    is_linear = isinstance(stock, nn.Linear)
    return linear_class(layer_type) if is_linear else layer_type


def _build(
    modules: Mapping[str, nn.Module],
    layer_type: Type[DynamicConv2d],
    chosen: Mapping[str, Dict[str, Any]],
) -> Tuple[Dict[str, nn.Module], Shared]:
    """Build the new layers by name, nothing replaced yet."""
    kind = layer_type.__name__
    stock = {name: _plain(modules[name]) for name in chosen}
    try:
        shared = layer_type.share(stock, chosen)
    except (TypeError, ValueError) as error:
        raise ValueError(f'conv_cfg: {kind}: {error}') from error
    if shared.modules and isinstance(modules[''], nn.Sequential):
        raise ValueError(
            f'conv_cfg: type={kind!r} adds a module with shared parameters to '
            'the model, and an nn.Sequential would call it; wrap the model in '
            'another nn.Module'
        )
    for name in shared.modules:
        if name in modules:
            raise ValueError(
                f'conv_cfg: type={kind!r} converts a backbone once, and this '
                f'one has a {name} already'
            )
    layers: Dict[str, nn.Module] = {}
    for name, options in shared.options.items():
        conv = stock[name]
        try:
            cls = _class_for(layer_type, conv)
            layers[name] = cls.from_conv(conv, **options)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f'conv_cfg: {kind} in place of {name}, '
                f'{describe(conv)}: {error}'
            ) from error
    return layers, shared


def _plain(stock: nn.Module) -> nn.Module:
    """Return a layer, or what computes the same and says its padding."""
    if not pads_by_size(stock):
        return stock
    plain = copy.copy(stock)
    plain.padding = 'same'
    return plain


def _carry_hooks(stock: nn.Module, layer: nn.Module) -> None:
    """Let the hooks of a layer be those of its successor.

    The same tables, so that the handles that registering gave still remove
    them.
    """
    for name in _HOOKS:
        if name in vars(stock):  # not all versions of torch have them all
            setattr(layer, name, getattr(stock, name))


def _row(
    name: str, stock: nn.Module, layer: Optional[nn.Module], reason: str
) -> ReportRow:
    before = count(stock)
    return ReportRow(
        name,
        describe(stock),
        '' if layer is None else type(layer).__name__,
        before,
        before if layer is None else count(layer),
        reason,
    )


def _layers(modules: Dict[str, nn.Module]) -> str:
    names = [n for n, m in modules.items() if isinstance(m, STOCK)]
    return ', '.join(names[:8]) + (', ...' if len(names) > 8 else '')
