"""Final and best metrics of trainings, as a table."""

import math
import statistics
from pathlib import Path
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence

from ..outputs import PathLike, check_suffix, pretty_table, write_csv
from .runs import RunLog

SUFFIXES = ('.md', '.csv')
_LOWER = ('loss', 'error', 'mae', 'mse')


def lower_is_better(metric: str) -> bool:
    """Whether a metric's best value is its lowest, by its name."""
    last = metric.lower().rpartition('/')[2]
    return any(word in last for word in _LOWER)


class Summary(NamedTuple):
    """One metric of one run; None where it has no value but NaN.

    Attributes:
        name: Of the run's group.
        run: Its number in the group.
        metric: Name of the metric.
        final: Last value.
        last_at: Epoch or iteration of it.
        best: Best value.
        best_at: Epoch or iteration of it.
    """

    name: str
    run: int
    metric: str
    final: Optional[float]
    last_at: Optional[int]
    best: Optional[float]
    best_at: Optional[int]


def summarise(
    groups: Mapping[str, Sequence[RunLog]], metrics: Sequence[str]
) -> List[Summary]:
    """Take final and best values of every group's runs.

    A value that is NaN counts nowhere.
    """
    found = []
    for name, runs in groups.items():
        for metric in metrics:
            sign = -1 if lower_is_better(metric) else 1
            for number, run in enumerate(runs):
                points = [
                    (point[metric], point.get('step', point['iter']))
                    for point in run.val
                    if not math.isnan(point.get(metric, math.nan))
                ]
                scores = (None,) * 4
                if points:
                    best = max(points, key=lambda point: sign * point[0])
                    scores = (*points[-1], *best)
                found.append(Summary(name, number, metric, *scores))
    return found


def decimals(values: Sequence[float]) -> int:
    """How many decimals scores need: of shares, such as COCO's, more."""
    return 2 if max(map(abs, values), default=0) > 1 else 4


def mean_and_spread(values: Sequence[float]) -> str:
    """Write mean and standard deviation (n - 1), or the one value."""
    if not values:
        return '-'
    digits = decimals(values)
    text = f'{statistics.fmean(values):.{digits}f}'
    if len(values) > 1:
        text += f' ± {statistics.stdev(values):.{digits}f}'
    return text


def summaries_to_markdown(summaries: Sequence[Summary]) -> str:
    """A table: a row for each group, final and best of each metric."""
    metrics = list(dict.fromkeys(s.metric for s in summaries))
    head = ['run', 'runs', 'last at']
    for metric in metrics:
        head += [metric, f'{metric}, best', f'{metric}, best at']
    rows: Dict[str, List[str]] = {}
    for name in dict.fromkeys(s.name for s in summaries):
        for metric in metrics:
            own = [
                s
                for s in summaries
                if (s.name, s.metric) == (name, metric) and s.final is not None
            ]
            first = [name, str(len(own)), _range([s.last_at for s in own])]
            rows.setdefault(name, first).extend(
                [
                    mean_and_spread([s.final for s in own]),
                    mean_and_spread([s.best for s in own]),
                    _range([s.best_at for s in own]),
                ]
            )
    return pretty_table(head, rows.values()).get_string()


def _range(steps: Sequence[int]) -> str:
    if not steps:
        return '-'
    low, high = min(steps), max(steps)
    return str(low) if low == high else f'{low}-{high}'


def write_summaries(summaries: Sequence[Summary], out: PathLike) -> None:
    """Write a table: ``.md`` as printed, ``.csv`` with a row for each run.

    Raises:
        ValueError: The ending is neither.
    """
    out = Path(out)
    check_suffix(out, SUFFIXES, 'table')
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix.lower() == '.md':
        text = summaries_to_markdown(summaries)
        out.write_text(text + '\n', encoding='utf-8')
    else:
        write_csv(out, Summary._fields, summaries)
