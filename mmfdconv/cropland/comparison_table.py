"""What a comparison of methods found: scores, costs, table and curves."""

import csv
import logging
import statistics
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import nn

from ..analysis import speed
from ..analysis.compare import curves, runs
from ..analysis.compare.table import mean_and_spread
from ..analysis.cost import cost_of_config
from ..analysis.outputs import pretty_table
from ..engine.models import build_model
from .comparison import METHODS, Recipe, Run

__all__ = [
    'Costs',
    'MethodRow',
    'costs',
    'line',
    'rows',
    'step_ratios',
    'write',
]

#: Names in the log and in the table, in the paper's order.
SCORES = {
    'cropland/OA': 'OA',
    'cropland/mIoU': 'mIoU',
    'cropland/P': 'P',
    'cropland/R': 'R',
    'cropland/F1': 'F1',
    'cropland/IoU': 'IoU',
}
_CURVES = {
    'cropland/mIoU': 'mIoU, validation (%)',
    'cropland/IoU': 'IoU of farmland, validation (%)',
}


class Costs(NamedTuple):
    """What a model costs.

    Attributes:
        parameters: Number of them; what layers share counts once.
        multiply_adds: Of one image.
        not_counted: Operations that are not in them.
    """

    parameters: int
    multiply_adds: int
    not_counted: Tuple[str, ...]


class MethodRow(NamedTuple):
    """A line of the table; scores by name, a value for each seed."""

    method: str
    seeds: List[int]
    scores: Dict[str, List[float]]
    costs: Costs
    step_seconds: float
    step_ratio: Optional[float]


def _config(recipe: Recipe, method: str) -> Config:
    cfg = recipe.config(method, seed=0)
    init_default_scope(cfg.default_scope)
    return cfg


def _model(recipe: Recipe, method: str) -> nn.Module:
    return build_model(_config(recipe, method))


def _device() -> str:
    """Where MMEngine trains, too."""
    return 'cuda' if torch.cuda.is_available() else 'cpu'


def costs(recipe: Recipe, method: str) -> Costs:
    """Count parameters, and multiply-adds on one image of validation."""
    cost = cost_of_config(_config(recipe, method), recipe.side(train=False))
    uncounted = cost.count.by(lambda name, part, op: op, 'uncounted')
    return Costs(cost.total.params, cost.total.flops, tuple(sorted(uncounted)))


def step_ratios(
    recipe: Recipe, methods: Sequence[str], rounds: int
) -> Dict[str, float]:
    """Time all methods in turns; seconds of a step over the stock model's.

    A step is forward and backward on one batch, without loss, optimizer and
    data. What else the machine does slows all methods alike, unlike the
    times in the logs, which were taken one after the other.
    """
    device = _device()
    names = dict.fromkeys([*methods, speed.STOCK])
    models = {name: _model(recipe, name).to(device) for name in names}
    found = speed.measure(
        'step',
        models,
        torch.randn(recipe.batch_size, 3, *recipe.side(), device=device),
        getattr(torch, recipe.dtype),
        rounds,
    )
    return {result.method: result.step.ratio for result in found}


def rows(
    recipe: Recipe, finished: Sequence[Run], rounds: int = 0
) -> List[MethodRow]:
    """Make the table's lines from what is finished, in the paper's order.

    Args:
        recipe: The recipe of all runs.
        finished: The runs.
        rounds: Turns of :func:`step_ratios`; 0 leaves it out.
    """
    methods = [m for m in METHODS if any(run.method == m for run in finished)]
    ratios = step_ratios(recipe, methods, rounds) if rounds else {}
    table = []
    for method in methods:
        own = [run for run in finished if run.method == method]
        logs = [run.log() for run in own]
        scores = {
            name: [log.val[-1][key] for log in logs]
            for key, name in SCORES.items()
        }
        times = [p['time'] for log in logs for p in log.train if 'time' in p]
        table.append(
            MethodRow(
                method,
                [run.seed for run in own],
                scores,
                costs(recipe, method),
                statistics.median(times),
                ratios.get(method),
            )
        )
    return table


def line(run: Run) -> str:
    """The scores of a run, in one line."""
    last = run.log().val[-1]
    scores = ', '.join(f'{n} {last[key]:.2f}' for key, n in SCORES.items())
    return f'{run}: {scores}'


def to_markdown(table: Sequence[MethodRow]) -> str:
    """The table for people: mean ± standard deviation over the seeds."""
    head = ['method', 'seeds', *SCORES.values()]
    head += ['parameters', 'multiply-adds', 'ms a step', 'x stock']
    lines = []
    for row in table:
        ratio = row.step_ratio
        lines.append(
            [
                METHODS[row.method],
                str(len(row.seeds)),
                *(mean_and_spread(v) for v in row.scores.values()),
                f'{row.costs.parameters / 1e6:.3f} M',
                f'{row.costs.multiply_adds / 1e9:.3f} G',
                f'{row.step_seconds * 1e3:.0f}',
                '-' if ratio is None else f'{ratio:.2f}',
            ]
        )
    return pretty_table(head, lines).get_string()


def notes(recipe: Recipe, table: Sequence[MethodRow], env: Dict) -> str:
    """What the numbers are, below the table."""
    width, height = recipe.image_size()
    seen = [f'{width}x{height}']
    if recipe.resize:
        seen.append(f'shrunk to {recipe.resize}x{recipe.resize}')
    if recipe.crop:
        seen.append(f'random crops of {recipe.crop}x{recipe.crop}')
    high, wide = recipe.side(train=False)
    optimizer = recipe.config('stock', 0).optim_wrapper.optimizer.type
    missing = sorted({op for row in table for op in row.costs.not_counted})
    return '\n'.join(
        [
            f'{recipe.epochs} epochs of {len(recipe.images())} images '
            f'({", ".join(seen)}), batch {recipe.batch_size}, {optimizer}, '
            f'learning rate {recipe.lr:g} ({recipe.schedule}), '
            f'{recipe.dtype}, random initial weights.',
            'Scores of the last epoch on img_dir/val, in percent: mean ± '
            'standard deviation (n - 1) over the seeds; P, R, F1 and IoU are '
            "farmland's.",
            f'Multiply-adds (one is one) of a {wide}x{high} image; not '
            f'counted: {", ".join(missing) or "-"}.',
            'ms a step: median over all training iterations, data included; '
            'x stock: forward and backward in turns with the stock model.',
            ', '.join(f'{key} {value}' for key, value in env.items()),
        ]
    )


def write(
    recipe: Recipe,
    finished: Sequence[Run],
    folder: Path,
    rounds: int = 0,
) -> str:
    """Write ``methods.md``, ``methods.csv`` and ``curves.png``.

    Returns:
        The table with its notes, as it is in ``methods.md``.
    """
    # Building a model logs every one of its layers.
    logging.disable(logging.INFO)
    try:
        table = rows(recipe, finished, rounds)
    finally:
        logging.disable(logging.NOTSET)
    env = speed.environment(_device(), recipe.dtype)
    del env['not_counted']
    text = f'{to_markdown(table)}\n\n{notes(recipe, table, env)}\n'
    folder.mkdir(parents=True, exist_ok=True)
    (folder / 'methods.md').write_text(text, encoding='utf-8')
    _write_csv(table, env, folder / 'methods.csv')
    groups = [
        runs.Group(
            METHODS[row.method],
            [run.log() for run in finished if run.method == row.method],
        )
        for row in table
    ]
    curves.plot_runs(
        groups,
        list(_CURVES),
        folder / 'curves.png',
        names=_CURVES,
        title='Mean and range over the seeds',
    )
    return text


def _write_csv(
    table: Sequence[MethodRow], env: Dict[str, Any], path: Path
) -> None:
    """Write a row for each method and seed."""
    with path.open('w', newline='', encoding='utf-8') as file:
        writer = csv.writer(file)
        head = ('parameters', 'multiply_adds', 'step_s', 'step_ratio')
        writer.writerow(('method', 'seed', *SCORES.values(), *head, *env))
        for row in table:
            for seed, scores in zip(row.seeds, zip(*row.scores.values())):
                writer.writerow(
                    (
                        row.method,
                        seed,
                        *scores,
                        row.costs.parameters,
                        row.costs.multiply_adds,
                        row.step_seconds,
                        row.step_ratio,
                        *env.values(),
                    )
                )
