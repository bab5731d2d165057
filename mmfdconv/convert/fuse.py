"""Fold batch norms of a model with dynamic layers."""

from typing import Iterator, Optional, Tuple

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_weights

from ..layers import DynamicConv2d

__all__ = ['fuse_conv_bn', 'misfolded']


def fuse_conv_bn(module: nn.Module) -> nn.Module:
    """Fold every batch norm into the convolution right before it, in place.

    Stands in for mmcv's function of this name, which remembers a convolution
    across whatever follows it. Of a static convolution, a dynamic one and a
    batch norm, in this order, it folds the norm into the static one. Here a
    batch norm that follows a dynamic layer stays.

    Args:
        module: The model; children of a module count as being called in the
            order in which they were registered, as in mmcv.

    Returns:
        ``module``.
    """
    last: Optional[nn.Module] = None
    for name, child in list(module.named_children()):
        if isinstance(child, _BatchNorm) and isinstance(last, nn.Conv2d):
            last.weight, last.bias = fuse_conv_bn_weights(
                last.weight,
                last.bias,
                child.running_mean,
                child.running_var,
                child.eps,
                child.weight,
                child.bias,
            )
            setattr(module, name, nn.Identity())
        else:
            fuse_conv_bn(child)
        last = child
    return module


def misfolded(model: nn.Module) -> Iterator[Tuple[str, str]]:
    """Yield the batch norms that mmcv's function would fold elsewhere.

    Yields:
        The name of the batch norm and of the convolution.
    """
    for prefix, module in model.named_modules():
        last, between = None, False
        for name, child in module.named_children():
            full = f'{prefix}.{name}' if prefix else name
            if isinstance(child, nn.Conv2d):
                last, between = full, False
            elif isinstance(child, DynamicConv2d):
                between = True
            elif isinstance(child, _BatchNorm):
                if last is not None and between:
                    yield full, last
                last = None
