"""Logs of trainings: what is read, and what runs have in common."""

import pytest

from mmfdconv.analysis.compare import runs

from .logs import epoch, write_log

pytestmark = pytest.mark.core


def test_validation_stands_where_training_was(scalars):
    train, val = runs.read_scalars(scalars)
    assert [line['iter'] for line in train] == [10, 20, 40]
    assert [line['iter'] for line in val] == [20, 40]
    assert [line['coco/bbox_mAP'] for line in val] == [0.1, 0.2]


def test_a_broken_line_is_named(scalars):
    with scalars.open('a') as file:
        file.write('\n{"loss": \n')
    # The last line of a run that was stopped in it, or is writing it.
    assert len(runs.read_scalars(scalars)[1]) == 2
    with scalars.open('a') as file:
        file.write('{"loss": 1.0, "iter": 50}\n')
    with pytest.raises(ValueError, match='line 7 is none'):
        runs.read_scalars(scalars)


def test_a_resumed_run_is_one_history(resumed):
    run = runs.read_run(resumed)
    assert run.name == 'resumed' and run.by_epoch
    assert [p['iter'] for p in run.train] == [5, 10, 15, 20, 25, 30, 35, 40]
    assert 9.5 not in [p['loss'] for p in run.train]  # of the stopped epoch
    assert [(p['iter'], p['step'], p['mIoU']) for p in run.val] == [
        (10, 1, 10.0),
        (20, 2, 30.0),
        (30, 3, 20.0),
        (40, 4, 25.0),
    ]
    assert run.metrics() == ['mIoU']


def test_a_run_begun_anew_replaces_all(resumed):
    write_log(resumed, '20260103_000000', epoch(1, 4.0, mIoU=1.0))
    run = runs.read_run(resumed)
    assert [p['iter'] for p in run.train] == [5, 10]
    assert [p['mIoU'] for p in run.val] == [1.0]


def test_gates_and_bands_are_no_metrics(tmp_path):
    lines = epoch(1, 1.0, mIoU=10.0)
    lines.insert(1, {'gates/entropy/a': 1.0, 'bands/map0/a': 1.0, 'step': 6})
    write_log(tmp_path, '1', lines)
    run = runs.read_run(tmp_path)
    assert (len(run.train), len(run.val)) == (2, 1)
    assert run.metrics() == ['mIoU']


def test_iterations(by_iter):
    run = runs.read_run(by_iter, 'other name')
    assert run.name == 'other name' and not run.by_epoch
    assert [p['iter'] for p in run.val] == [80, 160]
    # From the checkpoint of step 80, which nothing was logged at.
    lines = [dict(loss=1.0, iter=100), dict(mIoU=60.0, step=160)]
    write_log(by_iter, '20260102_000000', lines)
    found = [(p['iter'], p['mIoU']) for p in runs.read_run(by_iter).val]
    assert found == [(80, 40.0), (160, 60.0)]


def test_what_is_no_training_is_left_out(resumed):
    write_log(resumed, '20260103_000000', [dict(mIoU=99.0, step=0)])
    (resumed / '20260104_000000').mkdir()
    assert len(runs.read_run(resumed).val) == 4


def test_the_other_name_of_the_log(tmp_path):
    lines = epoch(1, 1.0, mIoU=1.0)
    write_log(
        tmp_path, '20260101_000000', lines, 'vis_data/20260101_000000.json'
    )
    assert len(runs.read_run(tmp_path).train) == 2


def test_folders_without_a_run(tmp_path, resumed):
    with pytest.raises(ValueError, match='absent.* is not a folder'):
        runs.read_run(tmp_path / 'absent')
    with pytest.raises(ValueError, match='no log of a training'):
        runs.read_run(tmp_path)
    path = resumed / '20260101_000000/vis_data/scalars.json'
    path.write_text(path.read_text() + '{"loss": 1\n{}\n')
    with pytest.raises(ValueError, match='line 8'):
        runs.read_run(resumed)


def test_metrics_in_common(resumed, by_iter):
    logs = [runs.read_run(resumed), runs.read_run(by_iter)]
    assert runs.common_metrics(logs) == ['mIoU']
    assert runs.common_metrics(logs[1:], ['aAcc']) == ['aAcc']
    with pytest.raises(ValueError) as error:
        runs.common_metrics(logs, ['mIoU', 'aAcc'])
    assert 'not all runs have aAcc; there are' in str(error.value)
    assert 'by_iter: mIoU, aAcc' in str(error.value)


def test_no_metric_in_common(resumed, tmp_path):
    write_log(tmp_path / 'box', '1', epoch(1, 1.0, mAP=0.5))
    write_log(tmp_path / 'none', '1', epoch(1, 1.0)[:2])
    logs = [runs.read_run(p) for p in (resumed, tmp_path / 'box')]
    logs.append(runs.read_run(tmp_path / 'none'))
    with pytest.raises(ValueError, match='no metric in common') as error:
        runs.common_metrics(logs)
    for text in ('resumed: mIoU', 'box: mAP', 'none: no validation yet'):
        assert text in str(error.value)
