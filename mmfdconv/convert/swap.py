"""Replace convolutions and linear layers of a model in place, and report."""

from dataclasses import dataclass
from typing import (
    Any,
    Dict,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Tuple,
    Type,
    Union,
)

from torch import nn

from ..layers import DynamicConv2d, KWConv, linear_class
from ..registry import LAYERS
from .presets import resolve_rule
from .rules import LayerRule
from .warehouse import build_warehouse_layers, warehouse_name

__all__ = ['ConversionReport', 'ReportRow', 'convert_dynamic_']


_STOCK = (nn.Conv2d, nn.Linear)

#: Layers whose weight the toolboxes' code reads, by the class that does so and
#: the name of the layer in it. A dynamic layer has no one weight to read.
_READ_BY = {
    'BEiTAttention': ('qkv',),
    'CrossMultiheadAttention': ('q', 'k', 'v'),
    'PositionEncodingFourier': ('proj',),
    'PositionalEncodingFourier': ('token_projection.conv',),
    'WindowMSAV2': ('qkv',),
}


class ReportRow(NamedTuple):
    """One convolution or linear layer before and after."""

    name: str
    before: str
    after: str  # class name, or '' when the layer was left alone
    params_before: int
    params_after: int
    reason: str


@dataclass(frozen=True)
class ConversionReport:
    """What :func:`convert_dynamic_` did, a row for every layer."""

    rows: Tuple[ReportRow, ...]
    shared_params: int = 0  # of cells that several layers share

    @property
    def converted(self) -> List[ReportRow]:
        """The rows of converted layers."""
        return [row for row in self.rows if row.after]

    @property
    def skipped(self) -> List[ReportRow]:
        """The rows of layers left alone; ``reason`` says why."""
        return [row for row in self.rows if not row.after]

    @property
    def added_params(self) -> int:
        """Parameters after minus parameters before."""
        own = sum(r.params_after - r.params_before for r in self.rows)
        return own + self.shared_params

    def __str__(self) -> str:
        head = ('name', 'before', 'after', 'parameters', 'reason')
        table = [head]
        for row in self.rows:
            params = f'{row.params_before:,}'
            if row.after:
                params += f' -> {row.params_after:,}'
            after = row.after or '-'
            table.append((row.name, row.before, after, params, row.reason))
        widths = [max(len(line[i]) for line in table) for i in range(4)]
        lines = []
        for line in table:
            cells = [c.ljust(w) for c, w in zip(line, widths)]
            lines.append('  '.join([*cells, line[4]]).rstrip())
        if self.shared_params:
            lines.append(f'shared cells: {self.shared_params:,} parameters')
        lines.append(
            f'{len(self.converted)} of {len(self.rows)} layers '
            f'converted, {self.added_params:+,} parameters'
        )
        return '\n'.join(lines)


def convert_dynamic_(
    model: nn.Module,
    conv_cfg: Mapping[str, Any],
    rule: Union[LayerRule, Mapping[str, Any], str, None] = None,
) -> ConversionReport:
    """Replace convolutions of ``model`` by dynamic ones, in place.

    An ``nn.Linear`` that the rule chooses becomes the dynamic layer on tokens
    of the same method.

    The new layers start as the old ones: kernels are carried over, biases are
    shared; ``training``, ``requires_grad``, device and dtype stay, except
    that gates are alive even where the kernel is frozen. A module reachable
    under two names is converted once. Calling it again changes nothing.

    Convert before an optimizer or DDP takes hold of the parameters.

    Args:
        model: Any model; if it is itself the layer it cannot be replaced.
        conv_cfg: ``type`` and options of the dynamic layer, as in a config.
        rule: Which layers: a :class:`LayerRule`, a dict of its arguments, the
            name of a preset, or None for the preset of the model's family.

    Returns:
        A row for every convolution and linear layer.

    Raises:
        ValueError: ``conv_cfg`` names no dynamic layer, an option is wrong,
            or not a single layer was converted.
    """
    layer_type, options = _split(conv_cfg)
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
        elif isinstance(module, _STOCK) and not name.startswith(already):
            stock.setdefault(module, name)
    chosen: Dict[str, Dict[str, Any]] = {}
    reasons: Dict[str, str] = {}
    for conv, name in stock.items():
        decision = rule.decide(name, conv)
        merged = {**options, **decision.options}
        reason = None if decision.convert else decision.reason
        reason = reason or _why_not(name, conv)
        reason = reason or _read_by(name, modules)
        cls = _class_for(layer_type, conv)
        reason = reason or cls.static_reason(conv, **merged)
        if reason is None and layer_type is KWConv:
            if warehouse_name(name, merged.get('warehouse_names')) is None:
                reason = 'its name belongs to no warehouse'
        reasons[name] = reason or decision.reason
        if reason is None:
            chosen[name] = merged
    # All layers are built before the first is put in its place: an error
    # leaves the model as it was.
    layers = _build(modules, layer_type, chosen)
    rows = tuple(
        _row(name, conv, layers.get(name), reasons[name])
        for conv, name in stock.items()
    )
    for name, module in modules.items():
        layer = layers.get(stock.get(module))
        if layer is not None:
            parent, _, child = name.rpartition('.')
            setattr(modules[parent], child, layer)
    shared = layers.get('warehouse_manager')
    if shared is not None:
        model.add_module('warehouse_manager', shared)
    report = ConversionReport(rows, 0 if shared is None else _count(shared))
    if not report.converted and not already:
        raise ValueError(
            f'rule: no layer of {type(model).__name__} was converted.\n'
            f'{report}'
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
) -> Dict[str, nn.Module]:
    """Build the new layers by name, nothing replaced yet."""
    if not chosen:
        return {}
    if layer_type is KWConv:
        if 'warehouse_manager' in modules:
            raise ValueError(
                "conv_cfg: type='KWConv' converts a backbone once, and this "
                'one has a warehouse already'
            )
        convs = {name: modules[name] for name in chosen}
        try:
            return build_warehouse_layers(convs, chosen)
        except (TypeError, ValueError) as error:
            raise ValueError(f'conv_cfg: KWConv: {error}') from error
    layers: Dict[str, nn.Module] = {}
    for name, options in chosen.items():
        conv = modules[name]
        try:
            cls = _class_for(layer_type, conv)
            layers[name] = cls.from_conv(conv, **options)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f'conv_cfg: {layer_type.__name__} in place of {name}, '
                f'{_describe(conv)}: {error}'
            ) from error
    return layers


def _row(
    name: str, stock: nn.Module, layer: Optional[nn.Module], reason: str
) -> ReportRow:
    before = _count(stock)
    return ReportRow(
        name,
        _describe(stock),
        '' if layer is None else type(layer).__name__,
        before,
        before if layer is None else _count(layer),
        reason,
    )


def _why_not(name: str, stock: nn.Module) -> Optional[str]:
    """Reasons that lie in the layer, whatever the rule says."""
    cls = type(stock)
    if isinstance(stock, nn.Linear):
        kind, plain = 'linear layer', cls.forward is nn.Linear.forward
    else:
        kind = 'convolution'
        plain = (
            cls.forward is nn.Conv2d.forward
            and cls._conv_forward is nn.Conv2d._conv_forward
        )
    # mmcv's own subclasses only add the empty batch, which the dynamic layers
    # take too; any other forward would be lost.
    if not plain and cls.__module__ != 'mmcv.cnn.bricks.wrappers':
        return f'{cls.__name__} computes more than a {kind}'
    if cls.__name__ == 'NonDynamicallyQuantizableLinear':
        return 'nn.MultiheadAttention reads its weight and never calls it'
    if not name:
        return f'the model itself is the {kind}'
    if hasattr(stock, 'parametrizations') or stock._forward_pre_hooks:
        return 'its weight is computed by a hook or parametrization'
    return None


def _read_by(name: str, modules: Mapping[str, nn.Module]) -> Optional[str]:
    """Say that a module above reads the weight, if one is known to."""
    parts = name.split('.')
    for n in range(len(parts)):
        above = type(modules['.'.join(parts[:n])]).__name__
        if '.'.join(parts[n:]) in _READ_BY.get(above, ()):
            return f'{above} reads its weight'
    return None


def _describe(stock: nn.Module) -> str:
    if isinstance(stock, nn.Linear):
        return f'{stock.in_features}->{stock.out_features} linear'
    kernel = 'x'.join(str(k) for k in stock.kernel_size)
    text = f'{stock.in_channels}->{stock.out_channels} {kernel}'
    if max(stock.stride) > 1:
        text += f' s{stock.stride[0]}'
    if stock.groups > 1:
        text += f' g{stock.groups}'
    return text


def _count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def _layers(modules: Dict[str, nn.Module]) -> str:
    names = [n for n, m in modules.items() if isinstance(m, _STOCK)]
    return ', '.join(names[:8]) + (', ...' if len(names) > 8 else '')
