"""tools/analysis/compare_runs.py on logs of two toolboxes."""

import runpy
import sys

import pytest

pytest.importorskip('matplotlib')

from ..analysis.compare.logs import epoch, write_log
from .conftest import ROOT


@pytest.fixture
def compare_runs(monkeypatch, tmp_path):
    """Run the tool in this process, in ``tmp_path``."""
    monkeypatch.chdir(tmp_path)
    path = str(ROOT / 'tools' / 'analysis' / 'compare_runs.py')

    def run(*args):
        monkeypatch.setattr(sys, 'argv', [path, *args])
        runpy.run_path(path, run_name='__main__')

    return run


@pytest.fixture
def folders(tmp_path):
    """Work dirs of a segmentor and of a classifier."""
    for name, metric in (('seg', 'mIoU'), ('cls', 'accuracy/top1')):
        lines = [*epoch(1, 2.0, **{metric: 30.0})]
        write_log(
            tmp_path / name, '1', lines + epoch(2, 1.0, **{metric: 40.0})
        )
    return tmp_path


def test_curves_and_a_table(compare_runs, folders, capsys):
    compare_runs(
        *('seg', 'seg', '--names', 'same', 'same'),
        *('--metrics', 'mIoU', '--table', 'runs.csv'),
    )
    assert '40.00 ± 0.00' in capsys.readouterr().out
    assert (folders / 'runs.png').stat().st_size > 5000
    assert len((folders / 'runs.csv').read_text().splitlines()) == 3


@pytest.mark.parametrize(
    ('args', 'messages'),
    [
        (['absent'], ["work_dir: 'absent' is not a folder"]),
        (['.'], ['holds no log of a training']),
        (['.', '--names', 'a', 'b'], ['--names: must be 1']),
        (
            ['.', '--table', 'runs.txt'],
            ["table: 'runs.txt' must end with .md or .csv"],
        ),
        (['seg', '--table', 'd.md'], ["table: 'd.md' is a folder"]),
        (
            ['seg', 'cls'],
            ['the runs have no metric in common', 'mIoU', 'accuracy/top1'],
        ),
    ],
)
def test_what_cannot_be_compared(compare_runs, folders, args, messages):
    (folders / 'd.md').mkdir()
    with pytest.raises(SystemExit) as stop:
        compare_runs(*args)
    assert stop.value.code.startswith('compare_runs.py: error: ')
    assert all(message in stop.value.code for message in messages)
    assert not (folders / 'runs.png').exists()
