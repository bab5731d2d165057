"""The parts of a dynamic layer, and what belongs to which."""

from typing import Dict, Iterator, Optional, Tuple

from torch import nn

from ...layers import DCDConv, DynamicConv2d, Warehouse
from ...layers.band_modulation import FrequencyBandModulation
from ...layers.descriptors import Descriptor, FrequencyAttention
from .formulas import FFT_OPS, POOLING_OPS

#: In the order of a layer's computation. What stands outside of any dynamic
#: layer has the part ``''``.
PARTS = (
    'router',
    'DCT',
    'kernel assembly',
    'kernel FFT',
    'band maps',
    'bands',
    'band FFT',
    'convolution',
)


def parts_of_methods(module: nn.Module) -> Dict[str, str]:
    """Methods of a module that compute one part each, all that they do."""
    if isinstance(module, DynamicConv2d):
        names = 'convolve', 'convolve_images', 'convolve_static'
        return dict.fromkeys(names, 'convolution')
    if isinstance(module, FrequencyBandModulation):
        return dict(logits='band maps', activate='band maps')
    return {}


def part_of_operation(layer: DynamicConv2d, path: str, op: str) -> str:
    """Which part of a layer is at work, outside of :func:`parts_of_methods`.

    Args:
        layer: A dynamic layer.
        path: Qualified name, from the layer on, of the innermost module that
            runs in it; ``''`` for the layer itself.
        op: The operation's name in ``torch.ops.aten``.
    """
    child = path.partition('.')[0]
    if child == 'FBM':
        return 'band FFT' if op in FFT_OPS else 'bands'
    module = layer.get_submodule(path)
    if isinstance(module, Descriptor):
        return 'DCT' if isinstance(module, FrequencyAttention) else 'router'
    if isinstance(layer, DCDConv):
        return 'router' if child.startswith('fc') else 'convolution'
    if child in layer.router_names or op in POOLING_OPS:
        return 'router'
    return 'kernel FFT' if op in FFT_OPS else 'kernel assembly'


def parts_of_parameters(model: nn.Module) -> Iterator[Tuple[str, str, int]]:
    """Yield the qualified name, part and size of every parameter.

    A parameter that several modules share comes once, by its first name.
    """
    layers: Dict[str, DynamicConv2d] = {}
    shared = []
    for name, module in model.named_modules():
        if isinstance(module, DynamicConv2d):
            layers[name] = module
        elif isinstance(module, Warehouse):
            shared.append(name + '.' if name else '')
    for name, parameter in model.named_parameters():
        part = ''
        if any(name.startswith(prefix) for prefix in shared):
            part = 'kernel assembly'
        found = _layer_above(name, layers)
        if found is not None:
            part = _part_of_parameter(*found)
        yield name, part, parameter.numel()


def _layer_above(
    name: str, layers: Dict[str, DynamicConv2d]
) -> Optional[Tuple[DynamicConv2d, str]]:
    """The dynamic layer that a parameter is part of, and its name in it."""
    owner = name
    while owner:
        owner = owner.rpartition('.')[0]
        if owner in layers:
            return layers[owner], name[len(owner) + bool(owner) :]
    return None


def _part_of_parameter(layer: DynamicConv2d, name: str) -> str:
    child = name.partition('.')[0]
    if child == 'FBM':
        return 'band maps'
    if isinstance(layer, DCDConv):
        # No kernel is assembled: a second path convolves beside the first.
        return 'router' if child.startswith('fc') else 'convolution'
    if child in layer.router_names:
        return 'router'
    return 'convolution' if layer.static else 'kernel assembly'
