"""The demo's own tools: its data, its report, and how it stops."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
DEMO = REPO / 'tools' / 'demo'
STEPS = ['make_data.py', 'train.py', 'test.py', 'report.py']


@pytest.fixture
def finished(tmp_path):
    """What train and test leave behind."""
    pytest.importorskip('matplotlib')
    work_dir = tmp_path / 'demo'
    logs = work_dir / 'train' / '20250101_000000' / 'vis_data'
    logs.mkdir(parents=True)
    (logs / 'scalars.json').write_text('{"loss": 1.0, "iter": 10}\n')
    results = work_dir / 'test' / '20250101_000100'
    results.mkdir(parents=True)
    metrics = {
        f'coco/{kind}_mAP{which}': value
        for kind in ('bbox', 'segm')
        for which, value in (('', 0.3), ('_50', 0.625), ('_75', 0.25))
    }
    (results / '20250101_000100.json').write_text(json.dumps(metrics))
    (results / 'predictions').mkdir()
    return work_dir


@pytest.mark.core
def test_data_are_made_and_kept(tool, tmp_path):
    args = (
        tmp_path / 'shapes',
        *('--num-train', 1, '--num-val', 1, '--image-size', 64, '--seed', 3),
    )
    for word in ('1 images to train on', 'kept'):
        done = tool('demo/make_data.py', *args)
        assert done.returncode == 0, done.stdout
        assert word in done.stdout


@pytest.mark.core
def test_wrong_data_options_end_with_one_sentence(tool, tmp_path):
    done = tool('demo/make_data.py', tmp_path / 'shapes', '--num-train', 0)
    assert done.returncode == 1
    assert done.stdout.startswith('make_data.py: error: num_train must be')
    assert 'Traceback' not in done.stdout


@pytest.mark.core
def test_report(tool, finished):
    done = tool('demo/report.py', finished, '--seconds', 125)
    assert done.returncode == 0, done.stdout
    assert '0.300  0.625  0.250' in done.stdout
    assert 'The demo took 2 min 5 s.' in done.stdout
    assert str(finished / 'test/20250101_000100/predictions') in done.stdout
    assert str(finished / 'curves.png') in done.stdout
    assert (finished / 'curves.png').stat().st_size > 0


@pytest.mark.core
def test_a_poor_result_is_an_error_after_the_report(tool, finished):
    done = tool('demo/report.py', finished, '--min-ap50', 0.7)
    assert done.returncode == 1
    assert 'curves.png' in done.stdout
    assert 'box AP50 is 0.625, but the demo must reach' in done.stdout


@pytest.mark.core
def test_a_missing_result_is_named(tool, finished):
    shutil.rmtree(finished / 'test')
    done = tool('demo/report.py', finished)
    assert done.returncode == 1
    assert "exactly one 'test/*/*.json', found 0" in done.stdout
    assert 'Traceback' not in done.stdout


@pytest.fixture
def demo(tmp_path):
    """Run the script in a place of its own, with a stand-in for Python."""
    home = tmp_path / 'a checkout'
    script = home / 'tools' / 'demo' / 'run.sh'
    script.parent.mkdir(parents=True)
    shutil.copy(DEMO / 'run.sh', script)
    program = tmp_path / 'python'
    program.write_text(
        f'#!{sys.executable}\n'
        'import os, pathlib, sys\n'
        'tool = os.path.basename(sys.argv[1])\n'
        f'with open({str(tmp_path / "calls")!r}, "a") as file:\n'
        '    print(*sys.argv[1:], file=file)\n'
        'if tool == os.environ.get("FAILS"):\n'
        '    sys.exit(3)\n'
        'if tool == "train.py":\n'
        '    out = pathlib.Path(sys.argv[4])\n'
        '    out.mkdir(parents=True)\n'
        '    (out / "last_checkpoint").write_text("epoch 9.pth")\n'
    )
    program.chmod(0o755)

    def demo(fails=''):
        done = subprocess.run(
            ['bash', str(script)],
            env=dict(os.environ, PYTHON=str(program), FAILS=fails),
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        calls = (tmp_path / 'calls').read_text().splitlines()
        (tmp_path / 'calls').unlink()
        return done, calls

    demo.home = home
    return demo


@pytest.mark.core
def test_the_steps_follow_each_other(demo):
    done, calls = demo()
    assert done.returncode == 0, done.stderr
    assert [call.split()[0].rpartition('/')[2] for call in calls] == STEPS
    config = calls[1].split()[1]
    assert (REPO / config).is_file()
    # The checkpoint that the training named is the one that is tested.
    assert calls[2].startswith(f'tools/test.py {config} epoch 9.pth ')
    # Progress: a headline before every step.
    assert [f'{n}/4' in done.stdout for n in range(1, 5)] == [True] * 4


@pytest.mark.core
def test_a_second_run_trains_in_a_clean_folder(demo):
    demo()
    leftover = demo.home / 'work_dirs' / 'demo' / 'train' / 'old.pth'
    leftover.touch()
    done, _ = demo()
    assert done.returncode == 0, done.stderr
    assert not leftover.exists()
    assert 'work_dirs/demo: removed' in done.stdout


@pytest.mark.core
@pytest.mark.parametrize('step', STEPS)
def test_a_failing_step_ends_the_demo(demo, step):
    done, calls = demo(fails=step)
    assert done.returncode == 3
    assert len(calls) == STEPS.index(step) + 1
