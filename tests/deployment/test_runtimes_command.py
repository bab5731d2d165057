"""mmfdconv runtimes, from configs to a table."""

import pytest

pytest.importorskip('mmpretrain', reason='no classifier without mmpretrain')
pytest.importorskip('onnx', reason='nothing is exported without onnx')
pytest.importorskip('onnxruntime', reason='nothing runs what was exported')

from mmfdconv.commands import main

from .conftest import CONFIG

pytestmark = pytest.mark.slow

ONE_STAGE = CONFIG.replace(
    'out_indices=(3,)',
    'out_indices=(0,), num_stages=1, strides=(1,), dilations=(1,)',
).replace('in_channels=64', 'in_channels=8')


@pytest.fixture
def runtimes(tmp_path, monkeypatch):
    """Run the command on a small classifier, with these options."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'small.py').write_text(ONE_STAGE)

    def run(*options):
        argv = ['small.py', '--out', 't.md', '--shape', '32', '--rounds', '1']
        main('runtimes', [*argv, *options], 'runtimes')

    return run


def test_a_row_for_each_method(runtimes, tmp_path):
    runtimes('--conv', 'stock', 'fadconv')
    head, _, *rows = (tmp_path / 't.md').read_text().splitlines()
    head, *rows = (
        [cell.strip() for cell in row.split('|')[1:-1]]
        for row in (head, *rows)
    )
    rows = [dict(zip(head, row)) for row in rows]
    assert [row['method'] for row in rows] == ['stock', 'FADConv']
    for row in rows:
        assert row['model'] == 'small' and row['images'] == '1 of 32x32'
        assert 0 < float(row['largest difference']) < 1e-4
        assert float(row['onnxruntime, ms']) > 0


def test_wrong_options_are_told(runtimes, tmp_path):
    for options, words in (
        (('--rounds', '0'), 'rounds must be at least 1, got 0'),
        (('--threads', '-1'), 'threads must be at least 1, got -1'),
        (('--out', 't.csv'), "out: 't.csv' must end with .md"),
    ):
        with pytest.raises(SystemExit, match=words):
            runtimes(*options)
    assert not (tmp_path / 't.md').exists()
