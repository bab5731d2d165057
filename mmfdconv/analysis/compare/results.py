"""What a comparison of methods found: scores, differences, costs, gates."""

import copy
import math
import statistics
import time
from itertools import chain
from pathlib import Path
from typing import (
    Any,
    Dict,
    Iterable,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
)

import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.runner import set_random_seed
from prettytable import PrettyTable
from scipy.stats import t as student

from ...engine.models import build_model
from ..cost.model_cost import Cost, CostRow
from ..outputs import pretty_table, write_csv
from . import curves, runs
from .table import decimals, mean_and_spread
from .training import Run

STOCK = 'stock'
_CONFIDENCE = 0.95


class Difference(NamedTuple):
    """Mean of the differences over seeds, and its 95 % interval."""

    mean: float
    low: float
    high: float

    def text(self, digits: int) -> str:
        """Write it with so many decimals."""
        mean, low, high = (f'{value:+.{digits}f}' for value in self)
        return f'{mean} [{low}, {high}]'


def paired_difference(
    scores: Mapping[int, float], stock: Mapping[int, float]
) -> Optional[Difference]:
    """Difference to stock, seed by seed.

    What a seed does to both models cancels, so it tells methods apart that
    differ by less than seeds do. Student's t interval.

    Args:
        scores: By seed.
        stock: Likewise.

    Returns:
        None with fewer than two seeds in common.
    """
    pairs = [scores[seed] - stock[seed] for seed in scores if seed in stock]
    if len(pairs) < 2:
        return None
    mean = statistics.fmean(pairs)
    error = statistics.stdev(pairs) / math.sqrt(len(pairs))
    half = error * float(student.ppf((1 + _CONFIDENCE) / 2, len(pairs) - 1))
    return Difference(mean, mean - half, mean + half)


def step_ratio(
    cfg: Config, stock: Config, batch: Mapping[str, Any], rounds: int
) -> float:
    """Time a training step over that of the stock model, in turns.

    A step is what MMEngine calls one: preprocessing, forward pass, losses,
    backward pass and optimizer, on one batch. Loading is not in it. What else
    the machine does slows both alike, unlike the times in the logs.

    Args:
        cfg: The experiment.
        stock: The same with stock convolutions.
        batch: Of the training loader.
        rounds: Turns that count, after two that do not.

    Returns:
        Median over the turns.
    """
    device = 'cuda' if torch.cuda.is_available() else 'cpu'  # as MMEngine
    pairs = []
    for config in (cfg, stock):
        init_default_scope(config.default_scope)
        set_random_seed(0)
        model = build_model(config).to(device).train()
        pairs.append((model, build_optim_wrapper(model, config.optim_wrapper)))
    ratios = []
    for turn in range(rounds + 2):
        seconds = []
        for model, wrapper in pairs:
            own = copy.deepcopy(batch)  # toolboxes write into it
            began = time.perf_counter()
            model.train_step(own, wrapper)
            if device == 'cuda':
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - began)
        if turn > 1:
            ratios.append(seconds[0] / seconds[1])
    return statistics.median(ratios)


# ------------------------------------------------------------------- output


class Row(NamedTuple):
    """One metric of one method."""

    metric: str
    method: str
    scores: Dict[int, float]  # by seed
    difference: Optional[Difference]


def rows(finished: Sequence[Run], metrics: Sequence[str]) -> List[Row]:
    """Take each run's last validation.

    A score that is NaN counts nowhere: the precision of a class that no pixel
    is predicted to be. Nor does one that is missing: mmdet gives none to a
    detector that detects nothing.
    """
    last: Dict[str, Dict[int, Any]] = {}
    for run in finished:
        last.setdefault(run.method, {})[run.seed] = run.log().val[-1]
    return _rows(last, metrics)


def class_rows(finished: Sequence[Run]) -> List[Row]:
    """Take each class's score in each run's last validation.

    Returns:
        Rows whose metric is the score and the class, ``'IoU.road'``; none
        where the logs have no scores of classes.
    """
    last: Dict[str, Dict[int, Dict[str, float]]] = {}
    for run in finished:
        scores = runs.class_scores(run.folder)
        last.setdefault(run.method, {})[run.seed] = {
            f'{name}.{label}': value
            for label, by_name in scores.items()
            for name, value in by_name.items()
        }
    points = [point for by_seed in last.values() for point in by_seed.values()]
    return _rows(last, list(dict.fromkeys(chain(*points))))


def _rows(
    last: Mapping[str, Mapping[int, Mapping[str, float]]],
    metrics: Sequence[str],
) -> List[Row]:
    """Pair the scores with stock's, by method and seed."""
    table = []
    for metric in metrics:
        scores = {
            method: {
                seed: point[metric]
                for seed, point in by_seed.items()
                if not math.isnan(point.get(metric, math.nan))
            }
            for method, by_seed in last.items()
        }
        for method, own in scores.items():
            difference = None
            if method != STOCK and STOCK in scores:
                difference = paired_difference(own, scores[STOCK])
            table.append(Row(metric, method, own, difference))
    return table


def write(
    folder: Path,
    finished: Sequence[Run],
    costs: Mapping[str, Cost],
    ratios: Mapping[str, float],
    movements: Mapping[str, Sequence[Mapping[str, float]]],
    notes: Iterable[str],
    metrics: Optional[Sequence[str]] = None,
) -> str:
    """Write ``comparison.md``, ``.csv`` and ``.png``, and ``gates.csv``.

    A segmentor's classes are in the files, too, each with its first score in
    the former.

    Args:
        folder: Where to.
        finished: The runs that are.
        costs: By method.
        ratios: Of steps, by method; may be empty.
        movements: By method, of each run, how far each layer's gates move,
            see :func:`..figures.gates.gate_movements`; may be empty.
        notes: Lines to stand below the tables.
        metrics: None takes all that every run has.

    Returns:
        What is in ``comparison.md``.

    Raises:
        ValueError: Not all runs have a metric.
    """
    logs = [run.log() for run in finished]
    metrics = runs.common_metrics(logs, metrics)
    table, classes = rows(finished, metrics), class_rows(finished)
    moves = {method: _moves(movements.get(method, ())) for method in costs}
    scores = pretty_table(
        ['metric', 'method', 'seeds', 'last', 'minus stock [95 %]'],
        [_written_scores(row) for row in table],
        left=2,
    )
    prices = pretty_table(
        ['method', 'parameters', 'FLOPs', 'step, x stock']
        + ['gates move', 'most'],
        [
            [
                method,
                f'{cost.total.params / 1e6:.3f} M',
                f'{cost.total.flops / 1e9:.3f} G',
                _written(ratios.get(method), '.2f'),
                *(_written(move, '.4f') for move in moves[method]),
            ]
            for method, cost in costs.items()
        ],
    )
    parts = [scores, prices, *_class_table(classes), '\n'.join(notes)]
    text = '\n\n'.join(map(str, parts)) + '\n'
    folder.mkdir(parents=True, exist_ok=True)
    (folder / 'comparison.md').write_text(text, encoding='utf-8')
    write_csv(
        folder / 'comparison.csv',
        ('metric', 'method', 'seeds', 'mean', 'deviation')
        + ('difference', 'low', 'high', 'parameters', 'flops')
        + ('step_ratio', 'gates_move', 'gates_move_most', 'scores'),
        (
            _csv_row(
                row,
                costs[row.method].total,
                ratios.get(row.method),
                moves[row.method],
            )
            for row in table + classes
        ),
    )
    write_csv(
        folder / 'gates.csv',
        ('method', 'layer', 'mean', 'by_run'),
        (
            (
                *(method, layer),
                statistics.fmean(moved[layer] for moved in by_run),
                _joined(f'{moved[layer]:.6g}' for moved in by_run),
            )
            for method, by_run in movements.items()
            for layer in (by_run[0] if by_run else ())
        ),
    )
    curves.plot_runs(
        runs.group_runs(logs),
        metrics,
        folder / 'comparison.png',
        title='Mean and range over the seeds',
    )
    return text


def _moves(
    movements: Sequence[Mapping[str, float]],
) -> Tuple[Optional[float], Optional[float]]:
    """Mean over layers and seeds, and the layer that moves most."""
    if not any(movements):
        return None, None
    means = [
        statistics.fmean(moved[layer] for moved in movements)
        for layer in movements[0]
    ]
    return statistics.fmean(means), max(means)


def _written(value: Optional[float], how: str) -> str:
    return '-' if value is None else format(value, how)


def _written_scores(row: Row) -> List[str]:
    values, difference = list(row.scores.values()), '-'
    if row.difference is not None:
        difference = row.difference.text(decimals(values))
    cells = [row.metric, row.method, str(len(values))]
    return [*cells, mean_and_spread(values), difference]


def _class_table(classes: Sequence[Row]) -> List[PrettyTable]:
    """A row for each class: stock's score, the others' differences to it.

    Where stock is missing, or a difference, the score itself.
    """
    if not classes:
        return []
    first = classes[0].metric.partition('.')[0]
    cells: Dict[str, List[str]] = {}
    for row in classes:
        name, _, label = row.metric.partition('.')
        if name == first:
            cell = mean_and_spread(list(row.scores.values()))
            if row.difference is not None:
                cell = row.difference.text(2)
            cells.setdefault(label, [label]).append(cell)
    methods = list(dict.fromkeys(row.method for row in classes))
    return [pretty_table([f'{first} of', *methods], cells.values())]


def _csv_row(
    row: Row, cost: CostRow, ratio: Optional[float], moves: Sequence[Any]
) -> Tuple[Any, ...]:
    values = list(row.scores.values())
    return (
        *(row.metric, row.method, _joined(row.scores)),
        statistics.fmean(values) if values else None,
        statistics.stdev(values) if len(values) > 1 else None,
        *(row.difference or (None,) * 3),
        *(cost.params, cost.flops, ratio, *moves, _joined(values)),
    )


def _joined(values: Iterable[Any]) -> str:
    return ' '.join(map(str, values))
