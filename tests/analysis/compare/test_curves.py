"""Curves of one training and of several."""

import json

import pytest

from mmfdconv.analysis.compare import runs
from mmfdconv.analysis.compare.curves import _loss, plot_runs, plot_training

from .logs import LINES, seeds

pytestmark = pytest.mark.core


def picture(path):
    cv2 = pytest.importorskip('cv2')
    pixels = cv2.imread(str(path))
    assert pixels is not None
    return pixels


def test_curves_are_drawn(scalars, tmp_path):
    pytest.importorskip('matplotlib')
    out = plot_training(scalars, tmp_path / 'new' / 'curves.png')
    assert out == tmp_path / 'new' / 'curves.png'
    assert picture(out).std() > 0


def test_a_run_without_validation_still_has_its_losses(scalars, tmp_path):
    pytest.importorskip('matplotlib')
    scalars.write_text(json.dumps(LINES[0]) + '\n')
    plot_training(scalars, tmp_path / 'curves.png')
    assert (tmp_path / 'curves.png').is_file()


def test_a_file_without_losses_is_refused(scalars, tmp_path):
    scalars.write_text(json.dumps(LINES[2]) + '\n')
    with pytest.raises(ValueError, match='scalars=.*must come from a train'):
        plot_training(scalars, tmp_path / 'curves.png')


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
