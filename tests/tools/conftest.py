"""The tools as a user runs them: in processes of their own."""

import importlib
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ..processes import FORKS

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 300


@pytest.fixture(scope='session', autouse=True)
def _toolboxes_at_hand():
    """Import once what forks would import each for itself."""
    for name in ('mmdet', 'mmseg', 'mmpretrain'):
        try:
            utils = importlib.import_module(f'{name}.utils')
        except ImportError:
            continue
        utils.register_all_modules(init_default_scope=False)


class Running:
    """A tool at work.

    Args:
        pid: Of its process.
        wait: Wait so many seconds; return the exit status, None before.
        log: File of what it prints.
    """

    def __init__(self, pid, wait, log):
        self.pid, self._wait, self._log = pid, wait, log

    @property
    def stdout(self):
        return self._log.read_text()

    @property
    def returncode(self):
        """The exit status, None while it runs."""
        return self._wait(0)

    def end(self):
        """Wait for its end, or make one."""
        if self._wait(SECONDS) is None:
            self.kill()
        return self

    def kill(self):
        """End it and what it has started, at once."""
        os.killpg(self.pid, signal.SIGKILL)
        self._wait(SECONDS)


@pytest.fixture
def start(tmp_path):
    """Start ``tools/<name>`` in ``tmp_path``."""
    running = []

    def start(name, *args, anew=False, **env):
        """``anew``: in a process that has imported nothing."""
        log = tmp_path.with_name(f'{tmp_path.name}-{len(running)}.log')
        path = ROOT / 'tools' / name
        env = dict(
            env,
            PYTHON=sys.executable,
            PYTHONPATH=f'{ROOT}{os.pathsep}{tmp_path}',
            OMP_NUM_THREADS='1',
        )
        own = path.suffix == '.sh' or anew or not FORKS
        words = [str(path), *map(str, args)]
        running.append((_spawn if own else _fork)(words, env, tmp_path, log))
        return running[-1]

    yield start
    for tool in running:
        if tool.returncode is None:
            tool.kill()


@pytest.fixture
def tool(start):
    """Run ``tools/<name>`` in ``tmp_path`` and return the finished process."""
    return lambda *args, **options: start(*args, **options).end()


def _spawn(words, env, folder, log):
    program = 'bash' if words[0].endswith('.sh') else sys.executable
    with log.open('w') as file:
        process = subprocess.Popen(
            [program, *words],
            env={**os.environ, **env},
            cwd=folder,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def wait(seconds):
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    return Running(process.pid, wait, log)


def _fork(words, env, folder, log):
    log.touch()
    process = multiprocessing.get_context('fork').Process(
        target=_become, args=(words, env, folder, log)
    )
    process.start()

    def wait(seconds):
        process.join(seconds)
        return process.exitcode

    return Running(process.pid, wait, log)


def _become(words, env, folder, log):
    os.setsid()
    # Ctrl-C may be ignored where the tests run, such as in the background.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with log.open('w') as file:
        for number in (1, 2):
            os.dup2(file.fileno(), number)
    sys.stdout, sys.stderr = (
        os.fdopen(number, 'w', buffering=1) for number in (1, 2)
    )
    os.chdir(folder)
    os.environ.update(env)
    sys.path.insert(1, str(folder))
    sys.argv = words
    runpy.run_path(words[0], run_name='__main__')
