"""tools/compare.py: trained, stopped, gone on with, and written down."""

import csv

import pytest

pytest.importorskip('mmpretrain')
pytest.importorskip('matplotlib')

from mmfdconv.commands import main

from .experiments import write_mmpretrain


@pytest.fixture
def config(tmp_path):
    return write_mmpretrain(tmp_path)


@pytest.mark.slow
def test_two_methods(tool, tmp_path, config):
    words = ['compare.py', config, '--conv', 'stock', 'odconv', '--seeds', 1]
    words += ['--conv-options', 'odconv.num_experts=2', '--work-dir', 'runs']
    words += ['--shape', 32, '--jobs', 2]
    done = tool(*words, '--time-rounds', 2, '--gate-images', 2)
    assert done.returncode == 0, done.stdout
    with (tmp_path / 'runs' / 'comparison.csv').open(newline='') as file:
        rows = {row['method']: row for row in csv.DictReader(file)}
    assert list(rows) == ['stock', 'odconv']
    assert int(rows['odconv']['parameters']) > int(rows['stock']['parameters'])
    assert int(rows['odconv']['flops']) > int(rows['stock']['flops'])
    assert float(rows['stock']['step_ratio']) == 1
    assert rows['odconv']['step_ratio'] and rows['odconv']['gates_move']
    text = (tmp_path / 'runs' / 'comparison.md').read_text()
    assert text in done.stdout
    assert 'gates move: standard deviation over 2 validation' in text

    # The same command again trains nothing anew.
    logs = sorted(tmp_path.glob('runs/*/seed_0/*/vis_data'))
    assert len(logs) == 2
    again = tool(*words, '--time-rounds', 0, '--gate-images', 0)
    assert again.returncode == 0, again.stdout
    assert sorted(tmp_path.glob('runs/*/seed_0/*/vis_data')) == logs
    text = (tmp_path / 'runs' / 'comparison.md').read_text()
    assert 'gates move: ' not in text and 'step: ' not in text


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (
            ['--conv', 'stok'],
            '--conv stok: method must be one of stock, fdconv',
        ),
        (['--conv', 'stock', 'stock'], "--conv: 'stock' is named twice"),
        (
            ['--conv', 'fdconv', '--conv-options', 'kernel_num=4'],
            "--conv-options: 'kernel_num' must begin with one of fdconv and",
        ),
        (
            ['--conv', 'stock', '--gate-images', '1'],
            '--gate-images: must be 0 or at least 2, got 1',
        ),
    ],
)
def test_wrong_words(monkeypatch, tmp_path, config, words, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main('compare', [str(config), *words], 'compare.py')
    assert str(stopped.value.code).startswith(f'compare.py: error: {message}')
    assert not (tmp_path / 'work_dirs').exists()
