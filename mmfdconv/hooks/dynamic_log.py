"""Logs what dynamic layers do while they are trained."""

import logging
import math
from contextlib import ExitStack, contextmanager
from typing import Any, Dict, Iterator, Optional, Tuple

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor, nn

from ..analysis.figures.bands import draw_maps
from ..analysis.figures.canvas import pixels
from ..analysis.figures.gates import GateStudy, draw_gates
from ..layers import gate_entropy, has_gates, record_bands, record_gates
from ..layers.checks import check_positive_int
from ..layers.recording import FrequencyBands
from .unwrapped import unwrapped

_SHOWN = 4  # layers whose maps are drawn


@HOOKS.register_module()
class DynamicConvLogHook(Hook):
    """Log gates and frequency bands to the visualizer's backends.

    Every ``interval`` iterations, for every dynamic layer:

    * ``gates/entropy/<layer>``: relative entropy of the gates over the kernels
      (or frequency groups, or cells), averaged over the batch: 1 if all have
      the same weight, 0 if one has all the weight;
    * ``bands/energy<i>/<layer>``: share of the energy of the input in FBM's
      band ``i``, for the first image of the batch; band 0 has the highest
      frequencies;
    * ``bands/map<i>/<layer>``: mean of the band's map; 1 means no change.

    Every ``figure_interval`` iterations it draws use and entropy of all gates
    (``gates``), and the maps of a few FBMs (``bands``).

    The hook does not change the training. The model has forward hooks only in
    an iteration that is logged, and only on the main process. A compiled train
    step does not call hooks, so such an iteration runs uncompiled.

    Args:
        interval (int): Number of iterations between entries.
            Defaults to 200.
        figure_interval (int): Number of iterations between pictures; a
            multiple of ``interval``, or 0 for none. Defaults to 2000.

    Raises:
        ValueError: An option is out of range, or, when training begins, the
            model has no layer that can be logged.

    Example:
        >>> custom_hooks = [dict(type='DynamicConvLogHook')]
        >>> # to local files and TensorBoard
        >>> vis_backends = [
        ...     dict(type='LocalVisBackend'),
        ...     dict(type='TensorboardVisBackend')]
    """

    priority = 'LOW'

    def __init__(
        self, interval: int = 200, figure_interval: int = 2000
    ) -> None:
        check_positive_int('interval', interval)
        if figure_interval != 0:
            check_positive_int('figure_interval', figure_interval)
        if figure_interval % interval:
            raise ValueError(
                f'figure_interval must be a multiple of interval={interval}, '
                f'or 0 for no pictures, got {figure_interval!r}'
            )
        self.interval = interval
        self.figure_interval = figure_interval
        self._recording: Optional[ExitStack] = None
        self._gates: Dict[str, Tensor] = {}
        self._bands: Dict[str, FrequencyBands] = {}
        self._warned = False

    # ----------------------------------------------------------------- hook

    def before_train(self, runner: Runner) -> None:
        """Make sure that there is something to log."""
        if not _can_log(unwrapped(runner.model)):
            raise ValueError(
                'DynamicConvLogHook: the model has no dynamic layer with '
                'gates over kernels, such as FDConv, FADConv or ODConv; take '
                'the hook out of custom_hooks or use such a layer'
            )

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch=None
    ) -> None:
        """Begin to record, if this iteration is one to log."""
        self._stop()  # an iteration that failed left it
        if (runner.iter + 1) % self.interval or not is_main_process():
            return
        model = unwrapped(runner.model)
        with ExitStack() as recording:
            self._gates = recording.enter_context(record_gates(model))
            self._bands = recording.enter_context(record_bands(model))
            recording.enter_context(_uncompiled(runner.model))
            self._recording = recording.pop_all()

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch=None, outputs=None
    ) -> None:
        """Write what was recorded."""
        if self._recording is None:
            return
        self._stop()
        step = runner.iter + 1
        scalars = {**_gate_scalars(self._gates), **_band_scalars(self._bands)}
        if scalars:
            runner.visualizer.add_scalars(scalars, step=step)
        elif not self._warned:
            self._warned = True
            print_log(
                'DynamicConvLogHook: no dynamic layer ran as a module of its '
                'own, as happens inside a compiled part of the model; '
                'nothing is logged',
                logger='current',
                level=logging.WARNING,
            )
        if self.figure_interval and step % self.figure_interval == 0:
            for name, figure in self._figures(step):
                runner.visualizer.add_image(name, pixels(figure), step=step)
        self._gates, self._bands = {}, {}

    def after_train(self, runner: Runner) -> None:
        """Leave nothing in the model."""
        self._stop()

    # -------------------------------------------------------------- helpers

    def _figures(self, step: int) -> Iterator[Tuple[str, Any]]:
        study = GateStudy.of(self._gates)
        if study.layers:
            yield 'gates', draw_gates(study, f'Gates at iteration {step}')
        if self._bands:
            # The first layer, the last, and some between.
            names = list(self._bands)
            stride = max(-(-(len(names) - 1) // (_SHOWN - 1)), 1)
            chosen = dict.fromkeys([*names[::stride], names[-1]])
            yield 'bands', draw_maps({n: self._bands[n] for n in chosen})

    def _stop(self) -> None:
        if self._recording is not None:
            self._recording.close()
            self._recording = None


def _gate_scalars(gates: Dict[str, Tensor]) -> Dict[str, float]:
    means = {
        name: gate_entropy(gate).mean() / math.log(gate.shape[-1])
        for name, gate in gates.items()
        if gate.shape[-1] > 1 and gate.numel()
    }
    return _numbers({f'gates/entropy/{n}': v for n, v in means.items()})


def _band_scalars(bands: Dict[str, FrequencyBands]) -> Dict[str, float]:
    values = {}
    for name, (energy, maps) in bands.items():
        for i, share in enumerate(energy):
            values[f'bands/energy{i}/{name}'] = share
        for i, mean in enumerate(maps.mean(dim=(0, 2, 3))):
            values[f'bands/map{i}/{name}'] = mean
    return _numbers(values)


def _numbers(values: Dict[str, Tensor]) -> Dict[str, float]:
    """Tensors as numbers; a GPU is waited for once, not once per number."""
    if not values:
        return {}
    stacked = torch.stack([value.double() for value in values.values()])
    return dict(zip(values, stacked.tolist()))


def _can_log(model: nn.Module) -> bool:
    return any(
        has_gates(m) or getattr(m, 'FBM', None) is not None
        for m in model.modules()
    )


@contextmanager
def _uncompiled(model: nn.Module) -> Iterator[None]:
    """Put the train step as it was before MMEngine compiled it."""
    compiled = vars(model).get('train_step')
    original: Any = getattr(compiled, '_torchdynamo_orig_callable', None)
    if original is None:
        yield
        return
    model.train_step = original
    try:
        yield
    finally:
        model.train_step = compiled
