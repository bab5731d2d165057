"""Train a config with each method, from each seed; go on where it stopped.

Every run is ``mmfdconv train`` in a process of its own, on a complete config
that is written beside its folder. A run that is finished is not run again,
one that was stopped goes on from its last checkpoint.
"""

import copy
import re
import subprocess
import sys
import threading
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from itertools import zip_longest
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional

from mmengine.config import Config

from ..figures.subject import Subject
from .runs import RunLog, read_run

_POLL = 2.0  # seconds between two looks at a run
# The last one may be of no use, see `Run.resumes_from`.
_CHECKPOINTS = 2


class RunFailed(RuntimeError):
    """Training ended before its end."""


class Run(NamedTuple):
    """One method from one seed, and where it is.

    Attributes:
        method: Its word, see :func:`with_dynamic_convolutions`.
        seed: Of everything that is drawn.
        folder: Logs and checkpoints.
        unit: ``'epoch'`` or ``'iter'``, as the config counts.
        length: Of the training, in that unit.
    """

    method: str
    seed: int
    folder: Path
    unit: str
    length: int

    def __str__(self) -> str:
        return f'{self.method}, seed {self.seed}'

    @property
    def config(self) -> Path:
        """The whole config.

        Beside the folder: in it MMEngine writes a config of the same name.
        """
        return self.folder.with_suffix('.py')

    @property
    def checkpoint(self) -> Path:
        """Where the last checkpoint is, once the run is finished."""
        return self.folder / f'{self.unit}_{self.length}.pth'

    def trained(self) -> Subject:
        """Build the model with the weights of the last checkpoint."""
        cfg = Config.fromfile(self.config)
        return Subject.load(cfg, str(self.checkpoint))

    def log(self) -> RunLog:
        """Read what the run logged.

        Raises:
            ValueError: It has not begun to log.
        """
        return read_run(self.folder, self.method)

    def steps_done(self) -> int:
        """Number of the last logged training step."""
        try:
            points = self.log().train
        except ValueError:
            return 0
        return points[-1]['iter'] if points else 0

    def is_finished(self) -> bool:
        """Whether it is trained, saved and validated to its end."""
        if not self.checkpoint.is_file():
            return False
        try:
            points = self.log().val
        except ValueError:
            return False
        return bool(points) and points[-1]['step'] >= self.length

    def resumes_from(self) -> Optional[Path]:
        """The checkpoint to go on from, None where there is none.

        The very last one is none: with nothing left to train MMEngine does
        not make up for the validation that is missing.
        """
        written = self.folder / 'last_checkpoint'
        if not written.is_file():  # MMEngine writes it after the checkpoint
            return None
        newest = _number(Path(written.read_text().strip()))
        numbers = map(_number, self.folder.glob(f'{self.unit}_*.pth'))
        usable = [n for n in numbers if n <= newest and n < self.length]
        if not usable:
            return None
        return self.folder / f'{self.unit}_{max(usable)}.pth'


def _number(checkpoint: Path) -> int:
    found = re.fullmatch(r'(?:epoch|iter)_(\d+)', checkpoint.stem)
    return int(found[1]) if found else 0


def _length(cfg: Config) -> Dict[str, Any]:
    """How a config counts its training, and how long it is."""
    loop = cfg.get('train_cfg') or {}
    for unit, key in (('epoch', 'max_epochs'), ('iter', 'max_iters')):
        if loop.get(key):
            return dict(unit=unit, length=int(loop[key]))
    raise ValueError(
        'config: train_cfg has neither max_epochs nor max_iters, so there is '
        'no end at which methods could be compared'
    )


def plan_runs(
    configs: Mapping[str, Config], seeds: int, work_dir: str
) -> List[Run]:
    """Write the configs of all runs, seed by seed.

    All methods come with the first seed before any comes with the second, so
    that there is something to compare early.

    Args:
        configs: The experiment with each method, by its word.
        seeds: Their number; they are 0 and up.
        work_dir: Gets a folder for each method and seed.

    Raises:
        ValueError: A config cannot be compared, or a folder holds a run of
            another config.
    """
    if seeds < 1:
        raise ValueError(f'--seeds: must be at least 1, got {seeds}')
    for cfg in configs.values():
        if cfg.get('val_dataloader') is None or not cfg.get('val_evaluator'):
            raise ValueError(
                'config: it has no val_dataloader and val_evaluator, so '
                'nothing tells which method is better'
            )
    runs = []
    for seed in range(seeds):
        for method, cfg in configs.items():
            folder = Path(work_dir, method, f'seed_{seed}').resolve()
            run = Run(method, seed, folder, **_length(cfg))
            text = _seeded(cfg, run).pretty_text
            if run.config.is_file():
                _check_same(run, text)
            folder.mkdir(parents=True, exist_ok=True)
            run.config.write_text(text, encoding='utf-8')
            runs.append(run)
    return runs


def _seeded(cfg: Config, run: Run) -> Config:
    cfg = copy.deepcopy(cfg)
    cfg.randomness = dict(cfg.get('randomness') or {}, seed=run.seed)
    cfg.work_dir = str(run.folder)
    cfg.resume = False
    hooks = cfg.setdefault('default_hooks', {})
    checkpoint = hooks.setdefault('checkpoint', dict(type='CheckpointHook'))
    checkpoint.setdefault('max_keep_ckpts', _CHECKPOINTS)
    return cfg


def _check_same(run: Run, text: str) -> None:
    """Refuse to go on with another config than the one begun with."""
    begun = run.config.read_text(encoding='utf-8').split('\n')
    for old, new in zip_longest(begun, text.split('\n'), fillvalue=''):
        if old != new:
            raise ValueError(
                f'--work-dir: {run.folder} holds a run of another config '
                f'({old.strip()!r} there, {new.strip()!r} now); name another '
                'folder, or delete that one'
            )


def train_all(
    runs: List[Run],
    jobs: int = 1,
    heard: Callable[[Run, int], Any] = lambda run, step: None,
    ended: Callable[[Run, Optional[RunFailed]], Any] = lambda run, error: None,
) -> List[RunFailed]:
    """Train all runs that are not finished.

    Args:
        runs: In the order to begin them in.
        jobs: So many at a time.
        heard: Called now and then with a run and the number of steps that it
            has done.
        ended: Called when a run is finished, or with why it is not.

    Returns:
        Why runs failed; the others went on.
    """
    if jobs < 1:
        raise ValueError(f'--jobs: must be at least 1, got {jobs}')
    failed: List[RunFailed] = []
    stop = threading.Event()
    with ThreadPoolExecutor(jobs) as pool:
        pending = {pool.submit(_train, run, stop): run for run in runs}
        try:
            while pending:
                done, _ = wait(pending, _POLL, FIRST_COMPLETED)
                for run in pending.values():
                    heard(run, run.steps_done())
                for future in done:
                    run, error = pending.pop(future), future.exception()
                    if error is not None:
                        if not isinstance(error, RunFailed):
                            raise error
                        failed.append(error)
                    ended(run, error)
        except BaseException:
            stop.set()  # ends the processes; a thread outlives none
            for future in pending:
                future.cancel()
            raise
    return failed


def _train(run: Run, stop: threading.Event) -> None:
    if stop.is_set() or run.is_finished():
        return
    words = [str(run.config), '--work-dir', str(run.folder)]
    checkpoint = run.resumes_from()
    if checkpoint is not None:
        words += ['--resume', str(checkpoint)]
    path = run.folder / 'train.log'
    with path.open('a', encoding='utf-8') as out:
        process = subprocess.Popen(
            [sys.executable, '-m', 'mmfdconv_cli', 'train', *words],
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        while process.poll() is None:
            if stop.wait(_POLL / 2):
                process.terminate()
                process.wait()
                return
    if process.returncode or not run.is_finished():
        lines = path.read_text(encoding='utf-8', errors='replace').split('\n')
        last = next((line for line in reversed(lines) if line.strip()), '')
        raise RunFailed(
            f'{run} failed (exit status {process.returncode}): '
            f'{last.strip()}; see {path}'
        )
