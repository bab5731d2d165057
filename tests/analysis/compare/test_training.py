"""Runs of a comparison: planned, trained, gone on with."""

import json

import pytest

pytest.importorskip('mmpretrain')

from mmengine.config import Config

from mmfdconv.analysis.compare import training
from mmfdconv.analysis.compare.training import RunFailed, plan_runs, train_all

pytestmark = pytest.mark.core

CONFIG = dict(
    val_dataloader=dict(batch_size=1),
    val_evaluator=dict(type='Accuracy'),
    default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=1)),
    train_cfg=dict(by_epoch=True, max_epochs=2),
)


def configs(**changes):
    cfg = Config({**CONFIG, **changes})
    return dict(stock=cfg, fdconv=cfg)


def leave_log(run, *, val=()):
    """Leave what a run logs: a step an epoch, and validations."""
    lines = [dict(loss=1.0, iter=n, epoch=n) for n in (1, 2)]
    lines += [{'accuracy/top1': 50.0, 'step': step} for step in val]
    path = run.folder / '1' / 'vis_data' / 'scalars.json'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(''.join(json.dumps(line) + '\n' for line in lines))


def leave_checkpoints(run, *numbers):
    for number in numbers:
        path = run.folder / f'{run.unit}_{number}.pth'
        path.touch()
        (run.folder / 'last_checkpoint').write_text(str(path))


def test_seed_by_seed_and_never_another_config(tmp_path):
    runs = plan_runs(configs(), 2, str(tmp_path))
    assert list(map(str, runs)) == [
        'stock, seed 0',
        'fdconv, seed 0',
        'stock, seed 1',
        'fdconv, seed 1',
    ]
    written = [Config.fromfile(run.config) for run in runs]
    assert [cfg.randomness.seed for cfg in written] == [0, 0, 1, 1]
    assert {
        cfg.default_hooks.checkpoint.max_keep_ckpts for cfg in written
    } == {2}
    assert plan_runs(configs(), 3, str(tmp_path))[:4] == runs
    longer = configs(train_cfg=dict(by_epoch=True, max_epochs=3))
    with pytest.raises(ValueError, match='another config .*max_epochs=2'):
        plan_runs(longer, 2, str(tmp_path))


def test_iterations_count_where_the_config_counts_them(tmp_path):
    loop = dict(type='IterBasedTrainLoop', max_iters=80)
    run = plan_runs(configs(train_cfg=loop), 1, str(tmp_path))[0]
    assert (run.unit, run.length) == ('iter', 80)
    assert run.checkpoint.name == 'iter_80.pth'


@pytest.mark.parametrize(
    ('changes', 'seeds', 'message'),
    [
        (dict(), 0, '--seeds: must be at least 1, got 0'),
        (dict(val_dataloader=None), 1, 'no val_dataloader and val_evaluator'),
        (dict(train_cfg=dict()), 1, 'neither max_epochs nor max_iters'),
    ],
)
def test_what_cannot_be_compared(tmp_path, changes, seeds, message):
    with pytest.raises(ValueError, match=message):
        plan_runs(configs(**changes), seeds, str(tmp_path))
    with pytest.raises(ValueError, match='--jobs: must be at least 1, got 0'):
        train_all([], jobs=0)


def test_finished_is_trained_saved_and_validated(tmp_path):
    run = plan_runs(configs(), 1, str(tmp_path))[0]
    assert not run.is_finished() and run.steps_done() == 0
    leave_log(run, val=(1,))
    leave_checkpoints(run, 1, 2)
    assert not run.is_finished() and run.steps_done() == 2
    leave_log(run, val=(1, 2))
    assert run.is_finished()


def test_where_a_stopped_run_goes_on(tmp_path):
    run = plan_runs(configs(), 1, str(tmp_path))[0]
    assert run.resumes_from() is None
    leave_checkpoints(run, 1)
    assert run.resumes_from().name == 'epoch_1.pth'
    # MMEngine names a checkpoint once it is whole.
    (run.folder / 'epoch_2.pth').touch()
    assert run.resumes_from().name == 'epoch_1.pth'
    # Stopped in the last validation: the epoch before it is trained again.
    leave_checkpoints(run, 2)
    assert run.resumes_from().name == 'epoch_1.pth'
    (run.folder / 'epoch_1.pth').unlink()
    assert run.resumes_from() is None


def test_a_failed_run_is_named_and_the_others_go_on(tmp_path, monkeypatch):
    """Two at a time; what is finished is left alone."""
    runs = plan_runs(configs(), 2, str(tmp_path))
    leave_log(runs[0], val=(2,))
    leave_checkpoints(runs[0], 2)
    # In place of a training: say what it was called with, and fail once.
    program = tmp_path / 'program'
    program.write_text(
        '#!/usr/bin/env bash\necho "$@"\ncase "$*" in *fdconv/seed_1*) '
        'echo "no such data"; exit 3;; esac\n'
    )
    program.chmod(0o755)
    monkeypatch.setattr(training.sys, 'executable', str(program))
    monkeypatch.setattr(training, '_POLL', 0.1)
    for run in runs[1:3]:  # as if their trainings wrote it
        leave_log(run, val=(2,))
        leave_checkpoints(run, 1)
    finished = training.Run.is_finished

    def is_finished(run):
        said = run.folder / 'train.log'
        return finished(run) or (
            run in runs[1:3] and said.is_file() and said.stat().st_size > 0
        )

    monkeypatch.setattr(training.Run, 'is_finished', is_finished)
    ended = []
    failed = train_all(
        runs, jobs=2, ended=lambda run, error: ended.append((run, error))
    )
    assert {run for run, _ in ended} == set(runs)
    assert not (runs[0].folder / 'train.log').exists()
    said = (runs[1].folder / 'train.log').read_text()
    assert said.startswith(
        f'-m mmfdconv_cli train {runs[1].config} --work-dir '
    )
    assert said.strip().endswith(f'--resume {runs[1].folder / "epoch_1.pth"}')
    (error,) = failed
    assert isinstance(error, RunFailed)
    assert str(error) == (
        'fdconv, seed 1 failed (exit status 3): no such data; see '
        f'{runs[3].folder / "train.log"}'
    )
