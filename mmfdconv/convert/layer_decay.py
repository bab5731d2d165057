"""Layer-wise learning rates for cells and whatever else layers share."""

from contextlib import contextmanager
from typing import Any, Dict, Iterator, Mapping, Optional, Tuple

from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn

from ..layers import DynamicConv2d

__all__ = [
    'SharedCellsConstructor',
    'names_by_layer',
    'share_rates_',
    'unshare_rates_',
]

#: Constructors of mmdet and mmseg that read a rate off a parameter's name.
_BY_NAME = (
    'LearningRateDecayOptimizerConstructor',
    'LayerDecayOptimizerConstructor',
)


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class SharedCellsConstructor:
    """Build the optimizer by another constructor, cells named by layers.

    mmdet's and mmseg's ``LearningRateDecayOptimizerConstructor`` and
    ``LayerDecayOptimizerConstructor`` read from the name of a parameter how
    deep it lies, and give what stands in no stage the rate of the head.
    KernelWarehouse's cells do, ``backbone.warehouse_manager.weights.0``. For
    the constructor they are named as the weight of the first layer that
    shares them. (mmpretrain's constructor asks the backbone and needs no such
    help.)

    Args:
        optim_wrapper_cfg: The config's.
        paramwise_cfg: The other constructor's, and under ``constructor`` its
            name.

    Raises:
        ValueError: ``paramwise_cfg`` names no constructor.

    Example::

        >>> optim_wrapper = dict(
        ...     constructor='SharedCellsConstructor',
        ...     paramwise_cfg=dict(
        ...         constructor='LearningRateDecayOptimizerConstructor',
        ...         decay_rate=0.95, decay_type='layer_wise', num_layers=6))
    """

    def __init__(
        self,
        optim_wrapper_cfg: Mapping[str, Any],
        paramwise_cfg: Optional[Mapping[str, Any]] = None,
    ) -> None:
        paramwise_cfg = dict(paramwise_cfg or {})
        constructor = paramwise_cfg.pop('constructor', None)
        if constructor is None:
            raise ValueError(
                'paramwise_cfg must name the constructor that sets the '
                "learning rates, constructor='LearningRateDecayOptimizer"
                f"Constructor', got {paramwise_cfg!r}"
            )
        self.constructor = OPTIM_WRAPPER_CONSTRUCTORS.build(
            dict(
                type=constructor,
                optim_wrapper_cfg=optim_wrapper_cfg,
                paramwise_cfg=paramwise_cfg,
            )
        )

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the optimizer of ``model`` and its wrapper."""
        if is_model_wrapper(model):
            model = model.module
        with _cells_named_by_layer(model):
            return self.constructor(model)


def share_rates_(cfg: Mapping[str, Any]) -> None:
    """Put :class:`SharedCellsConstructor` around a constructor, in place.

    Args:
        cfg: A config; one whose constructor goes by other means stays.
    """
    wrapper = cfg.get('optim_wrapper') or {}
    constructor = wrapper.get('constructor')
    name = str(getattr(constructor, '__name__', constructor))
    if name.rpartition('.')[2] in _BY_NAME:
        wrapper['constructor'] = SharedCellsConstructor.__name__
        wrapper['paramwise_cfg']['constructor'] = constructor


def unshare_rates_(cfg: Mapping[str, Any]) -> None:
    """Undo :func:`share_rates_`, in place."""
    wrapper = cfg.get('optim_wrapper') or {}
    if wrapper.get('constructor') == SharedCellsConstructor.__name__:
        constructor = dict.pop(wrapper['paramwise_cfg'], 'constructor')
        wrapper['constructor'] = constructor


def names_by_layer(model: nn.Module) -> Dict[str, str]:
    """Say where the cells would stand if each belonged to one layer.

    The cells of a warehouse belong to the first of its layers. Under a
    learning rate that decays towards the input this is the lowest rate of
    all that share them, so that no layer's kernel moves faster than the decay
    lets it.

    Args:
        model: A converted backbone, or a model with some.

    Returns:
        Name of the parameter -> the name that the stock weight has there.
    """
    first: Dict[int, str] = {}
    for name, layer in model.named_modules():
        if isinstance(layer, DynamicConv2d):
            for parameter in layer.shared_parameters():
                first.setdefault(id(parameter), f'{name}.weight')
    return {
        name: first[id(parameter)]
        for name, parameter in model.named_parameters()
        if id(parameter) in first
    }


@contextmanager
def _cells_named_by_layer(model: nn.Module) -> Iterator[None]:
    """Let ``named_parameters()`` of this one model give other names."""
    names = names_by_layer(model)
    stock = model.named_parameters

    def named_parameters(
        *args: Any, **kwargs: Any
    ) -> Iterator[Tuple[str, nn.Parameter]]:
        for name, parameter in stock(*args, **kwargs):
            yield names.get(name, name), parameter

    model.named_parameters = named_parameters
    try:
        yield
    finally:
        del model.named_parameters
