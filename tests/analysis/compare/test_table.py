"""Final and best metrics, over seeds and in files."""

import csv

import pytest

from mmfdconv.analysis.compare import runs, table

from .logs import epoch, seeds, write_log

pytestmark = pytest.mark.core


@pytest.mark.parametrize(
    ('metric', 'lower'),
    [('val/loss', True), ('mae', True), ('loss/mIoU', False), ('P', False)],
)
def test_the_direction_of_a_metric(metric, lower):
    assert table.lower_is_better(metric) is lower


def test_final_and_best_over_seeds(tmp_path, by_iter):
    logs = [*seeds(tmp_path, [10.0, 14.0]), runs.read_run(by_iter)]
    groups = runs.group_runs(logs)
    ours = dict(ours=groups['ours'])
    assert table.summarise(ours, ['mIoU', 'mae']) == [
        ('ours', 0, 'mIoU', 10.0, 2, 19.0, 1),
        ('ours', 1, 'mIoU', 14.0, 2, 23.0, 1),
        ('ours', 0, 'mae', 3.0, 2, 2.0, 1),
        ('ours', 1, 'mae', 3.0, 2, 2.0, 1),
    ]
    text = table.summaries_to_markdown(table.summarise(groups, ['mIoU']))
    # sample standard deviation of 10 and 14
    cells = [c.strip() for c in text.splitlines()[2].split('|')[1:-1]]
    assert cells == ['ours', '2', '2', '12.00 ± 2.83', '21.00 ± 2.83', '1']
    cells = [c.strip() for c in text.splitlines()[3].split('|')[1:-1]]
    assert cells == ['by_iter', '1', '160', '50.00', '50.00', '160']


def test_nan_counts_nowhere(tmp_path):
    lines = [*epoch(1, 1.0, P=0.5), *epoch(2, 1.0, P=float('nan'))]
    write_log(tmp_path / 'some', '1', lines)
    write_log(tmp_path / 'none', '1', lines[3:])
    logs = [runs.read_run(tmp_path / name) for name in ('some', 'none')]
    summaries = table.summarise(runs.group_runs(logs), ['P'])
    assert [s.final for s in summaries] == [0.5, None]
    text = table.summaries_to_markdown(summaries).splitlines()
    # Shares have more decimals than percentages.
    assert '0.5000' in text[2]
    assert text[3].replace(' ', '') == '|none|0|-|-|-|-|'


def test_files(tmp_path):
    groups = runs.group_runs(seeds(tmp_path, [10.0, 14.0]))
    summaries = table.summarise(groups, ['mIoU'])
    path = tmp_path / 'new' / 'runs.csv'
    table.write_summaries(summaries, path)
    with path.open(newline='') as file:
        rows = [*csv.DictReader(file)]
    assert [float(row['final']) for row in rows] == [10.0, 14.0]
    assert [row['run'] for row in rows] == ['0', '1']
    table.write_summaries(summaries, tmp_path / 'runs.MD')
    text = (tmp_path / 'runs.MD').read_text()
    assert text == table.summaries_to_markdown(summaries) + '\n'
    with pytest.raises(ValueError, match=r'\.md or \.csv'):
        table.write_summaries(summaries, tmp_path / 'runs.txt')
