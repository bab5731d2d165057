"""Fold batch norms of a model with dynamic layers."""

from functools import lru_cache
from typing import Any, Iterator, List, Optional, Tuple, Type

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_weights

from ..layers import DynamicConv2d


def fuse_conv_bn(module: nn.Module) -> nn.Module:
    """Fold every batch norm into the convolution right before it, in place.

    Use it instead of mmcv's function of this name. If a static convolution,
    a dynamic one and a batch norm follow each other, mmcv folds the norm into
    the static convolution. Here a batch norm that follows a dynamic layer
    stays.

    Args:
        module: The model. As in mmcv, the children of a module are assumed to
            be called in the order in which they were registered.

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


def refuse_misfolding_(model: nn.Module) -> List[str]:
    """Let mmcv's function fail where it would fold a norm into a wrong layer.

    It asks neither the norm nor the dynamic layer. So the convolution that
    would take the norm refuses a new weight; its class becomes a subclass of
    what it was.

    Args:
        model: A converted one; changed in place.

    Returns:
        A sentence for each norm.
    """
    notes = []
    for norm, name in _misfolded(model):
        conv = model.get_submodule(name)
        if not isinstance(conv, _KeepsItsWeight):
            conv.__class__ = _keeping(type(conv))
        notes.append(
            f"mmcv's fuse_conv_bn would fold {norm} into {name}, and is "
            'refused; take mmfdconv.convert.fuse_conv_bn'
        )
    return notes


class _KeepsItsWeight:
    """Mixed into the class of a convolution that no norm follows."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name == 'weight' and name in self.__dict__.get('_parameters', ()):
            raise ValueError(
                'fuse_conv_bn: a dynamic layer stands between this '
                'convolution and the batch norm that would be folded into '
                'it; take mmfdconv.convert.fuse_conv_bn in place of '
                "mmcv's"
            )
        super().__setattr__(name, value)

    def _load_from_state_dict(self, *args: Any) -> None:
        # With assign=True a checkpoint's weight is set, too.
        keeping = type(self)
        self.__class__ = keeping.__mro__[2]
        try:
            self._load_from_state_dict(*args)
        finally:
            self.__class__ = keeping

    def __reduce_ex__(self, protocol: int) -> Tuple:
        # The class is made at run time and cannot be found by name.
        return _restore, (type(self).__mro__[2],), self.__dict__.copy()


@lru_cache(maxsize=None)
def _keeping(cls: Type[nn.Module]) -> Type[nn.Module]:
    return type(
        cls.__name__, (_KeepsItsWeight, cls), {'__module__': cls.__module__}
    )


def _restore(cls: Type[nn.Module]) -> nn.Module:
    new = _keeping(cls)
    return new.__new__(new)


def _misfolded(model: nn.Module) -> Iterator[Tuple[str, str]]:
    """Yield names: a batch norm, and where mmcv's function would fold it."""
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
