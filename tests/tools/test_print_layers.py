"""tools/print_layers.py: the table, the file, the errors."""

import csv
import re

import pytest

pytest.importorskip('mmdet')

from .experiments import write_mmdet

pytestmark = pytest.mark.slow


def test_table_and_file(tool, tmp_path):
    config = write_mmdet(tmp_path)
    result = tool(
        'print_layers.py',
        config,
        '--out',
        'rows.csv',
        '--cfg-options',
        'model.backbone.rule.stages=[4]',
    )
    assert result.returncode == 0, result.stdout[-4000:]
    lines = result.stdout.splitlines()
    start = lines.index('model.backbone')
    assert lines[start + 1].split() == [
        'name',
        'before',
        'after',
        'parameters',
        'reason',
    ]
    assert re.search(
        r'\nlayer4\.0\.conv1 +128->256 3x3 s2 +FDConv ', result.stdout
    )
    assert 'stage 1 not in [4]' in result.stdout
    assert '5 of 20 layers converted' in lines[-2]
    with (tmp_path / 'rows.csv').open(newline='') as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 20
    added = sum(int(r['params_after']) - int(r['params_before']) for r in rows)
    assert lines[-1] == f'parameters added: {added / 1e6:+.3f} M'
    assert rows[0]['name'] == 'conv1' and not rows[0]['after']


def test_a_wrong_config_is_told(tool, tmp_path):
    result = tool('print_layers.py', tmp_path / 'none.py')
    assert result.returncode == 1
    assert 'print_layers.py: error: config:' in result.stdout
