"""tools/analysis/get_flops.py and paper_tables.py from the command line."""

import json

import pytest

pytest.importorskip('mmdet')

from mmfdconv.analysis.cost.paper_tables import Row, Table
from mmfdconv.commands import main, tables

from .experiments import write_mmdet

pytestmark = pytest.mark.slow


def test_get_flops(tool, tmp_path):
    config = write_mmdet(tmp_path)
    result = tool(
        'analysis/get_flops.py',
        config,
        *('--shape', '64', '96', '--compare-stock', '--out', 'out.json'),
    )
    assert result.returncode == 0, result.stdout[-4000:]
    assert 'one image of 64 x 96' in result.stdout
    assert '| - kernel FFT' in result.stdout
    # Nothing of what building a model says.
    assert 'DynamicBackbone' not in result.stdout
    content = json.loads((tmp_path / 'out.json').read_text())
    ours, stock = (content[k]['rows'][-1]['flops'] for k in ('model', 'stock'))
    assert ours > stock > 0


@pytest.mark.parametrize(
    'options, words',
    [
        (('none.py',), "'none.py' is not a file"),
        (('empty.py',), 'must have model=dict'),
        (('empty.py', '--out', 'a.txt'), "out: 'a.txt' must end with"),
        (('empty.py', '--out', 'none/a.csv'), "out: the folder 'none'"),
    ],
)
def test_what_is_wrong_is_told(tool, tmp_path, options, words):
    (tmp_path / 'empty.py').write_text("default_scope = 'mmdet'\n")
    result = tool('analysis/get_flops.py', *options)
    assert result.returncode == 1
    assert 'get_flops.py: error: ' in result.stdout
    assert words in result.stdout
    assert 'Traceback' not in result.stdout


def test_paper_tables(monkeypatch, tmp_path):
    """That all are written; what they count is tested with the tables."""
    row = Row('R-50', 'A', 1.0, 2.0)
    for number, name in enumerate(('fdconv_tables', 'fadconv_tables')):
        found = [Table(name, [row] * (number + 1))]
        monkeypatch.setattr(tables, name, lambda found=found: found)
    out = tmp_path / 'out.csv'
    main('tables', ['--format', 'csv', '--out', str(out)], 'paper_tables.py')
    assert [line.split(',')[0] for line in out.read_text().splitlines()] == [
        *('table', 'fdconv_tables', 'fadconv_tables', 'fadconv_tables'),
    ]
    with pytest.raises(SystemExit) as stopped:
        main('tables', ['--out', 'none/out.csv'], 'paper_tables.py')
    said = "paper_tables.py: error: out: the folder 'none'"
    assert str(stopped.value.code).startswith(said)
