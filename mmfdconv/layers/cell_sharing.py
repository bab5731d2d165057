"""Conversion to KernelWarehouse: which layers share which warehouse.

A layer has a full name ``stage{A}_layer{B}_conv{C}``; ``sharing_range`` takes
the numbers off the parts that it lists, and layers with equal names share one
warehouse, as in the published code. So for a ResNet ``('layer', 'conv')``
means one warehouse per stage, ``('layer',)`` one per stage and position in the
block.

Not published: where the widths of a stage have but a small common divisor,
cells are tiny, and an attention over all of them for each of them is many
times the network (MobileNetV3-Large: 19.9 billion parameters). There the
layers of a name share several warehouses, see :func:`part`. MobileNetV2, and
what has the names of the paper's other backbones and whole cells as they do,
keep the warehouses of the paper.
"""

import inspect
import math
import re
from typing import (
    Any,
    Dict,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
)

from torch import nn

from ..functional import cell_shape, num_mixtures
from .declaring import Shared
from .routers import router_width
from .warehouse import Warehouse

_RESNET = re.compile(
    r'layer(\d+)\.(\d+)\.(?:conv(\d+)(?:\.conv)?|(convs|downsample)\.\d+)'
)
_MOBILENET = re.compile(
    r'layer(\d+)\.(\d+)\.(?:(expand|depthwise|linear)_conv|conv\.([0-2]))\.conv'
)
_MOBILENET_KINDS = ('expand', 'depthwise', 'linear')
#: MobileNetV2's stem and last convolution.
_MOBILENET_ENDS = {
    'conv1.conv': 'stage0_conv0',
    'conv2.conv': 'stage6_layerlast_pwconv1',
}
_CONVNEXT = re.compile(
    r'stages\.(\d+)\.(\d+)\.(depthwise|pointwise)_conv(\d*)'
)
_CONVNEXT_DOWNSAMPLE = re.compile(r'downsample_layers\.(\d+)\.\d+')
_MOBILENET_POSITIONS = dict(expand='pwconv0', depthwise='dwconv0')
#: The published ranges of ResNet ('layer', 'conv') and of MobileNetV2 and
#: ConvNeXt ('layer', 'pwconv') in one; the names of none make them differ.
SHARING_RANGE = ('layer', 'conv', 'pwconv')
WAREHOUSE_OPTIONS: Mapping[str, Any] = {
    name: parameter.default
    for name, parameter in inspect.signature(Warehouse).parameters.items()
    if name not in ('kernels', 'device', 'dtype')
}
SHARED_MODULE = 'warehouse_manager'
#: Attention over kernels, in parameters, up to which layers of several widths
#: share cells. Networks of inverted residuals then grow 1.6 to 2.4-fold with a
#: cell per mixture; MobileNetV2 does 1.75-fold in the paper.
_SHARE_UP_TO = 4.0
#: And from which on the user is told: the published ConvNeXt-T has up to 29.
_TELL_FROM = 50.0
_NO_WAREHOUSE = 'its name belongs to no warehouse (warehouse_names)'
_NAMES = (
    'KWConv shares cells by the names of layers, and knows none of these; in '
    "conv_cfg, or for --conv at the config's top level, say for instance "
    r"warehouse_names={r'layers\.(\d+)\..*': r'stage\1_conv'}: all layers of "
    'one name on the right share a warehouse'
)
_TEMPERATURE = (
    "KWConv's routers have gradients of exactly 0 and learn nothing as long "
    'as their temperature is 1; a hook lowers it, which --conv adds and a '
    "config of your own needs: custom_hooks=[dict(type='TemperatureHook', "
    "start=1.0, end=0.0, by='share', length=0.1)]"
)
_DECAY = (
    "KWConv's cells stand in warehouse_manager, outside of all stages; where "
    'a recipe goes by the names of layers, in custom_keys or a learning rate '
    'that decays, --conv adds, and a config of your own needs, '
    "optim_wrapper=dict(constructor='DynamicOptimConstructor', "
    'paramwise_cfg=dict(constructor=<the one it had, if any>, ...))'
)


def full_name(name: str, kernel_size: Sequence[int] = (1, 1)) -> Optional[str]:
    """Name of a layer in the scheme of the published code.

    What sees the width of the stage before belongs to that stage's
    warehouse: in a ResNet the first convolution of a stage and its shortcut,
    in MobileNetV2 the first block. A ResNet's first stage has none before it,
    and these two have no name there; but a basic block's first convolution,
    3x3, is one of the stage's own.

    Args:
        name: Qualified name in the model, such as ``layer2.0.conv1``, of
            mmdet's, mmseg's, mmpretrain's or torchvision's ResNet, of the
            first three's MobileNetV2, or of mmpretrain's ConvNeXt.
        kernel_size: Of the layer.
    """
    match = _RESNET.fullmatch(name)
    if match is not None:
        stage, block, conv, other = match.groups()
        stage, layer = int(stage) - 1, block
        if other == 'convs':  # Res2Net's scales, of a width of their own
            return f'stage{stage}_layer{layer}_scales'
        position = 0 if conv is None else int(conv) - 1
        if block == '0' and position == 0:
            stage -= 1
            # After all blocks of the stage before, the shortcut at the end.
            layer = 'shortcut' if conv is None else 'next'
        if stage < 0:
            own = conv is not None and tuple(kernel_size) == (3, 3)
            return 'stage0_layer0_conv0' if own else None
        return f'stage{stage}_layer{layer}_conv{position}'
    match = _MOBILENET.fullmatch(name)
    if match is not None:
        number, layer, kind, index = match.groups()
        if kind is None:  # mmseg and mmpretrain count; layer1 expands nothing
            kind = _MOBILENET_KINDS[min(int(index) + (number == '1'), 2)]
        stage = min(int(number), 6)  # the last two share a stage
        if layer == '0' and 2 <= int(number) <= 6:
            stage, layer = stage - 1, 'next'
        position = _MOBILENET_POSITIONS.get(kind, 'pwconv1')
        return f'stage{stage}_layer{layer}_{position}'
    match = _CONVNEXT.fullmatch(name)
    if match is not None:
        stage, layer, kind, position = match.groups()
        short = 'dw' if kind == 'depthwise' else 'pw'
        return f'stage{stage}_layer{layer}_{short}conv{position or 0}'
    match = _CONVNEXT_DOWNSAMPLE.fullmatch(name)
    if match is not None:
        number = int(match.group(1))
        if number == 0:
            return 'stagestem_conv0'
        return f'stage{number - 1}_layerds_conv0'
    return _MOBILENET_ENDS.get(name)


def shared_name(name: str, sharing_range: Sequence[str]) -> str:
    """Take the numbers off the parts that ``sharing_range`` lists."""
    parts = [
        next((kind for kind in sharing_range if part.startswith(kind)), part)
        for part in name.split('_')
    ]
    return '_'.join(parts)


class _Layer(NamedTuple):
    """What the cost of a layer in a warehouse depends on."""

    name: str
    kernel: Tuple[int, int, int, int]  # (O, C/G, kh, kw)
    grouped: bool
    hidden: int  # width of its router


def attention_cost(layers: Sequence[_Layer]) -> float:
    """Parameters of the attentions of one warehouse over those of kernels.

    With a cell per mixture and none of the published options that make cells
    or attentions smaller.
    """
    cell = cell_shape([layer.kernel for layer in layers])
    mixtures = [num_mixtures(layer.kernel, cell) for layer in layers]
    cells = sum(mixtures)
    attention = sum(
        m * (cells + 1) * (layer.hidden + 1)
        for m, layer in zip(mixtures, layers)
    )
    return attention / sum(math.prod(layer.kernel) for layer in layers)


def part(layers: Sequence[_Layer]) -> List[List[_Layer]]:
    """Part layers so that each part has cells of a fair size.

    Layers of one kernel shape stay together. In network order, a shape joins
    the first part where :func:`attention_cost` stays within a limit, or opens
    one. Layers with groups share none with those without: cells as thin as a
    group would cut a full kernel into slivers.
    """
    shapes: Dict[Tuple[int, int, bool], List[_Layer]] = {}
    for layer in layers:
        key = (*layer.kernel[:2], layer.grouped)
        shapes.setdefault(key, []).append(layer)
    parts: List[List[_Layer]] = []
    for alike in shapes.values():
        for joined in parts:
            same = joined[0].grouped == alike[0].grouped
            if same and attention_cost(joined + alike) <= _SHARE_UP_TO:
                joined += alike
                break
        else:
            parts.append(alike)
    order = {layer.name: number for number, layer in enumerate(layers)}
    return [sorted(p, key=lambda layer: order[layer.name]) for p in parts]


def share_cells(
    stock: Mapping[str, nn.Module], options: Mapping[str, Dict[str, Any]]
) -> Shared:
    """Build the cells that the layers of a backbone share.

    Args:
        stock: Stock layers by qualified name, in network order; an
            ``nn.Linear`` counts as a 1x1 convolution.
        options: ``conv_cfg`` of every layer, without its type.

    Returns:
        The :class:`Warehouse` under ``'warehouse_manager'``, and every
        layer's place in it among its options.

    Raises:
        ValueError: An option of the warehouse differs between layers, or is
            out of range.
    """
    members: Dict[str, List[_Layer]] = {}
    own: Dict[str, Dict[str, Any]] = {}
    left_out: Dict[str, str] = {}
    shared: List[tuple] = []
    for name, layer in stock.items():
        layer_options = dict(options[name])
        popped = sharing_range, templates, _ = _pop_shared(layer_options)
        full = _warehouse_name(name, layer, templates)
        if full is None:
            left_out[name] = _NO_WAREHOUSE
            continue
        own[name] = layer_options
        shared.append(popped)
        home = shared_name(full, sharing_range)
        kernel = _kernel_shape(layer)
        groups = getattr(layer, 'groups', 1)
        hidden = router_width(
            kernel[1] * groups, layer_options.get('reduction', 0.0625)
        )
        members.setdefault(home, []).append(
            _Layer(name, kernel, groups > 1, hidden)
        )
    if not own:
        return Shared({}, {}, left_out, (_NAMES,) if left_out else ())
    if any(other != shared[0] for other in shared):
        raise ValueError(
            f'{tuple(WAREHOUSE_OPTIONS)} and sharing_range hold for the whole '
            'backbone; a rule cannot change them for some layers'
        )
    _, templates, warehouse_options = shared[0]
    first = stock[next(iter(own))].weight
    warehouses, more = _warehouses(members, templates is None)
    warehouse = Warehouse(
        [[layer.kernel for layer in layers] for layers in warehouses],
        **warehouse_options,
        device=first.device,
        dtype=first.dtype,
    )
    for warehouse_index, layers in enumerate(warehouses):
        names = [layer.name for layer in layers]
        trainable = any(stock[n].weight.requires_grad for n in names)
        warehouse.weights[warehouse_index].requires_grad_(trainable)
        for layer_index, name in enumerate(names):
            own[name].update(
                warehouse=warehouse,
                warehouse_index=warehouse_index,
                layer_index=layer_index,
            )
    assigned = any(layer.get('temperature', 1) == 1 for layer in own.values())
    notes = (_TEMPERATURE, _DECAY) if assigned else (_DECAY,)
    notes = (*notes, *more)
    return Shared(own, {SHARED_MODULE: warehouse}, left_out, notes)


def _warehouses(
    members: Mapping[str, List[_Layer]], published: bool
) -> Tuple[List[List[_Layer]], List[str]]:
    """Layers of every warehouse, and what to tell about them.

    Args:
        members: Layers by the name that they share.
        published: Whether the names are those of the published code.
    """
    warehouses, notes = [], []
    for name, layers in members.items():
        whole = published and _is_whole(layers)
        parts = [layers] if whole else part(layers)
        warehouses += parts
        if len(parts) > 1:
            notes.append(
                f'the {len(layers)} layers of {name} share {len(parts)} '
                'warehouses, as their widths have no large common divisor'
            )
        for layers_of_part in parts:
            cost = attention_cost(layers_of_part)
            if cost > _TELL_FROM:
                cell = cell_shape([layer.kernel for layer in layers_of_part])
                notes.append(
                    f'in {name}, attentions over the cells of '
                    f'{cell.out_channels}x{cell.in_channels} channels have '
                    f'{cost:.0f} times the parameters of their '
                    f'{len(layers_of_part)} layers, '
                    f'{layers_of_part[0].name} to {layers_of_part[-1].name}; '
                    'let fewer layers share cells (warehouse_names, '
                    'sharing_range), or fewer be dynamic (rule)'
                )
    return warehouses, notes


def _is_whole(layers: Sequence[_Layer]) -> bool:
    """Whether layers share cells as in the paper.

    Those are as large as the smallest kernels, but in MobileNetV2.
    """
    cell = cell_shape([layer.kernel for layer in layers])
    smallest = tuple(min(layer.kernel[i] for layer in layers) for i in (0, 1))
    alike = cell[:2] == smallest and len({x.grouped for x in layers}) == 1
    name = _in_backbone(layers[0].name)
    return alike or name in _MOBILENET_ENDS or bool(_MOBILENET.fullmatch(name))


def _warehouse_name(
    name: str, layer: nn.Module, templates: Optional[Mapping[str, str]]
) -> Optional[str]:
    r"""Full name of a layer, by the config's templates or as a ResNet's.

    Args:
        name: Qualified name in the model; in the part of it that is named
            ``backbone``, its name there counts, too.
        layer: What is there.
        templates: Regular expression -> full name, in which ``\1`` stands
            for its first group; None for ResNets.
    """
    inner = _in_backbone(name)
    if templates is None:
        return full_name(inner, getattr(layer, 'kernel_size', (1, 1)))
    for pattern, template in templates.items():
        match = re.fullmatch(pattern, name) or re.fullmatch(pattern, inner)
        if match is not None:
            return match.expand(template)
    return None


def _in_backbone(name: str) -> str:
    """Name of a layer in the backbone that a model is built around."""
    return name.rpartition('backbone.')[2]


def _kernel_shape(layer: nn.Module) -> Tuple[int, int, int, int]:
    shape = tuple(layer.weight.shape)
    return shape if len(shape) == 4 else (*shape, 1, 1)


def _pop_shared(options: Dict[str, Any]) -> tuple:
    """Take the options of the warehouse out of a layer's."""
    sharing_range = tuple(options.pop('sharing_range', SHARING_RANGE))
    templates = options.pop('warehouse_names', None)
    warehouse = {k: options.pop(k) for k in WAREHOUSE_OPTIONS if k in options}
    return sharing_range, templates, warehouse
