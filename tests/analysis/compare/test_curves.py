"""Curves of trainings."""

import pytest

from mmfdconv.analysis.compare import runs
from mmfdconv.analysis.compare.curves import _loss, plot_runs

from .logs import seeds

pytestmark = pytest.mark.core


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
