"""Why a layer stays static, whatever a rule says of it."""

import re
from typing import Dict, List, Mapping, Optional, Tuple

from torch import nn

from ..layers import DynamicConv2d

#: What a dynamic layer can stand in for.
STOCK = (nn.Conv2d, nn.Linear)

# By the class that does so, the layers below it whose weight the toolboxes'
# code reads. A dynamic layer has no one weight to read.
_READ_BY = {
    'BEiTAttention': 'qkv',
    'CrossMultiheadAttention': '[qkv]',
    'PositionEncodingFourier': 'proj',
    'PositionalEncodingFourier': r'token_projection\.conv',
    'WindowMSAV2': 'qkv',
}

# Likewise, those that it merges when a model is switched to deployment: of
# mmpretrain's RepVGG, MobileOne, RepLKNet and RepMLPNet, and of timm's RepVGG
# and MobileOne. The merged layer of a deployed model is none of them.
_MERGED_BY = {
    'MobileOneBlock': (
        r'(branch_scale|branch_conv_list\.\d+|conv_scale|conv_kxk\.\d+)\.conv'
    ),
    'RepMLPBlock': r'fc3|repconv\d+\.conv',
    'RepVGGBlock': r'branch_(3x3|1x1)\.conv',
    'RepVggBlock': r'conv_(kxk|1x1)\.conv',
    'ReparamLargeKernelConv': r'(lkb_origin|small_conv)\.conv',
}
# The names that layers have whose output says where another one samples, in
# mmcv, mmdet and code with deformable operators. Layers inside a deformable
# convolution need none.
_STEERS = re.compile(
    r'(.*\.)?(\w*(conv|dcn)_offset|sampling_offsets?|offset(_fc)?)'
    r'(\.\d+)?(\.conv)?'
)
_MERGES = 'merges its weight for deployment; build the model deployed'

#: Where a module keeps hooks that know the keys of its own checkpoint.
_CHECKPOINT_HOOKS = (
    '_state_dict_pre_hooks',
    '_state_dict_hooks',
    '_load_state_dict_pre_hooks',
    '_load_state_dict_post_hooks',
)


#: Why a convolution of another kind has no dynamic form, by a part of its
#: class's name.
_OTHER_KINDS = {
    'Transpose': 'transposed convolutions have no dynamic form here',
    'Deconv': 'transposed convolutions have no dynamic form here',
    'Deform': 'its offsets are predicted from the input already',
    '1d': 'the methods are for two dimensions',
    '3d': 'the methods are for two dimensions',
    '': 'it is no nn.Conv2d',
}


def other_convolutions(modules: Mapping[str, nn.Module]) -> List[str]:
    """Say which convolutions that are no ``nn.Conv2d`` stay, and why.

    Args:
        modules: All modules of a model by name.

    Returns:
        A sentence for each class.
    """
    found: Dict[str, List[str]] = {}
    for name, module in modules.items():
        kind = type(module).__name__
        if 'Conv' not in kind or isinstance(module, (*STOCK, DynamicConv2d)):
            continue
        weight = getattr(module, 'weight', None)
        if isinstance(weight, nn.Parameter) and weight.dim() > 2:
            found.setdefault(kind, []).append(name)
    notes = []
    for kind, names in found.items():
        more = f' and {len(names) - 3} more' if len(names) > 3 else ''
        why = next(_OTHER_KINDS[part] for part in _OTHER_KINDS if part in kind)
        notes.append(f'{kind} stays ({", ".join(names[:3])}{more}): {why}')
    return notes


class StaticReasons:
    """Finds what in a model forbids a layer to become dynamic.

    Args:
        modules: All modules of the model by name, those reachable under
            several names by each.
    """

    def __init__(self, modules: Mapping[str, nn.Module]) -> None:
        self._modules = modules
        self._owners = _owners(modules)

    def __call__(self, name: str) -> Optional[str]:
        """Say in a phrase why the layer ``name`` must stay, or None."""
        layer = self._modules[name]
        return (
            _of_the_layer(name, layer)
            or self._above(name, _READ_BY, 'reads its weight')
            or self._above(name, _MERGED_BY, _MERGES)
            or self._fused(name)
            or self._in_convolution(name)
            or _steers(name)
            or self._tied(layer)
        )

    def _above(
        self, name: str, table: Mapping[str, str], does: str
    ) -> Optional[str]:
        """Look a module above up in ``table``."""
        parts = name.split('.')
        for n in range(len(parts)):
            above = type(self._modules['.'.join(parts[:n])]).__name__
            pattern = table.get(above)
            if pattern and re.fullmatch(pattern, '.'.join(parts[n:])):
                return f'{above} {does}'
        return None

    def _fused(self, name: str) -> Optional[str]:
        """A layer and its norm, as LeViT and much of timm have them."""
        parent = self._modules[name.rpartition('.')[0]]
        if callable(getattr(parent, 'fuse', None)):
            return f'{type(parent).__name__} {_MERGES}'
        return None

    def _in_convolution(self, name: str) -> Optional[str]:
        """A part of one, such as what predicts a deformable one's offsets."""
        parts = name.split('.')
        for n in range(len(parts)):
            above = self._modules['.'.join(parts[:n])]
            weight = above._parameters.get('weight')
            if weight is not None and weight.dim() > 2:
                return f'it is a part of {type(above).__name__}'
        return None

    def _tied(self, layer: nn.Module) -> Optional[str]:
        for name, parameter in layer.named_parameters(recurse=False):
            for owner, other in self._owners[id(parameter)]:
                if owner is not layer:
                    return f'its {name} is also {other}'
        return None


def _steers(name: str) -> Optional[str]:
    if _STEERS.fullmatch(name):
        return 'its output says where another layer samples'
    return None


def _owners(
    modules: Mapping[str, nn.Module],
) -> Dict[int, List[Tuple[nn.Module, str]]]:
    """Find for every parameter the modules that hold it, and its name."""
    owners: Dict[int, List[Tuple[nn.Module, str]]] = {}
    for name, module in modules.items():
        for key, parameter in module.named_parameters(recurse=False):
            full = f'{name}.{key}' if name else key
            owners.setdefault(id(parameter), []).append((module, full))
    return owners


def _of_the_layer(name: str, stock: nn.Module) -> Optional[str]:
    """Reasons that lie in the layer itself."""
    cls = type(stock)
    kind = 'linear layer' if isinstance(stock, nn.Linear) else 'convolution'
    if not _is_plain(stock) and not pads_by_size(stock):
        return f'{cls.__name__} computes more than a {kind}'
    if cls.__name__ == 'NonDynamicallyQuantizableLinear':
        return 'nn.MultiheadAttention reads its weight and never calls it'
    if not name:
        return f'the model itself is the {kind}'
    if hasattr(stock, 'parametrizations') or 'weight' not in stock._parameters:
        return 'its weight is computed by a hook or parametrization'
    own = {*stock._parameters, *stock._buffers, *stock._modules}
    if own - {'weight', 'bias'}:
        return f'it holds {", ".join(sorted(own - {"weight", "bias"}))}, too'
    if any(getattr(stock, hooks, None) for hooks in _CHECKPOINT_HOOKS):
        return 'a hook changes its checkpoint'
    return None


def _is_plain(stock: nn.Module) -> bool:
    cls = type(stock)
    if 'forward' in vars(stock):
        return False
    # mmcv's own subclasses only add the empty batch, which the dynamic layers
    # take too; any other forward would be lost.
    if cls.__module__ == 'mmcv.cnn.bricks.wrappers':
        return True
    if isinstance(stock, nn.Linear):
        return cls.forward is nn.Linear.forward
    return (
        cls.forward is nn.Conv2d.forward
        and cls._conv_forward is nn.Conv2d._conv_forward
    )


def pads_by_size(stock: nn.Module) -> bool:
    """Whether a convolution pads by the input's size, as TensorFlow does.

    Such are mmcv's ``Conv2dAdaptivePadding``, which EfficientNet and
    MobileNetV3 are made of, and timm's ``Conv2dSame``, in its models that come
    from TensorFlow. A dynamic layer does the same with ``padding='same'``.
    """
    return type(stock).__name__ in ('Conv2dAdaptivePadding', 'Conv2dSame')
