"""What an entry of the log hook adds to a training step."""

import statistics
import time
from typing import Dict, List, NamedTuple

import torch
from torch import Tensor, nn

from ..hooks import DynamicConvLogHook
from .benchmark import Candidate

__all__ = ['HookCost', 'measure_hook']


class HookCost(NamedTuple):
    """Medians, in seconds, and at what intervals they arise."""

    step: float  # without the hook
    entry: float  # what an entry adds
    pictures: float  # what pictures add to an entry
    interval: int
    figure_interval: int

    @property
    def share(self) -> float:
        """What the hook adds on average, over a step."""
        added = self.entry / self.interval
        return (added + self.pictures / self.figure_interval) / self.step


class _Training:
    """As much of a runner as the hook looks at."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.visualizer = self
        self.iter = 0

    def add_scalars(self, scalars: dict, step: int) -> None:
        """Take what a visualizer would write."""

    def add_image(self, name: str, image, step: int) -> None:
        """Take what a visualizer would write."""


def measure_hook(model: nn.Module, x: Tensor, rounds: int = 10) -> HookCost:
    """Let plain steps, steps with an entry and with pictures take turns.

    Args:
        model: With dynamic layers.
        x: Its input.
        rounds: Turns that count, after one that warms up.

    Raises:
        ValueError: There are no rounds, or nothing that the hook could log.
    """
    if rounds < 1:
        raise ValueError(f'rounds must be at least 1, got {rounds}')
    candidate = Candidate(model, x, torch.float32)
    hook = DynamicConvLogHook()
    iterations = dict(
        plain=0,
        entry=hook.interval - 1,
        pictures=hook.figure_interval - 1,
    )
    training = _Training(model)
    hook.before_train(training)
    times: Dict[str, List[float]] = {name: [] for name in iterations}
    for turn in range(rounds + 1):
        for name, training.iter in iterations.items():
            start = time.perf_counter()
            hook.before_train_iter(training, training.iter)
            candidate.step()
            hook.after_train_iter(training, training.iter)
            if x.is_cuda:
                torch.cuda.synchronize()
            if turn:
                times[name].append(time.perf_counter() - start)
    step, entry, pictures = (statistics.median(t) for t in times.values())
    return HookCost(
        step,
        entry - step,
        pictures - entry,
        hook.interval,
        hook.figure_interval,
    )
