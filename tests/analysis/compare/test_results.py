"""Scores, differences and tables of a comparison."""

import csv
import math

import pytest
import torch
from mmengine.logging import MMLogger

pytest.importorskip('mmpretrain')
pytest.importorskip('matplotlib')

from scipy import stats

from mmfdconv.analysis.compare import results
from mmfdconv.analysis.compare.results import paired_difference
from mmfdconv.analysis.compare.training import plan_runs
from mmfdconv.analysis.cost.counter import FlopCount
from mmfdconv.analysis.cost.model_cost import Cost, CostRow

from .test_training import configs, leave_checkpoints, leave_log

pytestmark = pytest.mark.core

STOCK = {0: 70.0, 1: 60.0, 2: 65.0}
OWN = {0: 71.0, 1: 62.0, 2: 66.5}


def test_interval_of_the_paired_t_test():
    """Differences 1, 2, 1.5: t(0.975, 2) = 4.3027 times 0.5 / sqrt(3)."""
    found = paired_difference(OWN, STOCK)
    assert found.mean == pytest.approx(1.5)
    assert found.high - found.mean == pytest.approx(
        4.3027 * 0.5 / math.sqrt(3), rel=1e-4
    )
    assert found.text(2) == '+1.50 [+0.26, +2.74]'
    # It holds 0 exactly where the test at 5 % does not tell them apart.
    p = stats.ttest_rel(list(OWN.values()), list(STOCK.values())).pvalue
    assert (p < 0.05) == (found.low > 0)


def test_only_seeds_in_common_are_paired():
    assert paired_difference({0: 1.0, 7: 9.0}, STOCK) is None
    assert paired_difference({**OWN, 7: 0.0}, STOCK) == paired_difference(
        OWN, STOCK
    )


def finished_runs(folder):
    runs = plan_runs(configs(), 3, str(folder))
    for run in runs:
        scores = STOCK if run.method == 'stock' else OWN
        leave_log(run, val=(1, 2))
        path = run.folder / '1' / 'vis_data' / 'scalars.json'
        path.write_text(
            path.read_text().replace('50.0', str(scores[run.seed]))
        )
        leave_checkpoints(run, 2)
    return runs


def cost(params, flops):
    rows = [CostRow('backbone', '', params, flops, 0)]
    return Cost(rows, FlopCount(), (64, 64), None)


def test_tables_and_files(tmp_path):
    runs = finished_runs(tmp_path / 'runs')
    costs = {
        'stock': cost(11_000_000, 2_000_000_000),
        'fdconv': cost(11_500_000, 2_100_000_000),
    }
    movements = dict(stock=[{}] * 3, fdconv=[{'a': 0.1, 'b': 0.3}] * 3)
    ratios = dict(stock=1.0, fdconv=1.5)
    out = tmp_path / 'out'
    text = results.write(out, runs, costs, ratios, movements, ['A note.'])
    assert text == (out / 'comparison.md').read_text()
    cells = [
        [cell.strip() for cell in line.strip('|').split('|')]
        for line in text.splitlines()
        if line.startswith('|')
    ]
    metric = 'accuracy/top1'
    assert [metric, 'stock', '3', '65.00 ± 5.00', '-'] in cells
    assert [
        *(metric, 'fdconv', '3', '66.50 ± 4.50'),
        '+1.50 [+0.26, +2.74]',
    ] in cells
    assert ['stock', '11.000 M', '2.000 G', '1.00', '-', '-'] in cells
    assert [
        *('fdconv', '11.500 M', '2.100 G', '1.50', '0.2000', '0.3000')
    ] in cells
    assert text.endswith('A note.\n')
    with (out / 'comparison.csv').open(newline='') as file:
        rows = {row['method']: row for row in csv.DictReader(file)}
    assert float(rows['fdconv']['difference']) == pytest.approx(1.5)
    assert rows['stock']['difference'] == rows['stock']['gates_move'] == ''
    assert rows['fdconv']['scores'] == '71.0 62.0 66.5'
    with (out / 'gates.csv').open(newline='') as file:
        layers = {row['layer']: row for row in csv.DictReader(file)}
    assert float(layers['b']['mean']) == pytest.approx(0.3)
    assert (out / 'comparison.png').is_file()


@pytest.mark.parametrize(
    ('gone', 'seeds', 'last'), [(1, '2', '64.25 ± 3.18'), (3, '0', '-')]
)
def test_a_score_that_is_nan_counts_nowhere(gone, seeds, last, tmp_path):
    runs = finished_runs(tmp_path)
    for run in [run for run in runs if run.method == 'fdconv'][:gone]:
        path = run.folder / '1' / 'vis_data' / 'scalars.json'
        score = str(OWN[run.seed])
        path.write_text(path.read_text().replace(score, 'NaN'))
    costs = {run.method: cost(1, 1) for run in runs}
    text = results.write(tmp_path, runs, costs, {}, {}, [])
    (line,) = (line for line in text.splitlines() if 'top1 | fdconv' in line)
    assert [cell.strip() for cell in line.split('|')][3:5] == [seeds, last]
    with (tmp_path / 'comparison.csv').open(newline='') as file:
        rows = {row['method']: row for row in csv.DictReader(file)}
    assert len(rows['fdconv']['scores'].split()) == int(seeds)


def test_a_score_that_the_last_validation_lacks_counts_nowhere(tmp_path):
    """As of a detector that detects nothing any more."""
    run, *_ = finished_runs(tmp_path)
    path = run.folder / '1' / 'vis_data' / 'scalars.json'
    before, _, after = path.read_text().rpartition('top1')
    path.write_text(f'{before}other{after}')
    (row,) = results.rows([run], ['accuracy/top1'])
    assert row.scores == {} and row.difference is None


def test_classes_of_a_segmentor(tmp_path, monkeypatch):
    """What MMSegmentation's own metric logs, of two classes and two runs."""
    metrics = pytest.importorskip('mmseg.evaluation')
    finished = finished_runs(tmp_path / 'runs')
    for number, run in enumerate(finished):
        logger = MMLogger(str(run), log_file=str(run.folder / '1' / '1.log'))
        monkeypatch.setattr(
            MMLogger, 'get_current_instance', lambda logger=logger: logger
        )
        metric = metrics.IoUMetric()
        metric.dataset_meta = dict(classes=('road', 'traffic light'))
        for hits in (1, 40 + number**2):  # two validations
            pixels = [torch.tensor([n, 0]) for n in (hits, 100, 90, 90)]
            metric.compute_metrics([pixels])
    costs = {run.method: cost(1, 1) for run in finished}
    text = results.write(tmp_path, finished, costs, {}, {}, [])
    rows = [
        [cell.strip() for cell in line.strip('|').split('|')]
        for line in text.splitlines()
    ]
    assert ['IoU of', 'stock', 'fdconv'] in rows
    # Stock's 40, 44, 56 and FDConv's 41, 49, 65: 1, 5 and 9 apart.
    assert ['road', '46.67 ± 8.33', '+5.00 [-4.94, +14.94]'] in rows
    assert ['traffic light', '-', '-'] in rows  # NaN: 0 / 0
    with (tmp_path / 'comparison.csv').open(newline='') as file:
        scores = {
            (row['metric'], row['method']): row['scores']
            for row in csv.DictReader(file)
        }
    assert scores['IoU.road', 'fdconv'] == '41.0 49.0 65.0'
    assert scores['Acc.road', 'stock'].split()[0] == '44.44'


def test_a_metric_that_a_run_lacks(tmp_path):
    runs = finished_runs(tmp_path)
    with pytest.raises(ValueError, match='mIoU'):
        results.write(tmp_path, runs, {}, {}, {}, [], ['mIoU'])
