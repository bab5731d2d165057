"""What a comparison of methods found: scores, differences, costs, gates."""

import copy
import csv
import math
import statistics
import time
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
from scipy.stats import t as student

from ...engine.models import build_model, load_weights
from ..cost.model_cost import cost_of_config
from ..figures import gates
from ..figures.data import build_data
from ..outputs import pretty_table
from . import curves, runs
from .table import mean_and_spread
from .training import Run

__all__ = [
    'Costs',
    'Difference',
    'costs',
    'gate_movements',
    'paired_difference',
    'step_ratio',
    'write',
]

STOCK = 'stock'
_CONFIDENCE = 0.95


class Difference(NamedTuple):
    """Mean of the differences over seeds, and its 95 % interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f'{self.mean:+.2f} [{self.low:+.2f}, {self.high:+.2f}]'


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


class Costs(NamedTuple):
    """What a model costs.

    Attributes:
        parameters: Number of them; what layers share counts once.
        flops: Of one image; a multiply-add is one.
        shape: ``(H, W)`` of that image.
        not_counted: Operations that are not in them.
    """

    parameters: int
    flops: int
    shape: Tuple[int, int]
    not_counted: Tuple[str, ...]


def costs(cfg: Config, shape: Optional[Tuple[int, int]] = None) -> Costs:
    """Count a config's model.

    Args:
        cfg: The experiment.
        shape: ``(H, W)``; None takes the toolbox's own.
    """
    init_default_scope(cfg.default_scope)
    cost = cost_of_config(cfg, shape)
    missing = cost.count.by(lambda name, part, op: op, 'uncounted')
    return Costs(
        cost.total.params, cost.total.flops, cost.shape, tuple(sorted(missing))
    )


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


def gate_movements(run: Run, images: int) -> Dict[str, float]:
    """How far a trained model's gates move between images.

    Args:
        run: A finished one.
        images: So many of the validation images, spread evenly.

    Returns:
        See :func:`..figures.gates.gate_movements`.
    """
    cfg = Config.fromfile(run.config)
    init_default_scope(cfg.default_scope)
    model = build_model(cfg)
    load_weights(model, str(run.checkpoint))
    return gates.gate_movements(model, build_data(cfg), images)


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
    is predicted to be.
    """
    last: Dict[str, Dict[int, Any]] = {}
    for run in finished:
        last.setdefault(run.method, {})[run.seed] = run.log().val[-1]
    table = []
    for metric in metrics:
        scores = {
            method: {
                seed: point[metric]
                for seed, point in by_seed.items()
                if not math.isnan(point[metric])
            }
            for method, by_seed in last.items()
        }
        for method, own in scores.items():
            difference = None
            if method != STOCK and STOCK in scores:
                difference = paired_difference(own, scores[STOCK])
            table.append(Row(metric, method, own, difference))
    return table


def _moves(movements: Sequence[Mapping[str, float]]) -> Optional[Tuple]:
    """Mean over layers and seeds, and the layer that moves most."""
    values = [value for by_layer in movements for value in by_layer.values()]
    if not values:
        return None
    largest = {
        name: statistics.fmean(m[name] for m in movements)
        for name in movements[0]
    }
    return statistics.fmean(values), max(largest.values())


def write(
    folder: Path,
    finished: Sequence[Run],
    costs: Mapping[str, Costs],
    ratios: Mapping[str, float],
    movements: Mapping[str, Sequence[Mapping[str, float]]],
    notes: Iterable[str],
    metrics: Optional[Sequence[str]] = None,
) -> str:
    """Write ``comparison.md``, ``.csv`` and ``.png``, and ``gates.csv``.

    Args:
        folder: Where to.
        finished: The runs that are.
        costs: By method.
        ratios: Of steps, by method; may be empty.
        movements: By method, :func:`gate_movements` of each run; may be empty.
        notes: Lines to stand below the tables.
        metrics: None takes all that every run has.

    Returns:
        What is in ``comparison.md``.

    Raises:
        ValueError: Not all runs have a metric.
    """
    logs = [run.log() for run in finished]
    metrics = runs.common_metrics(logs, metrics)
    table = rows(finished, metrics)
    price = {
        method: [
            f'{cost.parameters / 1e6:.3f} M',
            f'{cost.flops / 1e9:.3f} G',
            f'{ratios[method]:.2f}' if method in ratios else '-',
            *_written_moves(_moves(movements.get(method, ()))),
        ]
        for method, cost in costs.items()
    }
    scores = pretty_table(
        ['metric', 'method', 'seeds', 'last', 'minus stock [95 %]'],
        [
            [
                row.metric,
                row.method,
                str(len(row.scores)),
                mean_and_spread(list(row.scores.values())),
                '-' if row.difference is None else str(row.difference),
            ]
            for row in table
        ],
        left=2,
    )
    prices = pretty_table(
        ['method', 'parameters', 'FLOPs', 'step, x stock']
        + ['gates move', 'most'],
        [[method, *cells] for method, cells in price.items()],
    )
    parts = [scores.get_string(), prices.get_string(), '\n'.join(notes)]
    text = '\n\n'.join(parts) + '\n'
    folder.mkdir(parents=True, exist_ok=True)
    (folder / 'comparison.md').write_text(text, encoding='utf-8')
    _write_csv(folder / 'comparison.csv', table, costs, ratios, movements)
    _write_gates(folder / 'gates.csv', movements)
    curves.plot_runs(
        runs.group_runs(logs),
        metrics,
        folder / 'comparison.png',
        title='Mean and range over the seeds',
    )
    return text


def _written_moves(moves: Optional[Tuple]) -> List[str]:
    return ['-', '-'] if moves is None else [f'{m:.4f}' for m in moves]


def _write_csv(path, table, costs, ratios, movements) -> None:
    with path.open('w', newline='', encoding='utf-8') as file:
        writer = csv.writer(file)
        writer.writerow(
            ('metric', 'method', 'seeds', 'mean', 'deviation')
            + ('difference', 'low', 'high', 'parameters', 'flops')
            + ('step_ratio', 'gates_move', 'gates_move_most', 'scores')
        )
        for row in table:
            values = list(row.scores.values())
            mean = statistics.fmean(values) if values else None
            deviation = statistics.stdev(values) if len(values) > 1 else None
            cost = costs[row.method]
            writer.writerow(
                (row.metric, row.method, ' '.join(map(str, row.scores)))
                + (mean, deviation)
                + (row.difference or (None,) * 3)
                + (cost.parameters, cost.flops, ratios.get(row.method))
                + (_moves(movements.get(row.method, ())) or (None, None))
                + (' '.join(map(str, values)),)
            )


def _write_gates(path, movements) -> None:
    with path.open('w', newline='', encoding='utf-8') as file:
        writer = csv.writer(file)
        writer.writerow(('method', 'layer', 'mean', 'by_run'))
        for method, by_run in movements.items():
            for layer in by_run[0] if by_run else ():
                values = [moves[layer] for moves in by_run]
                writer.writerow(
                    (method, layer, statistics.fmean(values))
                    + (' '.join(f'{value:.6g}' for value in values),)
                )
