"""tools/analysis/compare_runs.py on trainings of two toolboxes."""

import pytest

pytest.importorskip('mmseg')
pytest.importorskip('mmpretrain')

from .experiments import write_mmpretrain, write_mmseg

pytestmark = pytest.mark.slow


@pytest.fixture
def trained(tool, tmp_path):
    """Work dirs of a run of mmseg (iterations) and one of mmpretrain."""
    folders = []
    for write in (write_mmseg, write_mmpretrain):
        config = write(tmp_path)
        folder = tmp_path / config.stem
        result = tool('train.py', config, '--work-dir', folder)
        assert result.returncode == 0, result.stdout[-4000:]
        folders.append(folder)
    return folders


def test_table_and_picture(tool, trained, tmp_path):
    segmentation, classification = trained
    result = tool(
        'analysis/compare_runs.py',
        *(segmentation, segmentation, '--names', 'same', 'same'),
        *('--metrics', 'mIoU', '--table', 'runs.csv'),
    )
    assert result.returncode == 0, result.stdout[-4000:]
    assert '± 0.00' in result.stdout
    assert (tmp_path / 'runs.png').stat().st_size > 5000
    assert len((tmp_path / 'runs.csv').read_text().splitlines()) == 3

    result = tool('analysis/compare_runs.py', classification)
    assert result.returncode == 0, result.stdout[-4000:]
    assert 'accuracy/top1' in result.stdout


def test_what_cannot_be_compared(tool, trained, tmp_path):
    result = tool('analysis/compare_runs.py', *trained)
    assert result.returncode == 1
    assert 'error: the runs have no metric in common' in result.stdout
    assert 'accuracy/top1' in result.stdout and 'mIoU' in result.stdout
    result = tool('analysis/compare_runs.py', 'absent')
    assert "'absent' is not a folder" in result.stdout
    result = tool('analysis/compare_runs.py', trained[0], '--names', 'a', 'b')
    assert 'error: --names: must be 1' in result.stdout
    assert 'Traceback' not in result.stdout
    assert not (tmp_path / 'runs.png').exists()
