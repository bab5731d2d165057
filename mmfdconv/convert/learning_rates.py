"""Learning rates of what a stock recipe knows nothing of: cells, routers."""

from contextlib import contextmanager
from typing import Any, Collection, Dict, Iterator, Mapping, Optional, Tuple

from mmengine.config import Config
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn
from torch.optim import Optimizer

from ..layers import DynamicConv2d
from ..layers.checks import check_positive

#: The option that multiplies the rates of routers.
ROUTER_RATE = 'router_lr_mult'
#: Constructors of mmdet and mmseg that read a rate off a parameter's name.
_BY_NAME = (
    'LearningRateDecayOptimizerConstructor',
    'LayerDecayOptimizerConstructor',
)


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class DynamicOptimConstructor:
    """Build the optimizer with another constructor, and adapt learning rates.

    Routers, the parameters that predict gates, get ``router_lr_mult`` times
    their learning rate. Their other settings stay the same.

    Cells that several layers share get the learning rate of the first of these
    layers. mmdet's and mmseg's ``LearningRateDecayOptimizerConstructor`` and
    ``LayerDecayOptimizerConstructor`` derive the depth of a parameter from its
    name, and would give KernelWarehouse's cells,
    ``backbone.warehouse_manager.weights.0``, the rate of the head. So the
    other constructor sees the cells under the name of that layer's weight.
    (mmpretrain's constructor asks the backbone, and needs no change.)

    Args:
        optim_wrapper_cfg: ``optim_wrapper`` of the config.
        paramwise_cfg: ``paramwise_cfg`` of the other constructor, and in
            addition ``constructor``, its name (default: MMEngine's default
            constructor), and ``router_lr_mult`` (default: 1).

    Raises:
        ValueError: ``router_lr_mult`` is not a positive number.

    Example::

        >>> optim_wrapper = dict(
        ...     constructor='DynamicOptimConstructor',
        ...     paramwise_cfg=dict(
        ...         constructor='LearningRateDecayOptimizerConstructor',
        ...         decay_rate=0.95, decay_type='layer_wise', num_layers=6,
        ...         router_lr_mult=0.1))
    """

    def __init__(
        self,
        optim_wrapper_cfg: Mapping[str, Any],
        paramwise_cfg: Optional[Mapping[str, Any]] = None,
    ) -> None:
        paramwise_cfg = dict(paramwise_cfg or {})
        self.router_lr_mult = paramwise_cfg.pop(ROUTER_RATE, 1)
        check_positive(ROUTER_RATE, self.router_lr_mult)
        self.constructor = OPTIM_WRAPPER_CONSTRUCTORS.build(
            dict(
                type=paramwise_cfg.pop(
                    'constructor', 'DefaultOptimWrapperConstructor'
                ),
                optim_wrapper_cfg=optim_wrapper_cfg,
                paramwise_cfg=paramwise_cfg,
            )
        )

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the optimizer of ``model`` and its wrapper."""
        if is_model_wrapper(model):
            model = model.module
        with _cells_named_by_layer(model):
            wrapper = self.constructor(model)
        if self.router_lr_mult != 1:
            routers = {
                id(parameter)
                for layer in model.modules()
                if isinstance(layer, DynamicConv2d)
                for parameter in layer.router_parameters()
            }
            _scale_rates_(wrapper.optimizer, routers, self.router_lr_mult)
        return wrapper


def set_rates_(cfg: Config, shares: bool, router_rate: float) -> None:
    """Put :class:`DynamicOptimConstructor` around a config's constructor.

    In place, and only where it changes anything.

    Args:
        cfg: An experiment.
        shares: Whether its layers share cells.
        router_rate: What multiplies the learning rates of routers.

    Raises:
        ValueError: The factor is no positive number, or there is no optimizer
            that it could hold for.
    """
    check_positive(ROUTER_RATE, router_rate)
    wrapper = cfg.get('optim_wrapper') or {}
    constructor = wrapper.get('constructor')
    name = str(getattr(constructor, '__name__', constructor))
    decays = name.rpartition('.')[2] in _BY_NAME
    if router_rate == 1 and not (shares and decays):
        return
    if 'optimizer' not in wrapper and router_rate != 1:
        raise ValueError(
            f'{ROUTER_RATE}={router_rate} needs a config with '
            'optim_wrapper=dict(optimizer=...)'
        )
    paramwise = dict(wrapper.get('paramwise_cfg') or {})
    if constructor is not None:
        paramwise['constructor'] = constructor
    if router_rate != 1:
        paramwise[ROUTER_RATE] = router_rate
    wrapper['constructor'] = DynamicOptimConstructor.__name__
    wrapper['paramwise_cfg'] = paramwise


def unset_rates_(cfg: Config) -> None:
    """Undo :func:`set_rates_`, in place."""
    wrapper = cfg.get('optim_wrapper') or {}
    if wrapper.get('constructor') != DynamicOptimConstructor.__name__:
        return
    paramwise = dict(wrapper.get('paramwise_cfg') or {})
    paramwise.pop(ROUTER_RATE, None)
    constructor = paramwise.pop('constructor', None)
    wrapper.pop('constructor')
    wrapper.pop('paramwise_cfg', None)
    if constructor is not None:
        wrapper['constructor'] = constructor
    if paramwise:
        wrapper['paramwise_cfg'] = paramwise


def _scale_rates_(
    optimizer: Optimizer, chosen: Collection[int], factor: float
) -> None:
    """Give parameters, by ``id``, groups of their own with scaled rates."""
    for group in list(optimizer.param_groups):
        own = [p for p in group['params'] if id(p) in chosen]
        rest = [p for p in group['params'] if id(p) not in chosen]
        rate = group['lr'] * factor
        if own and rest:
            group['params'] = rest
            optimizer.add_param_group({**group, 'params': own, 'lr': rate})
        elif own:
            group['lr'] = rate


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
