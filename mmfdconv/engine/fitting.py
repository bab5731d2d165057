"""Checkpoints of other layers than the model's.

MMEngine loads what has the right name and the right shape, and logs the rest
as a warning. A dynamic checkpoint that is tested without ``--conv`` then gives
numbers of a backbone that is half random, or lacks its gates.
"""

import copy
from typing import Any, Dict, Mapping, Optional, Tuple

from mmengine.hooks import Hook
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.runner import Runner
from torch import Tensor, nn

from ..convert.reasons import STOCK
from ..layers import DynamicConv2d
from ..registry import LAYERS

_ROUTERS = {name for cls in LAYERS.values() for name in cls.router_names}


class CheckpointMisfit(ValueError):
    """A checkpoint has layers of another kind than the model's."""


def check_layers(model: nn.Module, state_dict: Mapping[str, Tensor]) -> None:
    """Refuse a checkpoint with layers of another kind than the model's.

    A dynamic layer takes what it is said to load: its own parameters, its
    authors', and a stock layer's. Layers that the checkpoint does not have are
    left to MMEngine's warning, and so is everything else.

    Args:
        model: The model.
        state_dict: Of a checkpoint.

    Raises:
        CheckpointMisfit: A layer's parameters are another layer's.
    """
    layers = _layers(model)
    given: Dict[str, Dict[str, Tensor]] = {}
    for key, value in state_dict.items():
        key = key[7:] if key.startswith('module.') else key
        parts = key.split('.')
        for n in range(len(parts) - 1, 0, -1):
            name = '.'.join(parts[:n])
            if name in layers:
                given.setdefault(name, {})['.'.join(parts[n:])] = value
                break
    reasons = {name: _misfit(layers[name], own) for name, own in given.items()}
    wrong = [name for name, reason in reasons.items() if reason]
    if wrong:
        name = wrong[0]
        raise CheckpointMisfit(
            f'checkpoint: {len(wrong)} of its layers do not fit the model; '
            f'{name}, {type(layers[name]).__name__} in the model: '
            f'{reasons[name]}. Build the model as it was for training: with '
            'the config that the training wrote into its work dir, or the '
            'same --conv, --conv-options and --conv-rule'
        )


class FittingHook(Hook):
    """Let :func:`check_layers` look at what a runner loads."""

    priority = 'HIGHEST'

    def after_load_checkpoint(
        self, runner: Runner, checkpoint: Dict[str, Any]
    ) -> None:
        """Look at a checkpoint that was read and is not yet in the model."""
        model = runner.model
        # As MMEngine finds the model that it loads into.
        while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
            model = model.module
        check_layers(model, checkpoint.get('state_dict', checkpoint))


def _layers(model: nn.Module) -> Dict[str, nn.Module]:
    """Dynamic and stock layers, without those inside of dynamic ones."""
    layers: Dict[str, nn.Module] = {}
    inside: Tuple[str, ...] = ()
    for name, module in model.named_modules():
        if name.startswith(inside):
            continue
        if isinstance(module, DynamicConv2d):
            inside += (f'{name}.',)
        if isinstance(module, (DynamicConv2d, *STOCK)):
            layers[name] = module
    return layers


def _misfit(layer: nn.Module, given: Dict[str, Tensor]) -> Optional[str]:
    """Say what of another layer was given to this one, or None."""
    if isinstance(layer, STOCK):
        gates = [key for key in given if key.partition('.')[0] in _ROUTERS]
        return f'has no {", ".join(gates[:3])}' if gates else None
    own = {key: value.shape for key, value in layer.state_dict().items()}
    if own == {key: value.shape for key, value in given.items()}:
        return None
    if 'weight' in given and set(given) <= {'weight', 'bias'}:
        return None  # a stock layer's
    try:
        copy.deepcopy(layer).load_state_dict(given)
    except RuntimeError as error:
        return ' '.join(str(error).split())[:400]
    return None
