"""tools/analysis/get_flops.py and paper_tables.py from the command line."""

import json

import pytest

pytest.importorskip('mmdet')

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
        (('empty.py',), 'no model=dict'),
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


def test_paper_tables(tool, tmp_path):
    result = tool(
        'analysis/paper_tables.py', '--format', 'csv', '--out', 'out.csv'
    )
    assert result.returncode == 0, result.stdout[-4000:]
    assert len((tmp_path / 'out.csv').read_text().splitlines()) == 41
    result = tool('analysis/paper_tables.py', '--out', 'none/out.csv')
    assert result.returncode == 1
    assert "paper_tables.py: error: out: the folder 'none'" in result.stdout
