"""The papers' parameter columns come out."""

import pytest

pytest.importorskip('torchvision')
pytest.importorskip('mmengine')

from mmfdconv.analysis.cost.fadconv_tables import (
    fadconv_table,
    rivals_table,
    stock_table,
)
from mmfdconv.analysis.cost.fdconv_tables import detector_table
from mmfdconv.analysis.cost.paper_tables import FORMATS, Row, Table

pytestmark = pytest.mark.core


@pytest.fixture(scope='module')
def detector():
    return {row.method: row for row in detector_table()}


@pytest.mark.parametrize(
    'method, millions, tolerance',
    [
        ('CondConv 8x', 89.981, 0.001),
        ('DY-Conv 4x', 75.3, 0.1),
        # The backbone, and the dynamic classifier of the authors' network.
        ('DCD', 4.278, 0.001),
        ('ODConv 4x', 65.114, 0.001),
        ('KernelWarehouse 1x', 2.495, 0.001),
        ('KernelWarehouse 4x', 76.458, 0.001),
        ('FDConv K=64', 3.647, 0.001),
    ],
)
def test_detectors(detector, method, millions, tolerance):
    row = detector[method]
    assert row.params == pytest.approx(millions, abs=tolerance)
    assert row.params == pytest.approx(row.paper_params, abs=0.051)


@pytest.mark.parametrize(
    'method, kernels',
    [
        # Every expert once: 9 convolutions of the last stage, all but the
        # stem, all of the blocks.
        ('CondConv 8x', 8 * 12.845056),
        ('DY-Conv 4x', 4 * 23.445504),
        ('ODConv 4x', 4 * 20.676608),
    ],
)
def test_flops_of_experts(detector, method, kernels):
    note = detector[method].note
    assert f'kernel assembly {kernels / 1e3:.3f} G' in note
    assert detector[method].madds > kernels


def test_flops_of_fdconv(detector):
    row = detector['FDConv K=64']
    # The maps: 3 bands, 3x3, at the input of every 3x3 convolution.
    pixels = [800 * 1280 // stride**2 for stride in (4, 8, 16, 32)]
    maps = sum(
        9 * 3 * channels * (before + (blocks - 1) * after)
        for channels, blocks, before, after in zip(
            (64, 128, 256, 512),
            (3, 4, 6, 3),
            (pixels[0], *pixels),
            pixels,
        )
    )
    assert f'band maps {maps / 1e9:.3f} G' in row.note
    # Real 2-D FFTs of all kernels, laid out as images.
    assert 'kernel FFT 0.509 G' in row.note
    assert row.madds > row.paper_madds
    assert 'low-passes' in row.note


def test_a_large_difference_has_a_reason(detector):
    for row in detector.values():
        assert row.madds > 0
        if row.paper_madds is None:
            continue
        if abs(row.madds / row.paper_madds - 1) > 0.02:
            reason = row.note.rpartition('; ')[2]
            assert reason and not reason.startswith('FLOPs'), row


@pytest.fixture
def toolboxes():
    """What FADConv's encoders are made of."""
    pytest.importorskip('mmseg')
    pytest.importorskip('mmpretrain')


def test_fadconv(toolboxes):
    rows = fadconv_table()
    assert len(rows) == 14
    for row in rows:
        # The papers' figures are differences of numbers to 0.01 M; ResNet-34
        # is 0.012 M from them. One of the multiply-adds is given to 0.01 G.
        assert row.params == pytest.approx(row.paper_params, abs=0.013), row
        near = dict(rel=4e-3) if 'P=32' in row.method else dict(abs=0.01)
        assert row.madds == pytest.approx(row.paper_madds, **near), row


def test_rivals(toolboxes):
    rows = {(r.model, r.method): r for r in rivals_table()}
    assert len(rows) == 12
    for (model, method), row in rows.items():
        # Kernels are mixed out of more than is added, and routers run.
        assert row.madds > row.params
        if 'ResNet' in model and 'KW' not in method:
            assert row.params == pytest.approx(row.paper_params, rel=0.016)
        elif 'KW' in method:
            assert row.params == pytest.approx(row.paper_params, rel=0.03)
        if method.startswith('DY') and 'ResNet' in model:
            assert row.madds == pytest.approx(row.paper_madds, rel=0.012), row


def test_stock_models_are_as_large_as_the_papers(toolboxes):
    rows = stock_table()
    assert len(rows) == 5
    for row in rows:
        assert row.params == pytest.approx(row.paper_params, rel=0.01), row
        assert row.madds == pytest.approx(row.paper_madds, rel=0.01), row


ROWS = [
    Row('R_50', 'A', 1.0, 2.0, 30.5, None, 'why, so'),
    Row('R_50', 'B & C', 0.1, 0.1, 3.0, 3.0),
]


def cells(line):
    return [cell.strip() for cell in line.split('|')[1:-1]]


def test_markdown():
    table = Table('One', ROWS, ('for all',), added=False)
    lines = FORMATS['markdown']([table]).splitlines()
    assert lines[0] == '## One'
    head, rule, first, second = lines[2:6]
    assert cells(head)[:5] == [
        *('model', 'method', 'parameters', "paper's", 'difference'),
    ]
    assert [mark[-1] for mark in cells(rule)] == [*'--', *':' * 6]
    assert cells(first) == [
        *('R_50', 'A', '1.000 M', '2.00 M', '-50.0 %', '30.50 M', '-', '-'),
    ]
    assert cells(second)[4:] == ['+0.0 %', '3.00 M', '3.00 M', '+0.0 %']
    assert lines[7:] == ['- R_50, A: why, so.', '- for all']


def test_large_numbers_are_in_giga():
    table = Table('One', [Row('R', 'A', 1.0, 1.0, 7099.0, 1800.0)])
    row = cells(FORMATS['markdown']([table]).splitlines()[4])
    assert row[5:] == ['+7.099 G', '+1.80 G', '+294.4 %']


def test_csv():
    table = Table('One', ROWS)
    lines = FORMATS['csv']([table, table]).splitlines()
    assert lines[0] == (
        'table,model,method,params,paper_params,madds,paper_madds,note'
    )
    expected = [
        'One,R_50,A,1.0,2.0,30.5,,"why, so"',
        'One,R_50,B & C,0.1,0.1,3.0,3.0,',
    ]
    assert lines[1:] == expected * 2


def test_latex():
    text = FORMATS['latex']([Table('50 %', ROWS, ('a_b',))])
    lines = text.splitlines()
    assert r'\caption{50 \%}' in lines
    assert r'\begin{tabular}{llrrrrrr}' in lines
    assert (
        r'R\_50 & A & +1.000 M & +2.00 M & -50.0 \% & +30.50 M & - & - \\'
    ) in lines
    assert r'\par\small R\_50, A: why, so.' in lines
    assert r'\par\small a\_b' in lines
    assert text.count(r'\begin{') == text.count(r'\end{') == 2
