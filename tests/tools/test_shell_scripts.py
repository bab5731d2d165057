"""The shell scripts pass on what they are given, blanks and all."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[2] / 'tools'
CONFIG = 'my configs/a config.py'
CHECKPOINT = 'my work/a checkpoint.pth'
OPTION = 'model.name=[two words]'


@pytest.fixture
def call(tmp_path):
    """Run a script with programs in place that write down how they run."""
    record = tmp_path / 'record.json'
    program = tmp_path / 'srun'
    program.write_text(
        f'#!{sys.executable}\n'
        'import json, os, sys\n'
        f'json.dump([sys.argv[1:], os.environ["PYTHONPATH"]], '
        f'open({str(record)!r}, "w"))\n'
    )
    program.chmod(0o755)

    def call(script, *args, **env):
        base = {k: v for k, v in os.environ.items() if k != 'PYTHONPATH'}
        path = f'{tmp_path}{os.pathsep}{base["PATH"]}'
        result = subprocess.run(
            ['bash', str(TOOLS / script), *args],
            env={**base, 'PATH': path, 'PYTHON': str(program), **env},
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        called = json.loads(record.read_text()) if record.exists() else None
        return result, called

    return call


@pytest.mark.core
@pytest.mark.parametrize(
    ('script', 'args', 'tool'),
    [
        ('dist_train.sh', [CONFIG, '2', OPTION], ['train.py', CONFIG]),
        (
            'dist_test.sh',
            [CONFIG, CHECKPOINT, '2', OPTION],
            ['test.py', CONFIG, CHECKPOINT],
        ),
    ],
)
def test_dist(call, script, args, tool):
    result, called = call(script, *args, NNODES='3', PORT='1234')
    assert result.returncode == 0, result.stderr
    argv, pythonpath = called
    assert argv == [
        '-m',
        'torch.distributed.run',
        '--nnodes=3',
        '--node_rank=0',
        '--master_addr=127.0.0.1',
        '--master_port=1234',
        '--nproc_per_node=2',
        str(TOOLS / tool[0]),
        *tool[1:],
        '--launcher',
        'pytorch',
        OPTION,
    ]
    assert pythonpath == str(TOOLS.parent)


@pytest.mark.parametrize(
    ('script', 'last', 'tool'),
    [
        (
            'slurm_train.sh',
            'a work dir',
            ['train.py', CONFIG, '--work-dir', 'a work dir'],
        ),
        ('slurm_test.sh', CHECKPOINT, ['test.py', CONFIG, CHECKPOINT]),
    ],
)
def test_slurm(call, script, last, tool, tmp_path):
    result, called = call(
        script,
        'a partition',
        'a job',
        CONFIG,
        last,
        OPTION,
        GPUS='4',
        SRUN_ARGS='--quotatype=auto --async',
        PYTHONPATH='/elsewhere',
    )
    assert result.returncode == 0, result.stderr
    argv, pythonpath = called
    assert argv == [
        '-p',
        'a partition',
        '--job-name=a job',
        '--gres=gpu:8',
        '--ntasks=4',
        '--ntasks-per-node=8',
        '--cpus-per-task=5',
        '--kill-on-bad-exit=1',
        '--quotatype=auto',
        '--async',
        str(tmp_path / 'srun'),
        '-u',
        str(TOOLS / tool[0]),
        *tool[1:],
        '--launcher',
        'slurm',
        OPTION,
    ]
    assert pythonpath == f'{TOOLS.parent}:/elsewhere'


@pytest.mark.parametrize(
    'script',
    ['dist_train.sh', 'dist_test.sh', 'slurm_train.sh', 'slurm_test.sh'],
)
def test_too_few_arguments_show_the_usage(call, script):
    result, called = call(script, CONFIG)
    assert result.returncode == 2
    assert called is None
    assert f'{script} ' in result.stderr
    assert 'CONFIG' in result.stderr
