"""Make the pinned environment of a stack, once, and show what happens.

Called by setup_env.sh with Python 3.11; uses the standard library only.
"""

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# The operators of mmcv are compiled against torch, so mmcv comes after it.
MMCV = {'onedl': 'onedl-mmcv', 'openmmlab': 'mmcv'}
FOLDER = {'onedl': '.venv', 'openmmlab': '.venv-openmmlab'}
BUILD_TOOLS = ['setuptools', 'wheel', 'ninja', 'packaging']
TORCH = ['torch', 'torchvision']
HEADLESS = 'opencv-python-headless'
# Raise it when this script starts to make different environments.
RECIPE = 1
# Measured with an empty pip cache: the finished environment, and the
# downloads, which lie in the temporary folder and in pip's cache.
ENV_GB = 6.5
DOWNLOAD_GB = 3.0
HEARTBEAT_S = 10
GB = 1e9


class SetupError(Exception):
    """What went wrong and what to do about it, in one sentence."""


class Log:
    """Prints steps with the time since the start, and keeps pip's output."""

    def __init__(self, path):
        self.path = path
        self.start = time.monotonic()
        self.last = self.start

    def say(self, text):
        """Print one line at once, with the elapsed time."""
        self.last = time.monotonic()
        minutes, seconds = divmod(int(self.last - self.start), 60)
        print(f'[{minutes:2d}:{seconds:02d}] {text}', flush=True)

    def tail(self, lines=30):
        """Return the end of pip's output."""
        return '\n'.join(
            self.path.read_text(errors='replace').splitlines()[-lines:]
        )


class Environment:
    """The folder of one stack, and the commands that fill it."""

    def __init__(self, stack, folder):
        self.stack = stack
        # A link stays, and its target is made: CI keeps environments aside.
        self.path = Path(os.path.realpath(folder))
        self.requirements = ROOT / 'requirements' / f'{stack}.txt'
        self.pins = read_pins(self.requirements)
        self.python = self.path / 'bin' / 'python'
        self.stamp = self.path / 'mmfdconv-env.json'
        # On the environment's own file system: /tmp may be small.
        self.tmp = self.path / 'tmp'
        self.log = Log(self.path / 'setup.log')

    def state(self, complete):
        """Return what the stamp of an environment made now would hold."""
        text = self.requirements.read_bytes()
        return {
            'stack': self.stack,
            'requirements': hashlib.sha256(text).hexdigest(),
            'python': '{}.{}'.format(*sys.version_info[:2]),
            'recipe': RECIPE,
            'complete': complete,
        }

    def read_stamp(self):
        """Return the stamp, or None where there is none."""
        try:
            return json.loads(self.stamp.read_text())
        except (OSError, ValueError):
            return None

    def runs(self):
        """Whether the environment's interpreter starts."""
        try:
            done = subprocess.run(
                [str(self.python), '-c', 'import pip'],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        except OSError:
            return False
        return done.returncode == 0

    def variables(self, **more):
        """Return the variables under which pip and builds run."""
        env = dict(os.environ, **more)
        # A package on PYTHONPATH would count as installed.
        env.pop('PYTHONPATH', None)
        env['PATH'] = f'{self.path / "bin"}{os.pathsep}{env["PATH"]}'
        env['TMPDIR'] = str(self.tmp)
        env.setdefault('MAX_JOBS', str(compile_jobs()))
        return env

    def output(self, *command, **more):
        """Run a short command; return its exit status and its output."""
        done = subprocess.run(
            [str(self.python), *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self.variables(**more),
        )
        with self.log.path.open('a') as file:
            file.write(f'$ python {" ".join(command)}\n{done.stdout}')
        return done.returncode, done.stdout

    def pip(self, *arguments, progress=None, **more):
        """Run pip, with its large steps and a heartbeat on the screen."""
        command = [str(self.python), '-m', 'pip', *arguments]
        command += ['--progress-bar', 'off', '--disable-pip-version-check']
        with self.log.path.open('a') as file:
            file.write(f'$ {" ".join(command)}\n')
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors='replace',
            env=self.variables(**more),
            # So that an interrupt also ends the compilers that pip started.
            start_new_session=True,
        )
        reader = threading.Thread(target=self._read, args=(process,))
        reader.start()
        try:
            while process.poll() is None:
                time.sleep(0.2)
                if time.monotonic() - self.log.last >= HEARTBEAT_S:
                    self.log.say(f'  ... {(progress or self.sizes)()}')
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
                process.wait()
            reader.join()
        return process.returncode

    def _read(self, process):
        """Copy pip's output to the log and its large steps to the screen."""
        with self.log.path.open('a', buffering=1) as file:
            for line in process.stdout:
                file.write(line)
                text = line.strip()
                size = re.search(r'\(([\d.]+) [MG]B\)$', text)
                if text.startswith('Downloading') and size:
                    self.log.say(f'  {text}')
                elif text.startswith('Installing collected packages'):
                    number = text.count(',') + 1
                    self.log.say(f'  Installing {number} package(s)')
                elif text.startswith('Building wheel for') and (
                    'started' in text
                ):
                    self.log.say(f'  {text.partition(" (")[0]}')

    def pip_or_raise(self, *arguments, **more):
        """Run pip; raise with the log's end where it fails."""
        if self.pip(*arguments, **more):
            raise SetupError(
                f'pip failed (all of its output is in {self.log.path}); '
                f'mend the cause and run the same command again, it goes on '
                f'from here. Its last lines:\n{self.log.tail()}'
            )

    def install(self, *arguments):
        """Run `pip install`."""
        self.pip_or_raise('install', *arguments)

    def drop_unfinished(self):
        """Forget packages whose installation was cut off.

        pip writes INSTALLER after a package's files, but takes METADATA alone
        for an installed package.
        """
        for info in self.path.glob('lib/python*/site-packages/*.dist-info'):
            if not (info / 'INSTALLER').exists():
                shutil.rmtree(info)

    def sizes(self):
        """Say how far downloads and installation are."""
        new = folder_size(self.tmp) / GB
        have = folder_size(self.path / 'lib') / GB
        return f'{new:.2f} GB in temporary files, {have:.2f} GB installed'

    def compiled(self):
        """Say how many of mmcv's source files are compiled."""
        plans = list(self.tmp.glob('**/build.ninja'))
        if not plans:
            return 'preparing to compile'
        plan = plans[0]
        total = len(re.findall(r'^build .*\.o: ', plan.read_text(), re.M))
        done = sum(1 for _ in plan.parent.rglob('*.o'))
        # ninja opens an object only when its compiler writes it, so a file
        # that is there counts as done; linking follows the last.
        linking = ', linking' if done >= total else ''
        return f'mmcv: {done} of {total} files compiled{linking}'


def read_pins(path):
    """Return {name: version} of a requirements file."""
    pins = {}
    for line in path.read_text().splitlines():
        match = re.match(r'([A-Za-z0-9._-]+)==([^\s;]+)', line)
        if match:
            pins[match[1]] = match[2]
    return pins


def compile_jobs():
    """Return how many compilers fit: one a core, each with 2 GB."""
    memory = os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
    return max(1, min(len(os.sched_getaffinity(0)), int(memory / (2 * GB))))


def folder_size(path):
    """Return the bytes under a folder that may be changing meanwhile."""
    total = 0
    for folder, _, files in os.walk(path):
        for name in files:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(folder, name)).st_size
    return total


def existing_parent(path):
    """Return the nearest folder above `path` that exists."""
    while not path.exists():
        path = path.parent
    return path


def check_machine(env):
    """Raise where the environment cannot be made, before the long part."""
    parent = existing_parent(env.path)
    if not os.access(parent, os.W_OK):
        raise SetupError(
            f'cannot write to {parent}; make the folder writable or choose '
            f'another one: make ... VENV=/path/to/environment'
        )
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        raise SetupError(
            f'{sys.executable} cannot make virtual environments; install its '
            f'venv module (Debian: apt install python3-venv)'
        ) from None
    check_disk(env)


def check_disk(env):
    """Raise where the disk is too small for what is still to come."""
    have = folder_size(env.path / 'lib') / GB
    places = [('the environment', env.path, max(0.5, ENV_GB - have))]
    if have < ENV_GB / 2:
        places.append(("pip's temporary files", env.path, DOWNLOAD_GB))
        cache = os.environ.get('PIP_CACHE_DIR') or os.path.join(
            os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache', 'pip'
        )
        missing = DOWNLOAD_GB - folder_size(cache) / GB
        if missing > 0 and 'PIP_NO_CACHE_DIR' not in os.environ:
            places.append(("pip's cache", Path(cache), missing))
    disks = {}
    for purpose, path, size in places:
        parent = existing_parent(path)
        disks.setdefault(parent.stat().st_dev, []).append(
            (purpose, parent, size)
        )
    for uses in disks.values():
        purposes, parents, sizes = zip(*uses)
        needed, parent = sum(sizes), parents[0]
        free = shutil.disk_usage(parent).free / GB
        if free < needed:
            raise SetupError(
                f'not enough disk space: {needed:.1f} GB are needed for '
                f'{" and ".join(purposes)}, {free:.1f} GB are free at '
                f'{parent}; free some, or choose another place: '
                f'make ... VENV=/path/to/environment'
            )


def check_compiler():
    """Raise where mmcv's operators cannot be compiled."""
    compiler = os.environ.get('CXX', 'c++')
    if not shutil.which(compiler.split()[0]):
        raise SetupError(
            f"mmcv's operators must be compiled, but there is no C++ compiler "
            f'({compiler!r} was not found); install one (Debian: apt install '
            f'g++) or name a folder with an mmcv wheel in PIP_FIND_LINKS'
        )
    include = Path(sysconfig.get_paths()['include'])
    if not (include / 'Python.h').exists():
        raise SetupError(
            f"mmcv's operators must be compiled, but Python's headers are "
            f'missing ({include}/Python.h); install them (Debian: apt install '
            f'python3-dev) or name a folder with an mmcv wheel in '
            f'PIP_FIND_LINKS'
        )


def mmcv_wheel(env, wheels):
    """Look for a ready mmcv wheel: in the indexes, then in pip's cache.

    Returns:
        list | None: Arguments that let pip install it; None where mmcv must
        be compiled.
    """
    name = MMCV[env.stack]
    pin = f'{name}=={env.pins[name]}'
    missing = env.pip(
        *('download', '--no-deps', '--only-binary', ':all:'),
        *('--dest', str(wheels), pin),
    )
    if not missing:
        return from_folder(wheels, pin)
    stem = f'{name.replace("-", "_")}-{env.pins[name]}-cp311-'
    status, listed = env.output(
        *('-m', 'pip', 'cache', 'list', '--format', 'abspath'),
        name.replace('-', '_'),
    )
    if status == 0 and f'{os.sep}{stem}' in listed:
        return [pin]
    return None


def from_folder(wheels, pin):
    """Return pip's arguments to install a wheel that lies in a folder."""
    return ['--no-index', '--find-links', str(wheels), pin]


def gpu_variables(env):
    """Return variables that hide a GPU for which nothing can be compiled."""
    status, cuda = env.output(
        '-c',
        'import torch; '
        'print(torch.version.cuda if torch.cuda.is_available() else "")',
    )
    cuda = cuda.strip().rpartition('\n')[2]
    if status or not cuda:
        return {}
    home = os.environ.get('CUDA_HOME') or '/usr/local/cuda'
    nvcc = shutil.which('nvcc') or shutil.which('nvcc', path=f'{home}/bin')
    major = cuda.partition('.')[0]
    if nvcc:
        text = subprocess.run([nvcc, '--version'], stdout=subprocess.PIPE)
        if f'release {major}.'.encode() in text.stdout:
            return {}
    env.log.say(
        f'  note: there is a GPU but no CUDA {major} compiler (nvcc), so '
        f"mmcv's operators (NMS, RoIAlign) are built for the CPU only"
    )
    return {'CUDA_VISIBLE_DEVICES': ''}


def build_mmcv(env, *options):
    """Compile mmcv's operators, with a count of the files.

    Args:
        env: The environment, with torch installed.
        options: More options of `pip wheel`.
    """
    pin = f'{MMCV[env.stack]}=={env.pins[MMCV[env.stack]]}'
    jobs = env.variables()['MAX_JOBS']
    env.log.say(
        f"Compiling mmcv's operators with {jobs} jobs: about 12 minutes on 2 "
        f'cores. pip keeps the result, so this happens once'
    )
    wheels = env.tmp / 'compiled'
    env.pip_or_raise(
        *('wheel', '--no-build-isolation', '--no-deps', *options),
        *('--wheel-dir', str(wheels), pin),
        progress=env.compiled,
        **gpu_variables(env),
    )
    env.install(*('--force-reinstall', '--no-deps'), *from_folder(wheels, pin))


def operators_fail(env):
    """Return the error of importing mmcv's operators, '' where they work."""
    status, text = env.output('-c', 'import mmcv.ops')
    return text.strip().splitlines()[-1] if status else ''


def install_mmcv(env, wheel):
    """Install mmcv from a ready wheel that fits torch, or compile it."""
    if wheel:
        env.log.say('Installing mmcv from a ready wheel')
        env.install('--no-build-isolation', '--no-deps', *wheel)
    else:
        build_mmcv(env)


def install(env):
    """Fill the environment, in the order that compiled packages need."""
    pinned = ('-c', str(env.requirements))
    shutil.rmtree(env.tmp, ignore_errors=True)
    env.tmp.mkdir()
    wheels = env.tmp / 'wheels'
    wheels.mkdir()

    env.log.say('Looking for an mmcv wheel')
    wheel = mmcv_wheel(env, wheels)
    if wheel is None:
        check_compiler()
        env.log.say('  none here: mmcv is compiled after torch is installed')
    env.log.say('Installing build tools')
    env.install(*pinned, *BUILD_TOOLS)
    env.log.say(f'Installing torch {env.pins["torch"]}: a large download')
    env.install(*pinned, *TORCH)
    install_mmcv(env, wheel)
    env.log.say('Installing the toolboxes')
    env.install('--no-build-isolation', '-r', str(env.requirements))
    if 'headless = True' not in opencv_version(env):
        # Both builds share their files, and the one that came last counts:
        # opencv-python alone needs libGL.so.1, which a fresh machine lacks.
        env.log.say('Installing the build of OpenCV that needs no display')
        pin = f'{HEADLESS}=={env.pins[HEADLESS]}'
        env.install('--force-reinstall', '--no-deps', pin)
    env.log.say("Checking that mmcv's operators load")
    error = operators_fail(env)
    if error and wheel:
        env.log.say(f'  the mmcv wheel does not fit this torch ({error})')
        check_compiler()
        name = MMCV[env.stack]
        env.output('-m', 'pip', 'cache', 'remove', name.replace('-', '_'))
        build_mmcv(env, '--no-binary', name)
        error = operators_fail(env)
    if error:
        raise SetupError(f"mmcv's operators cannot be imported: {error}")
    shutil.rmtree(env.tmp)


def opencv_version(env):
    """Return the text of the installed cv2/version.py."""
    files = env.path.glob('lib/python*/site-packages/cv2/version.py')
    return ''.join(path.read_text() for path in files)


def prepare(env):
    """Make an empty environment, or keep a half-finished one of this recipe.

    Raises:
        SetupError: The folder holds something that this script did not make.
    """
    stamp = env.read_stamp()
    if env.path.exists() and stamp is None and any(env.path.iterdir()):
        raise SetupError(
            f'{env.path} exists but was not made by this Makefile; move it '
            f'away or choose another place: make ... VENV=/path/to/environment'
        )
    if stamp == env.state(complete=False) and env.runs():
        env.log.say(f'Going on with the unfinished environment {env.path}')
        check_machine(env)
        env.drop_unfinished()
        return
    if stamp:
        env.log.say(f'Removing {env.path}: its pins are out of date')
        shutil.rmtree(env.path)
    check_machine(env)
    env.log.say(
        f'Making the environment of stack {env.stack} in {env.path} '
        f'(about {ENV_GB:.0f} GB)'
    )
    env.path.mkdir(parents=True, exist_ok=True)
    # The stamp comes first: it marks the folder as ours to redo.
    env.stamp.write_text(json.dumps(env.state(complete=False)))
    base = getattr(sys, '_base_executable', sys.executable)
    done = subprocess.run(
        [base, '-m', 'venv', str(env.path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        shutil.rmtree(env.path)
        raise SetupError(f'python -m venv failed:\n{done.stdout}')


def point_at_tree(env):
    """Let the environment import the working tree's mmfdconv, from anywhere.

    A path file instead of `pip install -e`: MMEngine 0.10.7 looks for an
    editable install's configs in site-packages, where they are not.
    """
    for site in env.path.glob('lib/python*/site-packages'):
        path = site / 'mmfdconv-working-tree.pth'
        text = f'{ROOT}\n'
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
    subprocess.run(
        [str(env.python), 'setup.py', '--quiet', 'link_mim'],
        cwd=str(ROOT),
        env=env.variables(),
        check=True,
    )


@contextlib.contextmanager
def locked(env):
    """Let one run at a time work on the environment."""
    try:
        env.path.parent.mkdir(parents=True, exist_ok=True)
        file = open(f'{env.path}.lock', 'w')
    except OSError as error:
        raise SetupError(
            f'cannot write to {env.path.parent} ({error.strerror}); make the '
            f'folder writable or choose another one: '
            f'make ... VENV=/path/to/environment'
        ) from None
    with file:
        waited = 0
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if waited % HEARTBEAT_S == 0:
                    env.log.say(f'Waiting for a run that works on {env.path}')
                time.sleep(1)
                waited += 1
        yield


def main():
    """Make the environment of the stack that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('stack', help=' or '.join(MMCV))
    parser.add_argument('folder', nargs='?', help='default: by the stack')
    args = parser.parse_args()
    if args.stack not in MMCV:
        sys.exit(
            f'error: STACK={args.stack} is not known; use STACK='
            f'{" or STACK=".join(MMCV)}'
        )
    env = Environment(args.stack, ROOT / (args.folder or FOLDER[args.stack]))
    try:
        with locked(env):
            if env.read_stamp() != env.state(complete=True) or not env.runs():
                prepare(env)
                install(env)
                env.stamp.write_text(json.dumps(env.state(complete=True)))
                env.log.say('The environment is ready')
            point_at_tree(env)
    except SetupError as error:
        sys.exit(f'error: {error}')
    except KeyboardInterrupt:
        sys.exit('interrupted; the same command goes on from here')


if __name__ == '__main__':
    # A terminated run cleans up like an interrupted one.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
