"""train.py and test.py on a tiny experiment of each toolbox."""

import math
import pickle

import pytest

pytest.importorskip('mmengine')

from .experiments import WRITERS, losses

#: What ``--out`` and ``--show-dir`` leave behind.
OUT = dict(mmdet='out.pkl', mmseg='out', mmpretrain='out.pkl')


@pytest.mark.slow
@pytest.mark.parametrize(
    'scope',
    [
        pytest.param('mmdet', marks=pytest.mark.core),
        'mmseg',
        'mmpretrain',
    ],
)
def test_train_resume_test(scope, tool, tmp_path):
    pytest.importorskip(scope)
    config = WRITERS[scope](tmp_path)
    work_dir = tmp_path / 'work dir'

    anew = scope == 'mmdet'  # one that has to find everything by itself
    words = (config, '--work-dir', work_dir)
    result = tool('train.py', *words, '--amp', anew=anew)
    assert result.returncode == 0, result.stdout
    assert 'float32' in result.stdout  # --amp without GPU speaks up
    first = losses(work_dir)
    assert len(first) == 2
    assert all(map(math.isfinite, first))
    latest = (work_dir / 'last_checkpoint').read_text()

    # a second run goes on where the first one ended
    longer = 'max_iters=4' if scope == 'mmseg' else 'max_epochs=2'
    result = tool(
        *('train.py', *words, '--resume'),
        *('--cfg-options', f'train_cfg.{longer}'),
    )
    assert result.returncode == 0, result.stdout
    assert 'resumed epoch: ' in result.stdout
    assert len(losses(work_dir)) == 4
    checkpoint = (work_dir / 'last_checkpoint').read_text()
    assert checkpoint != latest

    result = tool(
        'test.py',
        config,
        checkpoint,
        '--out',
        OUT[scope],
        '--show-dir',
        'drawn',
    )
    assert result.returncode == 0, result.stdout
    # Beside what a training would write there, not over it.
    (default_work_dir,) = (tmp_path / 'work_dirs' / config.stem).iterdir()
    assert default_work_dir.name == 'test'
    _check_predictions(scope, tmp_path)
    drawn = {
        'mmdet': default_work_dir.glob('*/drawn/*.jpg'),
        'mmseg': (tmp_path / 'drawn').rglob('*.png'),
        'mmpretrain': (tmp_path / 'drawn').rglob('*.png'),
    }[scope]
    assert len(list(drawn)) == (4 if scope == 'mmpretrain' else 2)


def _check_predictions(scope, folder):
    out = folder / OUT[scope]
    if scope == 'mmseg':
        assert sorted(p.name for p in out.iterdir()) == ['0.png', '1.png']
        return
    with out.open('rb') as file:
        predictions = pickle.load(file)
    if scope == 'mmdet':
        assert len(predictions) == 2
        found = predictions[0]['pred_instances']
        assert len(found['masks']) == len(found['scores'])
    else:
        assert len(predictions) == 4
        assert predictions[0]['pred_score'].shape == (2,)


@pytest.mark.core
def test_train_errors_name_the_option(tool, tmp_path):
    result = tool('train.py', 'none.py')
    assert result.returncode == 1
    assert result.stdout.strip().startswith(
        "train.py: error: config: 'none.py' is not a file"
    )

    pytest.importorskip('mmdet')
    config = tmp_path / 'a.py'
    config.write_text("default_scope = 'mmdet'\n")
    result = tool('train.py', config, '--resume', 'none.pth')
    assert result.returncode == 1
    assert "error: --resume: 'none.pth' is not a file" in result.stdout


def test_test_errors_name_the_option(tool, tmp_path):
    pytest.importorskip('mmdet')
    config = tmp_path / 'a.py'
    config.write_text(
        "default_scope = 'mmdet'\ntest_dataloader = test_cfg = dict()\n"
        "test_evaluator = dict(type='CocoMetric')\n"
    )
    result = tool('test.py', config, 'none.pth')
    assert result.returncode == 1
    assert "test.py: error: checkpoint: 'none.pth'" in result.stdout

    (tmp_path / 'a.pth').touch()
    result = tool('test.py', config, 'a.pth', '--out', 'out.json')
    assert result.returncode == 1
    assert "error: --out: 'out.json' must end with .pkl" in result.stdout
