"""Optimizer settings of what a stock recipe knows nothing of."""

from contextlib import contextmanager
from typing import Any, Dict, Iterator, List, Mapping, Optional

from mmengine.config import Config
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
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
#: Options of a recipe that the names or classes of layers decide.
_BY_LAYER = {'custom_keys', 'dwconv_decay_mult'}
#: Options of a recipe that go by the name ``bias``.
_BY_BIAS = {'bias_lr_mult', 'bias_decay_mult'}
_NORMS = (_BatchNorm, nn.GroupNorm, nn.LayerNorm)
#: Of a parameter group, what belongs to its own parameters; the second line
#: is what the constructors of a decay over the layers write down beside it.
_OWN = (
    *('params', 'lr', 'initial_lr', 'lr_mult', 'decay_mult'),
    *('lr_scale', 'layer_id', 'param_name', 'param_names', 'group_name'),
)


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class DynamicOptimConstructor:
    """Build the optimizer with another constructor that knows stock layers.

    Routers, the parameters that predict gates, get ``router_lr_mult`` times
    their learning rate.

    Norms of gates get the weight decay of the norms next to their layer: a
    recipe that spares norms by their names, such as ``.ln``, does not know
    these. What LARS leaves out gets their learning rate, too. Where the
    nearest norms differ among themselves, nothing changes.

    Cells that several layers share get the settings of the first of these
    layers. A recipe with ``custom_keys``, and mmdet's and mmseg's
    ``LearningRateDecayOptimizerConstructor`` and
    ``LayerDecayOptimizerConstructor``, go by the names of parameters, and
    would take ``backbone.warehouse_manager.weights.0``, KernelWarehouse's
    cells, for a part of no layer. So the other constructor sees them as the
    weight of that layer. (mmpretrain's asks the backbone, and would not need
    it.)

    ``dwconv_decay_mult`` holds for dynamic depthwise convolutions, too, and
    ``bias_lr_mult`` and ``bias_decay_mult`` for the biases of routers, as for
    those of squeeze-and-excitation.

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
        with _stock_in_name(model):
            wrapper = self.constructor(model)
        groups = {
            id(parameter): group
            for group in wrapper.optimizer.param_groups
            for parameter in group['params']
        }
        changes = _as_nearest_norms(model, groups)
        if self.router_lr_mult != 1:
            for layer in _dynamic_layers(model):
                for parameter in map(id, layer.router_parameters()):
                    if parameter in groups:
                        change = changes.setdefault(parameter, {})
                        rate = change.get('lr', groups[parameter]['lr'])
                        change['lr'] = rate * self.router_lr_mult
        _regroup_(wrapper.optimizer, changes)
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
    paramwise = dict(wrapper.get('paramwise_cfg') or {})
    asks = {key for key, value in paramwise.items() if value is not None}
    unknown = shares and (decays or asks & _BY_BIAS)
    if router_rate == 1 and not unknown and not asks & _BY_LAYER:
        return
    if 'optimizer' not in wrapper and router_rate != 1:
        raise ValueError(
            f'{ROUTER_RATE}={router_rate} needs a config with '
            'optim_wrapper=dict(optimizer=...)'
        )
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


def _dynamic_layers(model: nn.Module) -> List[DynamicConv2d]:
    return [m for m in model.modules() if isinstance(m, DynamicConv2d)]


def _as_nearest_norms(
    model: nn.Module, groups: Mapping[int, Dict[str, Any]]
) -> Dict[int, Dict[str, Any]]:
    """What norms of gates need to be treated as the norms next to them.

    Args:
        model: A converted one.
        groups: The group of every parameter, by its ``id``.

    Returns:
        Settings by the ``id`` of a parameter.
    """
    gates = {m for layer in _dynamic_layers(model) for m in layer.modules()}

    def beside(above: nn.Module, kind: str) -> List[Dict[str, Any]]:
        norms = (m for m in above.modules() if isinstance(m, _NORMS))
        found = (id(getattr(m, kind)) for m in norms if m not in gates)
        return [groups[p] for p in found if p in groups]

    changes: Dict[int, Dict[str, Any]] = {}
    modules = dict(model.named_modules())
    for name, layer in modules.items():
        if not isinstance(layer, DynamicConv2d):
            continue
        norms = [m for m in layer.modules() if isinstance(m, _NORMS)]
        for kind in ('weight', 'bias') if norms else ():
            above, found = name, []
            while above and not found:
                above = above.rpartition('.')[0]
                found = beside(modules[above], kind)
            settings = [
                {key: group[key] for key in group if key not in _OWN}
                for group in found
            ]
            if not found or any(other != settings[0] for other in settings):
                continue
            if settings[0].get('lars_exclude'):
                # Its rate is one without LARS, and so are theirs.
                settings[0]['lr'] = min(group['lr'] for group in found)
            own = (id(getattr(norm, kind)) for norm in norms)
            changes.update({p: dict(settings[0]) for p in own if p in groups})
    return changes


def _regroup_(
    optimizer: Optimizer, changes: Mapping[int, Dict[str, Any]]
) -> None:
    """Give parameters, by ``id``, other settings, in groups of their own."""
    for group in list(optimizer.param_groups):
        parts: List[tuple] = []
        for parameter in group['params']:
            wanted = {**group, **changes.get(id(parameter), {})}
            del wanted['params']
            same = [params for other, params in parts if other == wanted]
            if same:
                same[0].append(parameter)
            else:
                parts.append((wanted, [parameter]))
        for number, (settings, params) in enumerate(parts):
            if number == 0:
                group.update(settings, params=params)
            else:
                optimizer.add_param_group({**settings, 'params': params})


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
def _stock_in_name(model: nn.Module) -> Iterator[None]:
    """Let the parameters of a model be found where a stock one has them.

    Cells are the weight of their first layer; KernelWarehouse's
    ``basis_bias`` is the bias that its routers have otherwise; and layers are
    an ``nn.Conv2d``, by which MMEngine knows a depthwise convolution.
    """
    moves = [
        (own, 'basis_bias', own, 'bias')
        for own in (module._parameters for module in model.modules())
        if 'basis_bias' in own
    ]
    for name, weight in names_by_layer(model).items():
        holder, _, key = name.rpartition('.')
        holder = model.get_submodule(holder)._parameters
        layer = model.get_submodule(weight.rpartition('.')[0])._parameters
        moves.append((holder, key, layer, 'weight'))
    for holder, key, to, new in moves:
        to[new] = holder.pop(key)
    layers = {layer: type(layer) for layer in _dynamic_layers(model)}
    for layer, cls in layers.items():
        layer.__class__ = type(cls.__name__, (cls, nn.Conv2d), {})
    try:
        yield
    finally:
        for layer, cls in layers.items():
            layer.__class__ = cls
        for holder, key, to, new in moves:
            holder[key] = to.pop(new)
