"""What the benchmark times: layers by shape, ResNets, backbones of configs."""

from copy import deepcopy
from typing import (
    Any,
    Collection,
    Dict,
    Mapping,
    NamedTuple,
    Sequence,
    Tuple,
    Type,
    Union,
)

from mmengine.config import Config
from mmengine.registry import MODELS
from torch import nn

from ..convert import PRESETS, convert_dynamic_, nearest
from ..convert.nodes import dynamic_backbones, type_name
from ..convert.words import merge_values_
from ..registry import LAYERS
from .speed import STOCK

#: FDConv as its authors use it; the others' defaults are their authors'.
OPTIONS: Mapping[str, Mapping[str, Any]] = {'FDConv': dict(kernel_num=64)}


class LayerShape(NamedTuple):
    """A convolution and the side of its input."""

    in_channels: int
    out_channels: int
    kernel_size: int
    side: int

    @classmethod
    def parse(cls, text: str) -> 'LayerShape':
        """Read ``C-O-k-side``, such as ``64-64-3-56``.

        Raises:
            ValueError: The text is none.
        """
        parts = text.split('-')
        if len(parts) != 4 or not all(p.isdecimal() and int(p) for p in parts):
            raise ValueError(
                'shapes: a layer is written C-O-k-side, as in 64-64-3-56, '
                f'got {text!r}'
            )
        return cls(*map(int, parts))

    def __str__(self) -> str:
        C, O, k, side = self  # noqa: E741
        return f'{C}->{O} {k}x{k} at {side}x{side}'


def merge_options(
    given: Mapping[str, Any], names: Collection[str]
) -> Dict[str, Dict[str, Any]]:
    """Put options of a command line on top of :data:`OPTIONS`.

    Args:
        given: By the layer's name, a dot, and the option's name.
        names: Of the layers that are built.

    Returns:
        Options by the layer's name.

    Raises:
        ValueError: There is no such layer, or it has no such option.
    """
    for key in given:
        name, _, option = key.partition('.')
        if name not in names or not option:
            raise ValueError(
                f'--options: {key!r} must begin with one of '
                f'{", ".join(names)} and a dot, as in FDConv.kernel_num=16'
            )
        known = LAYERS[name].own_options() if name in LAYERS else {}
        option = option.partition('.')[0]
        if known and option not in known:
            raise ValueError(
                f'--options: {name} has no option {option!r}; '
                f'{nearest(option, known)}'
            )
    merged = Config({name: dict(own) for name, own in OPTIONS.items()})
    merge_values_(merged, given, '--options')
    return merged.to_dict()


def _types(methods: Sequence[str]) -> Dict[str, Type[nn.Module]]:
    unknown = [name for name in methods if name not in LAYERS]
    if unknown:
        raise ValueError(
            f'methods must be among {sorted(LAYERS)}, got {unknown}'
        )
    return {name: LAYERS[name] for name in methods}


def layers(
    shape: LayerShape,
    methods: Sequence[str],
    options: Mapping[str, Mapping[str, Any]],
    others: Mapping[str, Type[nn.Module]],
) -> Dict[str, nn.Module]:
    """Build the stock convolution and all that stand in for it.

    Args:
        shape: Of the convolution; padding keeps the side.
        methods: Names of dynamic layers.
        options: Their own options by method.
        others: Classes with ``nn.Conv2d``'s arguments, by name.

    Raises:
        ValueError: A method or an option is wrong.
    """
    C, O, k, _ = shape  # noqa: E741
    conv = nn.Conv2d(C, O, k, padding=k // 2, bias=False)
    built: Dict[str, nn.Module] = {STOCK: conv}
    for name, cls in _types(methods).items():
        built[name] = cls.from_conv(conv, **options.get(name, {}))
    for name, cls in others.items():
        built[name] = cls(
            C, O, k, padding=k // 2, bias=False, **options.get(name, {})
        )
    return built


def resnets(
    name: str,
    methods: Sequence[str],
    options: Mapping[str, Mapping[str, Any]],
    others: Mapping[str, Type[nn.Module]],
) -> Dict[str, nn.Module]:
    """Build torchvision's ResNet, its block convolutions replaced.

    All methods replace the same convolutions; ``methods``, ``options`` and
    ``others`` as in :func:`layers`.

    Raises:
        ValueError: There is no such ResNet, method or option.
    """
    from torchvision.models import resnet

    if name not in resnet.__all__ or not name.islower():
        raise ValueError(
            "model must be a config file or a torchvision ResNet's name such "
            f"as 'resnet50', got {name!r}"
        )
    stock = getattr(resnet, name)(weights=None)
    stock.fc = nn.Identity()
    built = {STOCK: stock}
    for method in _types(methods):
        built[method] = deepcopy(stock)
        cfg = dict(type=method, **options.get(method, {}))
        convert_dynamic_(built[method], cfg, 'ResNet')
    for method, cls in others.items():
        built[method] = deepcopy(stock)
        _replace_(built[method], cls, options.get(method, {}))
    return built


def _replace_(
    model: nn.Module, cls: Type[nn.Module], options: Mapping[str, Any]
) -> None:
    """Put ``cls`` where the preset would put a method of ours."""
    rule = PRESETS['ResNet']
    for name, conv in list(model.named_modules()):
        if isinstance(conv, nn.Conv2d) and rule.decide(name, conv).convert:
            parent, _, child = name.rpartition('.')
            layer = cls(
                conv.in_channels,
                conv.out_channels,
                conv.kernel_size[0],
                stride=conv.stride[0],
                padding=conv.padding[0],
                dilation=conv.dilation[0],
                groups=conv.groups,
                bias=conv.bias is not None,
                **options,
            )
            setattr(model.get_submodule(parent), child, layer)


def config_backbones(cfg: Config) -> Dict[str, nn.Module]:
    """Build the first ``DynamicBackbone`` of a config and its stock one.

    Raises:
        ValueError: The config has none.
    """
    for _, node in dynamic_backbones(cfg.get('model')):
        dynamic = MODELS.build(node)
        method = type_name(node['conv_cfg'])
        return {STOCK: MODELS.build(node['backbone']), method: dynamic}
    raise ValueError(
        'model: the config has no backbone=dict(type='
        "'DynamicBackbone', backbone=..., conv_cfg=...); --conv makes one"
    )


def parse_side(text: str) -> Tuple[int, int]:
    """Read ``HxW``, such as ``800x1344``.

    Raises:
        ValueError: The text is none.
    """
    parts: Sequence[Union[str, int]] = text.split('x')
    if len(parts) != 2 or not all(p.isdecimal() and int(p) for p in parts):
        raise ValueError(
            f'shapes: an image is written HxW, as in 800x1344, got {text!r}'
        )
    return int(parts[0]), int(parts[1])
