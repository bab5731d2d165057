"""The tools as a user runs them: in processes of their own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 300


@pytest.fixture
def tool(tmp_path):
    """Run ``tools/<name>`` in ``tmp_path`` and return the finished process."""

    def tool(name, *args, **env):
        path = ROOT / 'tools' / name
        program = ['bash'] if path.suffix == '.sh' else [sys.executable]
        variables = dict(
            os.environ,
            PYTHON=sys.executable,
            PYTHONPATH=f'{ROOT}{os.pathsep}{tmp_path}',
            OMP_NUM_THREADS='1',
            **env,
        )
        return subprocess.run(
            [*program, str(path), *map(str, args)],
            env=variables,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
        )

    return tool
