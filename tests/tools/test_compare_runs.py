"""tools/analysis/compare_runs.py on trainings of two toolboxes."""

import runpy
import sys

import pytest

pytest.importorskip('mmseg')
pytest.importorskip('mmpretrain')

from .conftest import ROOT
from .experiments import write_mmpretrain, write_mmseg

pytestmark = pytest.mark.slow


def test_trainings_of_two_toolboxes(tool, tmp_path):
    folders = []
    for write in (write_mmseg, write_mmpretrain):
        config = write(tmp_path)
        folders.append(tmp_path / 'runs' / config.stem)
        result = tool('train.py', config, '--work-dir', folders[-1])
        assert result.returncode == 0, result.stdout[-4000:]
    segmentation, classification = folders

    result = tool(
        'analysis/compare_runs.py',
        *(segmentation, segmentation, '--names', 'same', 'same'),
        *('--metrics', 'mIoU', '--table', 'runs.csv'),
    )
    assert result.returncode == 0, result.stdout[-4000:]
    assert '± 0.00' in result.stdout
    assert (tmp_path / 'runs.png').stat().st_size > 5000
    assert len((tmp_path / 'runs.csv').read_text().splitlines()) == 3

    (tmp_path / 'runs.png').unlink()
    result = tool('analysis/compare_runs.py', segmentation, classification)
    assert result.returncode == 1
    assert 'error: the runs have no metric in common' in result.stdout
    assert 'accuracy/top1' in result.stdout and 'mIoU' in result.stdout
    assert not (tmp_path / 'runs.png').exists()


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (['absent'], "work_dir: 'absent' is not a folder"),
        (['.'], 'holds no log of a training'),
        (['.', '--names', 'a', 'b'], '--names: must be 1'),
        (
            ['.', '--table', 'runs.txt'],
            "table: 'runs.txt' must end with .md or .csv",
        ),
    ],
)
def test_what_cannot_be_compared(monkeypatch, tmp_path, args, message):
    monkeypatch.chdir(tmp_path)
    path = str(ROOT / 'tools' / 'analysis' / 'compare_runs.py')
    monkeypatch.setattr(sys, 'argv', [path, *args])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(path, run_name='__main__')
    assert stop.value.code.startswith('compare_runs.py: error: ')
    assert message in stop.value.code
