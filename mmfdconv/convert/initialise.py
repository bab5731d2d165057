"""Initialise a converted backbone as its stock one.

Backbones initialise by class: ``dict(type='Kaiming', layer='Conv2d')`` in an
``init_cfg``, or ``isinstance(m, nn.Linear)`` in a method of their own. Dynamic
layers are neither, and would keep what PyTorch draws at construction. So
stock layers stand in for them while the backbone initialises itself, and what
these were given is taken over.
"""

from contextlib import contextmanager
from typing import ContextManager, Dict, Iterator

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from ..layers import DynamicConv2d, OnTokens


def sparing_random_numbers(model: nn.Module) -> ContextManager[None]:
    """Leave the random generators as they were, whatever is drawn inside.

    So what comes after a dynamic backbone, such as its head or dropout, draws
    what it would after a stock one from the same seed.

    Args:
        model: Its devices count.
    """
    devices = {p.device.index for p in model.parameters() if p.is_cuda}
    return torch.random.fork_rng(sorted(devices))


@contextmanager
def stock_layers_in_place(model: nn.Module) -> Iterator[None]:
    """Let stock layers stand in for the dynamic ones of ``model``.

    On leaving, every dynamic layer is back in its place, has neutral gates,
    and has taken over the kernel and the bias of its stand-in, if these were
    set at all.
    """
    stand_ins: Dict[DynamicConv2d, nn.Module] = {}
    places = []
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if isinstance(child, DynamicConv2d):
                if child not in stand_ins:
                    stand_ins[child] = _stand_in(child)
                places.append((parent, name, child))
    for parent, name, layer in places:
        parent._modules[name] = stand_ins[layer]
    _announce(model, stand_ins)
    try:
        yield
    finally:
        for parent, name, layer in places:
            parent._modules[name] = layer
    with sparing_random_numbers(model):
        for layer, stand_in in stand_ins.items():
            layer.init_weights()
            weight, bias = stand_in.weight.detach(), stand_in.bias
            if _is_set(weight):
                layer.load_stock_(weight.reshape(layer.weight_shape))
            if bias is not layer.bias and _is_set(bias.detach()):
                layer.load_stock_bias_(bias.detach())


def _stand_in(layer: DynamicConv2d) -> nn.Module:
    """A stock layer of the same shape whose values are not set, NaN."""
    # Any will do: KernelWarehouse's weights are not in the layer.
    like = next(layer.parameters())
    options = dict(
        bias=layer.bias is not None, device=like.device, dtype=like.dtype
    )
    # skip_init: the stock backbone would not draw these numbers.
    if isinstance(layer, OnTokens):
        stock = skip_init(
            nn.Linear, layer.in_features, layer.out_features, **options
        )
    else:
        stock = skip_init(
            nn.Conv2d,
            layer.in_channels,
            layer.out_channels,
            layer.kernel_size,
            layer.stride,
            # It is never called, and does not take 'same' with a stride.
            0,
            layer.dilation,
            layer.groups,
            padding_mode=layer.padding_mode,
            **options,
        )
    with torch.no_grad():
        for parameter in stock.parameters():
            parameter.fill_(float('nan'))
    if layer.bias is not None and layer.bias.dim() == 1:
        stock.bias = layer.bias
    return stock.train(layer.training)


def _announce(
    model: nn.Module, stand_ins: Dict[DynamicConv2d, nn.Module]
) -> None:
    """Add the new parameters to MMEngine's record of who set which.

    It refuses parameters that it met nowhere before.
    """
    record = getattr(model, '_params_init_info', None)
    if record is None:
        return
    for stand_in in stand_ins.values():
        for parameter in stand_in.parameters():
            record.setdefault(
                parameter, dict(init_info='', tmp_mean_value=torch.zeros(()))
            )


def _is_set(value: Tensor) -> bool:
    return not bool(value.isnan().any())
