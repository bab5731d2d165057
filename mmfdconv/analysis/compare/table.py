"""Final and best metrics of trainings, as a table."""

import csv
import statistics
from pathlib import Path
from typing import Dict, List, NamedTuple, Sequence

from ..outputs import PathLike, check_suffix, pretty_table
from .runs import Group

__all__ = [
    'Summary',
    'lower_is_better',
    'mean_and_spread',
    'summarise',
    'summaries_to_markdown',
    'write_summaries',
]

SUFFIXES = ('.md', '.csv')
_LOWER = ('loss', 'error', 'mae', 'mse')


def lower_is_better(metric: str) -> bool:
    """Whether a metric's best value is its lowest, by its name."""
    last = metric.lower().rpartition('/')[2]
    return any(word in last for word in _LOWER)


class Summary(NamedTuple):
    """One metric of one group.

    Attributes:
        name: Of the group.
        metric: Name of the metric.
        final: Each run's last value.
        best: Each run's best value.
        best_at: Each run's epoch or iteration of it.
        last_at: Each run's epoch or iteration of the last value.
    """

    name: str
    metric: str
    final: List[float]
    best: List[float]
    best_at: List[int]
    last_at: List[int]


def summarise(
    groups: Sequence[Group], metrics: Sequence[str]
) -> List[Summary]:
    """Take final and best values of every group's runs.

    A value that is NaN counts nowhere.
    """
    found = []
    for group in groups:
        for metric in metrics:
            summary = Summary(group.name, metric, [], [], [], [])
            for run in group.runs:
                points = [
                    (p[metric], p.get('step', p['iter']))
                    for p in run.val
                    if p.get(metric) == p.get(metric, 0.0)  # not NaN
                    and metric in p
                ]
                if not points:
                    continue
                sign = -1 if lower_is_better(metric) else 1
                best = max(points, key=lambda point: sign * point[0])
                summary.final.append(points[-1][0])
                summary.last_at.append(points[-1][1])
                summary.best.append(best[0])
                summary.best_at.append(best[1])
            found.append(summary)
    return found


def mean_and_spread(values: Sequence[float], digits: int = 2) -> str:
    """Write mean and standard deviation (n - 1), or the one value."""
    if not values:
        return '-'
    text = f'{statistics.fmean(values):.{digits}f}'
    if len(values) > 1:
        text += f' ± {statistics.stdev(values):.{digits}f}'
    return text


def summaries_to_markdown(
    summaries: Sequence[Summary], digits: int = 2
) -> str:
    """A table: a row for each group, final and best of each metric."""
    metrics = list(dict.fromkeys(s.metric for s in summaries))
    head = ['run', 'runs', 'last at']
    for metric in metrics:
        head += [metric, f'{metric}, best', f'{metric}, best at']
    rows: Dict[str, List[str]] = {}
    for s in summaries:
        row = rows.setdefault(
            s.name, [s.name, str(len(s.final)), _range(s.last_at)]
        )
        row += [
            mean_and_spread(s.final, digits),
            mean_and_spread(s.best, digits),
            _range(s.best_at),
        ]
    return pretty_table(head, rows.values()).get_string()


def _range(steps: Sequence[int]) -> str:
    if not steps:
        return '-'
    low, high = min(steps), max(steps)
    return str(low) if low == high else f'{low}-{high}'


def write_summaries(
    summaries: Sequence[Summary], out: PathLike, digits: int = 2
) -> Path:
    """Write a table: ``.md`` as printed, ``.csv`` with a row for each run.

    Raises:
        ValueError: The ending is neither.
    """
    out = Path(out)
    check_suffix(out, SUFFIXES, 'table')
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix == '.md':
        text = summaries_to_markdown(summaries, digits)
        out.write_text(text + '\n', encoding='utf-8')
        return out
    with out.open('w', newline='', encoding='utf-8') as file:
        writer = csv.writer(file)
        writer.writerow(
            ('name', 'run', 'metric', 'final', 'last_at', 'best', 'best_at')
        )
        for s in summaries:
            values = zip(s.final, s.last_at, s.best, s.best_at)
            for number, row in enumerate(values):
                writer.writerow((s.name, number, s.metric, *row))
    return out
