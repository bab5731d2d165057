"""tools/benchmark.py from the command line."""

import json

import pytest

from mmfdconv.commands import main

pytestmark = pytest.mark.slow

OTHER = """
from torch import nn


class Twice(nn.Conv2d):
    def forward(self, x):
        return super().forward(x) + super().forward(x)
"""


def test_layers_models_and_other_code(tool, tmp_path):
    (tmp_path / 'other.py').write_text(OTHER)
    quick = ('--rounds', '2', '--methods', 'FDConv')
    result = tool(
        'benchmark.py',
        *quick,
        *('--shapes', '8-8-3-12', '8-16-1-12', '--other'),
        f'twice={tmp_path / "other.py"}:Twice',
        *('--options', 'FDConv.kernel_num=4', '--out', 'out.json'),
    )
    assert result.returncode == 0, result.stdout[-4000:]
    content = json.loads((tmp_path / 'out.json').read_text())
    assert [(r['case'], r['method']) for r in content['results']] == [
        (case, method)
        for case in ('8->8 3x3 at 12x12', '8->16 1x1 at 12x12')
        for method in ('stock', 'FDConv', 'twice')
    ]
    assert content['environment']['rounds'] == 2

    result = tool(
        'benchmark.py',
        *quick,
        *('--model', 'resnet18', '--shapes', '32x64', '--batch', '1'),
        '--channels-last',
    )
    assert result.returncode == 0, result.stdout[-4000:]
    assert 'resnet18 at 1x32x64' in result.stdout


@pytest.mark.parametrize(
    'options, words',
    [
        (('--out', 'a.txt'), "out: 'a.txt' must end with"),
        (('--shapes', '8-8'), 'C-O-k-side'),
        (('--methods', 'Conv'), "got ['Conv']"),
        (('--other', 'a'), 'NAME=FILE:CLASS'),
        (('--device', 'none'), "device: 'none': "),
        (('--batch', '0'), 'batch must be an integer >= 1, got 0'),
        (('--fixed-gates',), '--fixed-gates is for --inference'),
        (('--fixed-gates', '--inference', '--compile'), 'not for --compile'),
    ],
)
def test_wrong_options_are_told(options, words):
    with pytest.raises(SystemExit) as error:
        main('benchmark', options, 'benchmark.py')
    assert str(error.value).startswith('benchmark.py: error: ')
    assert words in str(error.value)
