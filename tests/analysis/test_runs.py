"""Several runs side by side: histories, metrics, table, curves."""

import csv
import json

import pytest

from mmfdconv.analysis import runs
from mmfdconv.analysis.run_curves import _loss, plot_runs

pytestmark = pytest.mark.core


def write_log(work_dir, start, lines, name='vis_data/scalars.json'):
    path = work_dir / start / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(''.join(json.dumps(line) + '\n' for line in lines))


def epoch(number, loss, **metrics):
    """Two logged steps of an epoch of 10, and its validation."""
    first = 10 * (number - 1)
    steps = [
        dict(loss=loss + 0.5, time=0.1, iter=first + 5, epoch=number, step=0),
        dict(loss=loss - 0.5, time=0.1, iter=first + 10, epoch=number, step=0),
    ]
    return [*steps, {**metrics, 'time': 0.1, 'step': number}]


@pytest.fixture
def resumed(tmp_path):
    """Stopped in its third epoch, then resumed from the second one."""
    folder = tmp_path / 'resumed'
    first = [*epoch(1, 4.0, mIoU=10.0), *epoch(2, 3.0, mIoU=30.0)]
    write_log(folder, '20260101_000000', [*first, *epoch(3, 9.0)[:1]])
    again = [*epoch(3, 2.0, mIoU=20.0), *epoch(4, 1.0, mIoU=25.0)]
    write_log(folder, '20260102_000000', again)
    return folder


@pytest.fixture
def by_iter(tmp_path):
    """Counts iterations; validated between two logged steps."""
    folder = tmp_path / 'by_iter'
    lines = [
        dict(loss=2.0, iter=50, step=50),
        dict(mIoU=40.0, aAcc=70.0, step=80),
        dict(loss=1.0, iter=100, step=100),
        dict(mIoU=50.0, aAcc=60.0, step=160),
    ]
    write_log(folder, '20260101_000000', lines)
    return folder


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


def test_iterations(by_iter):
    run = runs.read_run(by_iter, 'other name')
    assert run.name == 'other name' and not run.by_epoch
    assert [p['iter'] for p in run.val] == [80, 160]


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
    path.write_text(path.read_text() + '{"loss": 1')
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


@pytest.mark.parametrize(
    ('metric', 'lower'),
    [('val/loss', True), ('mae', True), ('loss/mIoU', False), ('P', False)],
)
def test_the_direction_of_a_metric(metric, lower):
    assert runs.lower_is_better(metric) is lower


def seeds(tmp_path, values):
    logs = []
    for number, value in enumerate(values):
        folder = tmp_path / f'seed_{number}'
        lines = [*epoch(1, 2.0, mIoU=value + 9, mae=2.0)]
        lines += epoch(2, 1.0, mIoU=value, mae=3.0)
        write_log(folder, '1', lines)
        logs.append(runs.read_run(folder, 'ours'))
    return logs


def test_final_and_best_over_seeds(tmp_path, by_iter):
    logs = [*seeds(tmp_path, [10.0, 14.0]), runs.read_run(by_iter)]
    groups = runs.group_runs(logs)
    assert [(g.name, len(g.runs)) for g in groups] == [
        ('ours', 2),
        ('by_iter', 1),
    ]
    ours, mae = runs.summarise(groups[:1], ['mIoU', 'mae'])
    assert (ours.final, ours.last_at) == ([10.0, 14.0], [2, 2])
    assert (ours.best, ours.best_at) == ([19.0, 23.0], [1, 1])
    assert (mae.final, mae.best, mae.best_at) == ([3, 3], [2, 2], [1, 1])
    table = runs.summaries_to_markdown(runs.summarise(groups, ['mIoU']))
    # sample standard deviation of 10 and 14
    cells = [c.strip() for c in table.splitlines()[2].split('|')[1:-1]]
    assert cells == ['ours', '2', '2', '12.00 ± 2.83', '21.00 ± 2.83', '1']
    cells = [c.strip() for c in table.splitlines()[3].split('|')[1:-1]]
    assert cells == ['by_iter', '1', '160', '50.00', '50.00', '160']


def test_nan_counts_nowhere(tmp_path):
    lines = [*epoch(1, 1.0, P=5.0), *epoch(2, 1.0, P=float('nan'))]
    write_log(tmp_path / 'run', '1', lines)
    groups = runs.group_runs([runs.read_run(tmp_path / 'run')])
    assert runs.summarise(groups, ['P'])[0].final == [5.0]


def test_files(tmp_path):
    groups = runs.group_runs(seeds(tmp_path, [10.0, 14.0]))
    summaries = runs.summarise(groups, ['mIoU'])
    path = runs.write_summaries(summaries, tmp_path / 'new' / 'runs.csv')
    with path.open(newline='') as file:
        rows = [*csv.DictReader(file)]
    assert [float(row['final']) for row in rows] == [10.0, 14.0]
    assert [row['run'] for row in rows] == ['0', '1']
    path = runs.write_summaries(summaries, tmp_path / 'runs.md')
    assert path.read_text() == runs.summaries_to_markdown(summaries) + '\n'
    with pytest.raises(ValueError, match=r'\.md or \.csv'):
        runs.write_summaries(summaries, tmp_path / 'runs.txt')


def test_loss_by_epoch_and_by_iteration(resumed, by_iter):
    run = runs.read_run(resumed)
    assert _loss(run, True) == ([1, 2, 3, 4], [4.0, 3.0, 2.0, 1.0])
    assert _loss(runs.read_run(by_iter), False) == ([50, 100], [2.0, 1.0])


def test_curves(tmp_path, by_iter):
    cv2 = pytest.importorskip('cv2')
    pytest.importorskip('matplotlib')
    logs = seeds(tmp_path, [10.0, 14.0])
    groups = runs.group_runs(logs)
    one = plot_runs(groups, ['mIoU'], tmp_path / 'a.png')
    two = plot_runs(groups, ['mIoU', 'mae'], tmp_path / 'b.png')
    # Runs that count differently meet on iterations.
    mixed = runs.group_runs([*logs, runs.read_run(by_iter)])
    three = plot_runs(mixed, ['mIoU'], tmp_path / 'c.png')
    pictures = [cv2.imread(str(path)) for path in (one, two, three)]
    assert pictures[0].shape[1] < pictures[1].shape[1]
    assert (pictures[0] != pictures[2][: len(pictures[0])]).any()
