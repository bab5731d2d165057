"""Logs of trainings, side by side: curves, final and best metrics.

MMEngine writes what it logs to ``<timestamp>/vis_data/scalars.json`` in the
work dir, a folder for every time that a training was started or resumed. Here
they become one history per run, whichever toolbox it was, and runs of one name
(seeds, for instance) become a group.
"""

import csv
import os
import statistics
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Union

from .plots import read_scalars

__all__ = [
    'Group',
    'RunLog',
    'Summary',
    'common_metrics',
    'group_runs',
    'lower_is_better',
    'mean_and_spread',
    'read_run',
    'summarise',
    'summaries_to_markdown',
    'write_summaries',
]

PathLike = Union[str, os.PathLike]
Point = Dict[str, Any]

# What the log has beside metrics.
_NO_METRICS = {'step', 'iter', 'epoch', 'time', 'data_time', 'memory', 'lr'}
_LOWER = ('loss', 'error', 'mae', 'mse')


class RunLog(NamedTuple):
    """History of a run.

    Attributes:
        name: What to call it; runs of one name are a group.
        train: Logged steps, each with its ``iter``, in order.
        val: Validations, each with its ``step`` (an epoch or an iteration, as
            the run counts) and the ``iter`` of training that it followed.
    """

    name: str
    train: List[Point]
    val: List[Point]

    @property
    def by_epoch(self) -> bool:
        """Whether the run counts epochs."""
        return all('epoch' in point for point in self.train)

    def metrics(self) -> List[str]:
        """Names of what validation measured, in order."""
        names = dict.fromkeys(
            key
            for point in self.val
            for key, value in point.items()
            if isinstance(value, (int, float))
        )
        return [name for name in names if name not in _NO_METRICS]


class Group(NamedTuple):
    """Runs of one name."""

    name: str
    runs: List[RunLog]


def read_run(work_dir: PathLike, name: Optional[str] = None) -> RunLog:
    """Read all starts of a run as one history.

    A start that resumes replaces what earlier ones logged from its first
    epoch (or iteration) on.

    Args:
        work_dir: Folder of the run, of mmdet, mmseg or mmpretrain.
        name: What to call it; by default what the folder is called.

    Raises:
        ValueError: There is no such folder or no log of a training in it, or
            a log is damaged.
    """
    folder = Path(work_dir)
    if not folder.is_dir():
        raise ValueError(f'work_dir: {str(work_dir)!r} is not a folder')
    train: List[Point] = []
    val: List[Point] = []
    for path in _logs(folder):
        later_train, later_val = read_scalars(path)
        if not later_train:  # tools/test.py and validation alone
            continue
        key = 'epoch' if 'epoch' in later_train[0] else 'iter'
        if key == 'iter':
            later_val = [
                dict(p, iter=p.get('step', p['iter'])) for p in later_val
            ]
        first = later_train[0][key]
        train = [p for p in train if p.get(key, first) < first]
        last = train[-1]['iter'] if train else 0
        val = [p for p in val if p['iter'] <= last]
        train, val = train + later_train, val + later_val
    if not train:
        raise ValueError(
            f'work_dir: {str(work_dir)!r} holds no log of a training, no '
            '<timestamp>/vis_data/scalars.json with lines of training; name '
            'the --work-dir of a run'
        )
    return RunLog(name or folder.resolve().name, train, val)


def _logs(folder: Path) -> List[Path]:
    """Find the log of each start, in the order of the starts."""
    logs = []
    for vis_data in sorted(folder.glob('*/vis_data')):
        # Both hold the same; the second one is named as its start.
        for name in ('scalars.json', f'{vis_data.parent.name}.json'):
            if (vis_data / name).is_file():
                logs.append(vis_data / name)
                break
    return logs


def group_runs(runs: Sequence[RunLog]) -> List[Group]:
    """Gather the runs of one name, in the order of their first ones."""
    groups: Dict[str, List[RunLog]] = {}
    for run in runs:
        groups.setdefault(run.name, []).append(run)
    return [Group(name, members) for name, members in groups.items()]


def common_metrics(
    runs: Sequence[RunLog], wanted: Optional[Sequence[str]] = None
) -> List[str]:
    """Return the metrics that all runs have, or check the wanted ones.

    Raises:
        ValueError: There are none, or a run lacks a wanted one; it names
            those that each run has.
    """
    names = runs[0].metrics() if wanted is None else list(wanted)
    have = [set(run.metrics()) for run in runs]
    lacking = [name for name in names if any(name not in h for h in have)]
    common = [name for name in names if name not in lacking]
    if not common or (wanted is not None and lacking):
        said = (
            'the runs have no metric in common'
            if wanted is None
            else f'metrics: not all runs have {", ".join(lacking)}'
        )
        there = '\n'.join(
            f'  {run.name}: {", ".join(run.metrics()) or "no validation yet"}'
            for run in runs
        )
        raise ValueError(f'{said}; there are\n{there}')
    return common


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
        head += [metric, 'best', 'at']
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
    return markdown([head, *rows.values()])


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """Write lines of cells, the first one the head; numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*lines)]
    rule = [':--', *['--:'] * (len(widths) - 1)]
    return '\n'.join(
        '| '
        + ' | '.join(
            cell.ljust(width) if k == 0 else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(line, widths))
        )
        + ' |'
        for line in (lines[0], rule, *lines[1:])
    )


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
    check_table(out)
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


def check_table(path: PathLike) -> None:
    """Refuse a file that :func:`write_summaries` would, before the work."""
    if Path(path).suffix not in ('.md', '.csv'):
        raise ValueError(f'table must end with .md or .csv, got {str(path)!r}')
