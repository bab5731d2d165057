"""Schedules of the temperature of dynamic layers."""

import math
from typing import Dict, List, Optional, Sequence, Tuple, Union

from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.registry import HOOKS
from mmengine.runner import IterBasedTrainLoop, Runner
from torch import Tensor, nn

from ..layers import DynamicConv2d
from ..layers.checks import check_choice
from ..layers.expert_conv import ExpertConv2d
from .unwrapped import unwrapped


@HOOKS.register_module()
class TemperatureHook(Hook):
    """Change the temperature of dynamic layers linearly during training.

    The temperature depends only on the number of the epoch or iteration, so a
    resumed run continues like one that was not interrupted. ``by='share'``
    works for trainings of any length and loop. The layers store the
    temperature in a buffer, so checkpoints, averaged models and evaluation
    have its current value.

    The default is DY-Conv's schedule, from 30 to 1 in the first 10 epochs,
    which also suits ODConv. KernelWarehouse goes from assigned cells (1) to
    learned ones (0) in every iteration. It never goes back: layers whose
    loaded weights have a lower temperature keep it until the schedule is
    below, as their cells are no kernels any more.

    Args:
        start (float): Value in the first epoch or iteration.
            Defaults to 30.
        end (float): Value after ``length`` epochs or iterations, and from
            then on. Defaults to 1.
        by (str): Unit of ``length``: ``'epoch'``, ``'iter'``, or ``'share'``
            for a share of all iterations. Defaults to ``'epoch'``.
        length (int or float): Number of epochs or iterations, or share of
            the training, from ``start`` to ``end``. Defaults to 10.
        layer_types (Sequence[str] or str, optional): Types of the layers to
            change, as in a ``conv_cfg``. None: all that have a temperature.
            Defaults to None.

    Raises:
        ValueError: An option is out of range, or, when training begins, the
            model has no layer with a temperature, or none that fits.

    Example:
        >>> # DY-Conv
        >>> custom_hooks = [dict(type='TemperatureHook')]
        >>> # KernelWarehouse, over the first tenth of the training
        >>> custom_hooks = [
        ...     dict(type='TemperatureHook', start=1, end=0, by='share',
        ...          length=0.1)]
    """

    # Before hooks that look at the model, such as EMAHook.
    priority = 'ABOVE_NORMAL'

    def __init__(
        self,
        start: float = 30.0,
        end: float = 1.0,
        by: str = 'epoch',
        length: Union[int, float] = 10,
        layer_types: Optional[Union[str, Sequence[str]]] = None,
    ) -> None:
        for name, value in (('start', start), ('end', end)):
            if not _is_number(value) or not 0 <= value < float('inf'):
                raise ValueError(
                    f'{name} must be a number >= 0, got {value!r}'
                )
        check_choice('by', by, ('epoch', 'iter', 'share'))
        if by == 'share':
            if not _is_number(length) or not 0 < length <= 1:
                raise ValueError(
                    "by='share': length must be above 0 and at most 1, the "
                    'share of the training from start to end, got '
                    f'{length!r}'
                )
        elif type(length) is not int or length < 1:
            raise ValueError(
                f'length must be an integer >= 1, the number of {by}s from '
                f'start to end, got {length!r}'
            )
        if isinstance(layer_types, str):
            layer_types = (layer_types,)
        self.start = start
        self.end = end
        self.by = by
        self.length = length
        self.layer_types = layer_types
        # Each with what it must not exceed.
        self._temperatures: List[Tuple[Tensor, float]] = []

    def value_at(self, step: float) -> float:
        """Temperature in the epoch or iteration ``step``, counted from 0.

        Args:
            step (int or float): With ``by='share'`` the share that is done.
        """
        part = min(step / self.length, 1.0)
        return (1 - part) * self.start + part * self.end

    # ----------------------------------------------------------------- hook

    def before_train(self, runner: Runner) -> None:
        """Find the layers; the weights are loaded by now."""
        by_epoch = not isinstance(runner.train_loop, IterBasedTrainLoop)
        if self.by == 'epoch' and not by_epoch:
            raise ValueError(
                "by='epoch' needs a training loop that counts epochs, got "
                f"{type(runner.train_loop).__name__}; use by='iter' and a "
                'length in iterations'
            )
        model = unwrapped(runner.model)
        layers = self._select(_layers_with_temperature(model))
        self._check_range(layers)
        # EMAHook's update_buffers=True averages temperatures, too, which would
        # lag behind; of equal ones the average is the same again.
        averages = (getattr(hook, 'ema_model', None) for hook in runner.hooks)
        models = [model, *(a.module for a in averages if a is not None)]
        self._temperatures = [
            (t, math.inf if _divides(layer) else float(t))
            for one in models
            for layer in map(one.get_submodule, layers)
            for t in _temperatures(layer)
        ]
        lowered = sum(most < self.start for _, most in self._temperatures)
        length = f'{self.length} {self.by}s'
        if self.by == 'share':
            length = f'{self.length:g} of {runner.max_iters} iters'
        print_log(
            f'TemperatureHook: {self.start:g} -> {self.end:g} over '
            f'{length} in {len(layers)} layers'
            + (f', {lowered} of which begin lower, as loaded' * bool(lowered)),
            logger='current',
        )

    def before_train_epoch(self, runner: Runner) -> None:
        """Set the temperature of this epoch."""
        if self.by == 'epoch':
            self._set(runner, runner.epoch)

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch=None
    ) -> None:
        """Set the temperature of this iteration."""
        if self.by == 'iter':
            self._set(runner, runner.iter)
        elif self.by == 'share':
            self._set(runner, runner.iter / runner.max_iters)

    # -------------------------------------------------------------- helpers

    def _set(self, runner: Runner, step: float) -> None:
        value = self.value_at(step)
        for temperature, most in self._temperatures:
            temperature.fill_(min(value, most))
        runner.message_hub.update_scalar('train/temperature', value)

    def _select(self, found: Dict[str, nn.Module]) -> Dict[str, nn.Module]:
        """The layers of the wanted types."""
        types = sorted({type(layer).__name__ for layer in found.values()})
        if not found:
            raise ValueError(
                'TemperatureHook: the model has no layer with a temperature, '
                'such as DYConv, ODConv or KWConv; take the hook out of '
                'custom_hooks or use such a layer'
            )
        if self.layer_types is None:
            return found
        unknown = [name for name in self.layer_types if name not in types]
        if unknown or not self.layer_types:
            raise ValueError(
                f'layer_types must name some of the layers with a '
                f'temperature in the model, {", ".join(map(repr, types))}, '
                f'got {list(self.layer_types)!r}'
            )
        return {
            name: layer
            for name, layer in found.items()
            if type(layer).__name__ in self.layer_types
        }

    def _check_range(self, layers: Dict[str, nn.Module]) -> None:
        """What a softmax is divided by is above 0, a share is at most 1."""
        for name, layer in layers.items():
            for option in ('start', 'end'):
                value = getattr(self, option)
                if value > 0 if _divides(layer) else value <= 1:
                    continue
                right = '> 0' if _divides(layer) else 'between 0 and 1'
                raise ValueError(
                    f'{option} must be {right} for {type(layer).__name__} '
                    f'({name}), got {value!r}; layer_types=[...] makes a '
                    'hook leave other layers alone'
                )


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _divides(layer: nn.Module) -> bool:
    """Whether logits are divided by it, and it is no share of a mixture."""
    return isinstance(layer, ExpertConv2d)


def _temperatures(layer: nn.Module) -> List[Tensor]:
    """The layer's buffers of that name, its own or its router's."""
    return [
        buffer
        for name, buffer in layer.named_buffers()
        if name.rpartition('.')[2] == 'temperature'
    ]


def _layers_with_temperature(model: nn.Module) -> Dict[str, nn.Module]:
    return {
        name: layer
        for name, layer in model.named_modules()
        if isinstance(layer, DynamicConv2d) and _temperatures(layer)
    }
