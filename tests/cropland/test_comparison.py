"""Comparing methods: the recipe, the runs' folders, the table."""

import csv
import json
import statistics

import numpy as np
import pytest
from PIL import Image

pytest.importorskip('mmseg')

from mmengine.config import Config

from mmfdconv.cropland import comparison_table
from mmfdconv.cropland.comparison import Recipe, plan_runs, train

SIDE = 48


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """Four tiles to train on, two to validate on."""
    root = tmp_path_factory.mktemp('data') / 'gid'
    rng = np.random.default_rng(0)
    for split, number in (('train', 5), ('val', 2)):
        for kind, shape in (('img_dir', (SIDE, SIDE, 3)), ('ann_dir', 0)):
            folder = root / kind / split
            folder.mkdir(parents=True)
            for index in range(number):
                values = rng.integers(0, 255, shape or (SIDE, SIDE))
                values = values if shape else values % 6
                image = Image.fromarray(values.astype(np.uint8))
                image.save(folder / f'{index}.png')
    return root


@pytest.fixture
def recipe(data):
    return Recipe(str(data), epochs=2, batch_size=2, lr=1e-3, resize=32)


@pytest.mark.core
def test_the_recipe_is_in_the_config(recipe):
    recipe = recipe._replace(schedule='linear', dtype='bfloat16')
    cfg = recipe.config('kw1x', seed=3)
    assert cfg.train_dataloader.batch_size == 2
    assert cfg.optim_wrapper.optimizer.lr == 1e-3
    assert cfg.optim_wrapper.dtype == 'bfloat16'
    assert cfg.train_cfg.max_epochs == cfg.param_scheduler[0].end == 2
    assert cfg.randomness.seed == 3
    assert cfg.model.backbone.conv_cfg.type == 'KWConv'
    (hook,) = cfg.custom_hooks
    assert (hook.by, hook.length) == ('share', 0.1)
    kinds = [step['type'] for step in cfg.train_dataloader.dataset.pipeline]
    assert kinds[2:] == ['Resize', 'PackSegInputs']
    # The label keeps its size where scores are made.
    kinds = [step['type'] for step in cfg.val_dataloader.dataset.pipeline]
    assert kinds.index('Resize') < kinds.index('LoadAnnotations')


@pytest.mark.core
def test_the_paper_s_recipe_is_the_default(data):
    cfg = Recipe(str(data), batch_size=5).config('stock', seed=0)
    assert cfg.optim_wrapper.optimizer.lr == 1e-4
    assert cfg.train_cfg.max_epochs == 50
    assert cfg.param_scheduler is None
    assert len(cfg.train_dataloader.dataset.pipeline) == 3
    assert tuple(cfg.model.data_preprocessor.size) == (SIDE, SIDE)
    cfg = Recipe(str(data), batch_size=5, crop=32).config('stock', seed=0)
    assert cfg.train_dataloader.dataset.pipeline[2]['type'] == 'RandomCrop'
    assert tuple(cfg.model.data_preprocessor.size) == (32, 32)


@pytest.mark.core
@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(epochs=0), 'epochs must be at least 1'),
        (dict(lr=0.0), 'lr must be above 0'),
        (dict(batch_size=6), 'batch_size must be at most 5'),
        (dict(schedule='cosine'), 'schedule must be one of constant, linear'),
        (dict(dtype='int8'), 'dtype must be one of float32'),
        (dict(resize=64), r'resize must be 0 \(none\) or 32 to 48'),
        (dict(crop=40), r'crop must be 0 \(none\) or 32 to 32'),
        (dict(data_root='absent'), 'there is no img_dir/train'),
    ],
)
def test_wrong_options(recipe, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        plan_runs(recipe._replace(**options), ['stock'], 1, str(tmp_path))


@pytest.mark.core
def test_wrong_methods_and_seeds(recipe, tmp_path):
    with pytest.raises(ValueError, match='methods must be among stock, '):
        plan_runs(recipe, ['stock', 'none'], 1, str(tmp_path))
    with pytest.raises(ValueError, match='seeds must be at least 1'):
        plan_runs(recipe, ['stock'], 0, str(tmp_path))


@pytest.mark.core
def test_seed_by_seed_and_never_another_recipe(recipe, tmp_path):
    methods = ['fadconv', 'stock']
    runs = plan_runs(recipe, methods, 2, str(tmp_path))
    assert list(map(str, runs)) == [
        'fadconv, seed 0',
        'stock, seed 0',
        'fadconv, seed 1',
        'stock, seed 1',
    ]
    plan_runs(recipe, methods, 3, str(tmp_path))
    seeds = [Config.fromfile(run.config).randomness.seed for run in runs]
    assert seeds == [0, 0, 1, 1]
    with pytest.raises(ValueError, match='a run of another recipe .*lr=0.001'):
        plan_runs(recipe._replace(lr=0.5), methods, 2, str(tmp_path))


def fake_run(run, scores, recipe):
    """Leave what a finished run leaves."""
    lines = []
    for step in range(1, 2 * recipe.epochs + 1):
        lines.append(dict(loss=1.0, time=step / 8, iter=step, epoch=step // 3))
    values = {f'cropland/{name}': 50.0 for name in ('OA', 'P', 'R', 'F1')}
    values['cropland/mIoU'], values['cropland/IoU'] = scores
    lines.append({**values, 'step': recipe.epochs})
    path = run.folder / '1' / 'vis_data' / 'scalars.json'
    path.parent.mkdir(parents=True)
    path.write_text(''.join(json.dumps(line) + '\n' for line in lines))
    run.checkpoint(recipe.epochs).touch()


@pytest.mark.core
def test_table_and_files(recipe, tmp_path):
    pytest.importorskip('matplotlib')
    runs = plan_runs(recipe, ['fadconv', 'stock'], 2, str(tmp_path))
    for run, scores in zip(runs, [(10, 20), (30, 40), (14, 26), (34, 40)]):
        assert not run.is_finished(recipe)
        fake_run(run, scores, recipe)
        assert run.is_finished(recipe)
    text = comparison_table.write(recipe, runs, tmp_path)
    assert text == (tmp_path / 'methods.md').read_text()
    lines = text.splitlines()
    # In the paper's order, whatever the order of running.
    assert lines[2].startswith('| stock conv')
    assert lines[3].startswith('| FADConv, P = 16')
    assert '12.00 ± 2.83' in lines[3] and '40.00 ± 0.00' in lines[2]
    assert '312' in lines[2]  # ms: the median of 1, 2, 3, 4 eighths
    with (tmp_path / 'methods.csv').open(newline='') as file:
        rows = [*csv.DictReader(file)]
    assert [float(row['mIoU']) for row in rows] == [30, 34, 10, 14]
    added = int(rows[2]['parameters']) - int(rows[0]['parameters'])
    assert added == 1787216  # what the paper calls +1.78 M
    assert (tmp_path / 'curves.png').stat().st_size > 5000


@pytest.mark.slow
def test_costs_and_turns(recipe):
    found = [comparison_table.costs(recipe, m) for m in ('stock', 'fadconv')]
    assert found[0].multiply_adds < found[1].multiply_adds
    ratios = comparison_table.step_ratios(recipe, ['odconv'], rounds=2)
    assert ratios['stock'] == 1 and ratios['odconv'] > 0


@pytest.mark.slow
def test_a_run_is_trained_resumed_and_then_left_alone(recipe, tmp_path):
    (run,) = plan_runs(recipe, ['fadconv'], 1, str(tmp_path))
    heard = []
    train(run, recipe, heard.append)
    assert run.is_finished(recipe)
    log = run.log()
    assert [p['iter'] for p in log.train] == [1, 2, 3, 4]
    assert [p['step'] for p in log.val] == [1, 2]
    assert statistics.median(p['time'] for p in log.train) > 0
    assert comparison_table.line(run).startswith('fadconv, seed 0: OA ')

    # The same command again.
    (run,) = plan_runs(recipe, ['fadconv'], 1, str(tmp_path))
    starts = len([*run.folder.glob('*/vis_data')])
    train(run, recipe)
    assert len([*run.folder.glob('*/vis_data')]) == starts

    longer = recipe._replace(epochs=3)
    run.config.unlink()
    (run,) = plan_runs(longer, ['fadconv'], 1, str(tmp_path))
    assert not run.is_finished(longer)
    train(run, longer)
    assert run.is_finished(longer)
    assert [p['epoch'] for p in run.log().train] == [1, 1, 2, 2, 3, 3]


@pytest.mark.slow
def test_a_failed_run_is_named(recipe, tmp_path):
    (run,) = plan_runs(recipe, ['stock'], 1, str(tmp_path))
    run.config.write_text("default_scope = 'none'")
    with pytest.raises(RuntimeError, match='stock, seed 0 failed') as error:
        train(run, recipe)
    assert "default_scope='none'" in str(error.value)
    assert str(run.folder / 'train.log') in str(error.value)
