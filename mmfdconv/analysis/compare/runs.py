"""Logs of trainings as histories, side by side.

MMEngine writes what it logs to ``<timestamp>/vis_data/scalars.json`` in the
work dir, a folder for every time that a training was started or resumed. Here
they become one history per run, whichever toolbox it was. Runs of one name,
such as seeds, are a group.
"""

import json
from itertools import dropwhile, takewhile
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from ..outputs import PathLike

Point = Dict[str, Any]

# What the entries of DynamicConvLogHook begin with.
_HOOK = ('gates/', 'bands/')
# What the log has beside metrics.
_NO_METRICS = {'step', 'iter', 'epoch', 'time', 'data_time', 'memory', 'lr'}


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


def read_scalars(path: PathLike) -> Tuple[List[dict], List[dict]]:
    """Read what MMEngine's ``LocalVisBackend`` writes: one JSON per line.

    Args:
        path: A run's ``vis_data/scalars.json``.

    Returns:
        The lines of training, each with its ``iter``, and the lines of
        validation, each with the ``iter`` of the training before it. Those
        of ``DynamicConvLogHook`` are neither.
    """
    train: List[dict] = []
    val: List[dict] = []
    lines = Path(path).read_text().splitlines()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except ValueError as error:
            if number == len(lines):  # a run that was stopped, or writes it
                break
            raise ValueError(
                f'path={str(path)!r} must have one JSON object per line; '
                f'line {number} is none: {error}'
            ) from error
        if 'iter' in values:
            train.append(values)
        elif not any(key.startswith(_HOOK) for key in values):
            iteration = train[-1]['iter'] if train else 0
            val.append(dict(values, iter=iteration))
    return train, val


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
        first = later_train[0][key]
        train = [p for p in train if p.get(key, first) < first]
        last = train[-1]['iter'] if train else 0
        if key == 'iter':
            later_val = [
                dict(p, iter=p.get('step', p['iter'])) for p in later_val
            ]
            # Not every step is logged that a validation follows.
            last = min([first, *(p['iter'] for p in later_val)]) - 1
        val = [p for p in val if p['iter'] <= last]
        train, val = train + later_train, val + later_val
    if not train:
        raise ValueError(
            f'work_dir: {str(work_dir)!r} holds no log of a training, no '
            '<timestamp>/vis_data/scalars.json with lines of training; name '
            'the --work-dir of a run'
        )
    return RunLog(name or folder.resolve().name, train, val)


def class_scores(work_dir: PathLike) -> Dict[str, Dict[str, float]]:
    """Read what each class scored in the last validation.

    MMSegmentation writes that nowhere but in the log's text, as a table.

    Args:
        work_dir: As for :func:`read_run`.

    Returns:
        From the class to its scores by name, such as ``IoU`` and ``Acc``, in
        percent or NaN; empty if there is no such table.
    """
    for scalars in reversed(_logs(Path(work_dir))):
        start = scalars.parent.parent
        log = start / f'{start.name}.log'
        if log.is_file() and read_scalars(scalars)[0]:
            _, found, text = log.read_text().rpartition('per class results:')
            if found:
                return _first_table(text)
    return {}


def _first_table(text: str) -> Dict[str, Dict[str, float]]:
    """Of a text: from the first column to the others by their names."""
    lines = dropwhile(lambda line: line[:1] != '+', text.splitlines())
    table = takewhile(lambda line: line[:1] in ('+', '|'), lines)
    (_, *names), *rows = (
        [cell.strip() for cell in line.strip('|').split('|')]
        for line in table
        if line[0] == '|'
    )
    return {
        label: dict(zip(names, map(float, values))) for label, *values in rows
    }


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


def group_runs(runs: Sequence[RunLog]) -> Dict[str, List[RunLog]]:
    """Gather runs by their names, in the order of the first ones."""
    groups: Dict[str, List[RunLog]] = {}
    for run in runs:
        groups.setdefault(run.name, []).append(run)
    return groups


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
