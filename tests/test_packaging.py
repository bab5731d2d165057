"""What `pip install .` puts on a machine, and what it leaves alone."""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from email.parser import Parser
from importlib import metadata
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
STACKS = ('onedl', 'openmmlab')
SOURCES = (
    *('setup.py', 'pyproject.toml', 'MANIFEST.in', 'README.md', 'LICENSE'),
    *('CHANGELOG.md', 'CITATION.cff', 'CONTRIBUTING.md'),
    *('model-index.yml', 'Makefile', 'configs', 'tools', 'requirements'),
    *('mmfdconv', 'mmfdconv_cli.py'),
)


def run(*command, cwd):
    done = subprocess.run(
        [str(part) for part in command],
        cwd=str(cwd),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def pip(*arguments, cwd):
    command = (sys.executable, '-m', 'pip', '--disable-pip-version-check')
    return run(*command, *arguments, cwd=cwd)


def files_below(folder):
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob('*')
        if path.is_file() and '__pycache__' not in path.parts
    }


def copy_sources(folder):
    """Copy what a release is made of, without links and build files."""
    ignore = shutil.ignore_patterns('__pycache__', '.mim', '*.egg-info')
    folder.mkdir()
    for name in SOURCES:
        if (REPO / name).is_dir():
            shutil.copytree(REPO / name, folder / name, ignore=ignore)
        else:
            shutil.copy2(REPO / name, folder / name)
    return folder


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
    """The wheel that the working tree builds."""
    tmp = tmp_path_factory.mktemp('wheel')
    source = copy_sources(tmp / 'source')
    before = files_below(source)
    pip(
        'wheel',
        '--no-build-isolation',
        '--no-deps',
        '-w',
        tmp,
        '.',
        cwd=source,
    )
    assert not (source / 'mmfdconv' / '.mim').exists()
    made = {name.partition('/')[0] for name in files_below(source) - before}
    assert made <= {'build', 'mmfdconv.egg-info'}
    (path,) = tmp.glob('mmfdconv-*.whl')
    return path


def names_in(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.mark.slow
def test_wheel_carries_modules_configs_and_tools(wheel):
    names = names_in(wheel)
    expected = {
        f'mmfdconv/{path.relative_to(REPO / "mmfdconv").as_posix()}'
        for suffix in ('py', 'html')
        for path in (REPO / 'mmfdconv').rglob(f'*.{suffix}')
        if '.mim' not in path.parts
    }
    expected.add('mmfdconv_cli.py')
    expected.add('mmfdconv/.mim/model-index.yml')
    for folder in ('configs', 'tools'):
        expected |= {
            f'mmfdconv/.mim/{folder}/{name}'
            for name in files_below(REPO / folder)
        }
    extra = {name for name in names if '.dist-info/' not in name} - expected
    assert expected - names == set()
    assert extra == set()


@pytest.mark.slow
def test_wheel_requires_no_framework(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith('/METADATA'))
        info = Parser().parsestr(archive.read(name).decode())
        top = archive.read(name.replace('METADATA', 'top_level.txt'))
    # Not even torch: pip would be free to exchange the installed one.
    required = info.get_all('Requires-Dist')
    always = [line for line in required if 'extra ==' not in line]
    assert always == ['prettytable>=3']
    assert not [r for r in required if r.startswith(('torch', 'mm', 'onedl'))]
    assert info['Name'] == 'mmfdconv'
    assert 'Apache' in (info['License-Expression'] or info['License'])
    assert top.decode().split() == ['mmfdconv', 'mmfdconv_cli']


@pytest.mark.slow
def test_wheel_from_sdist_is_the_same(wheel, tmp_path):
    source = copy_sources(tmp_path / 'source')
    # A checkout in use has the links; they must not reach the sdist.
    run(sys.executable, 'setup.py', '-q', 'link_mim', cwd=source)
    run(
        *(sys.executable, 'setup.py', '-q', 'sdist', '-d', tmp_path),
        cwd=source,
    )
    (sdist,) = tmp_path.glob('mmfdconv-*.tar.gz')
    with tarfile.open(sdist) as archive:
        assert not [n for n in archive.getnames() if '/.mim' in n]
    pip(
        *('wheel', '--no-build-isolation', '--no-deps', '-w', tmp_path),
        sdist,
        cwd=tmp_path,
    )
    (again,) = tmp_path.glob('mmfdconv-*.whl')
    assert names_in(again) == names_in(wheel)


def resolved(python_path, cwd):
    """Return where MMEngine finds the package, and one config of it."""
    code = """
import json
import mmfdconv
from mmengine.config import Config
from mmengine.utils import get_installed_path
cfg = Config._get_cfg_path('mmfdconv::_base_/dynamic/fdconv.py', '')
print(json.dumps([get_installed_path('mmfdconv'), *cfg]))
"""
    done = subprocess.run(
        [sys.executable, '-c', code],
        cwd=str(cwd),
        env={'PATH': '/usr/bin:/bin', 'PYTHONPATH': str(python_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_installed_configs_resolve(wheel, tmp_path):
    pytest.importorskip('mmengine')
    target = tmp_path / 'site'
    pip('install', '--no-deps', '--target', target, wheel, cwd=tmp_path)
    package, config, scope = resolved(target, tmp_path)
    assert Path(package) == target / 'mmfdconv'
    mim = target / 'mmfdconv' / '.mim'
    assert Path(config) == mim / 'configs/_base_/dynamic/fdconv.py'
    assert scope == 'mmfdconv'


@pytest.mark.slow
@pytest.mark.core
def test_working_tree_configs_resolve(tmp_path):
    pytest.importorskip('mmengine')
    source = copy_sources(tmp_path / 'source')
    for _ in range(2):  # the second time changes nothing
        run(sys.executable, 'setup.py', '-q', 'link_mim', cwd=source)
    package, config, _ = resolved(source, tmp_path)
    assert Path(package) == source / 'mmfdconv'
    # A link: an edited config is seen at once.
    assert (
        Path(config).resolve() == source / 'configs/_base_/dynamic/fdconv.py'
    )


@pytest.mark.parametrize('stack', (*STACKS, 'release'))
def test_requirements_pin_every_line(stack):
    path = REPO / 'requirements' / f'{stack}.txt'
    lines = [
        line
        for line in path.read_text().splitlines()
        if line and not line.startswith('#')
    ]
    pin = re.compile(r'[A-Za-z0-9._-]+==[A-Za-z0-9.]+(; .+)?')
    assert [line for line in lines if not pin.fullmatch(line)] == []
    names = [normal(line.partition('==')[0]) for line in lines]
    assert names == sorted(set(names))
    for line in lines:  # what exists for Linux on x86-64 alone is marked
        if line.startswith(('nvidia-', 'cuda-', 'triton')):
            assert "sys_platform == 'linux'" in line


def test_everything_names_the_same_version():
    text = (REPO / 'mmfdconv' / 'version.py').read_text()
    (version,) = re.findall(r"__version__ = '(.+)'", text)
    changes = (REPO / 'CHANGELOG.md').read_text()
    latest, date = re.findall(r'^## \[([\d.]+)\] - ([\d-]+)$', changes, re.M)[
        0
    ]
    assert latest == version
    citation = (REPO / 'CITATION.cff').read_text()
    assert f"\nversion: {version}\ndate-released: '{date}'\n" in citation


def test_pre_commit_runs_the_pinned_ruff():
    pre_commit = (REPO / '.pre-commit-config.yaml').read_text()
    (rev,) = re.findall(r'ruff-pre-commit\n +rev: v(.+)', pre_commit)
    for stack in STACKS:
        text = (REPO / 'requirements' / f'{stack}.txt').read_text()
        assert f'\nruff=={rev}\n' in text


def normal(name):
    return re.sub(r'[-_.]+', '-', name).lower()


@pytest.mark.core
def test_environment_is_exactly_the_pins():
    stamp = Path(sys.prefix) / 'mmfdconv-stamp'
    if not stamp.exists():
        pytest.skip('the tests do not run in an environment of the Makefile')
    stack = stamp.read_text().split()[0]
    text = (REPO / 'requirements' / f'{stack}.txt').read_text()
    pins = dict(re.findall(r'^([\w.-]+)==([^\s;]+)', text, re.M))
    pins = {normal(name): version for name, version in pins.items()}
    installed = {
        normal(dist.metadata['Name']): dist.version
        # Not all of sys.path: setuptools adds the packages that it carries.
        for dist in metadata.distributions(
            path=[sysconfig.get_path('purelib')]
        )
    }
    installed.pop('pip')  # comes with Python
    assert installed == pins


@pytest.fixture
def metafiles(tmp_path):
    """A small repository whose metafiles agree, and the checker."""
    spec = importlib.util.spec_from_file_location(
        'check_metafile', REPO / '.dev_scripts' / 'check_metafile.py'
    )
    checker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(checker)
    folder = tmp_path / 'configs' / 'mmdet' / 'a'
    folder.mkdir(parents=True)
    (tmp_path / 'configs' / '_base_').mkdir()
    (tmp_path / 'configs' / '_base_' / 'b.py').write_text('')
    (folder / 'a_r50.py').write_text('')
    (folder / 'README.md').write_text('')
    (tmp_path / 'model-index.yml').write_text(
        'Import:\n  - configs/mmdet/a/metafile.yml\n'
    )
    (folder / 'metafile.yml').write_text("""
Collections:
  - Name: A
Models:
  - Name: a_r50
    In Collection: A
    Config: configs/mmdet/a/a_r50.py
    Results:
      - Task: Object Detection
        Source: paper (arXiv:2503.18783, Table 1)
        Metrics:
          box AP: 39.4
""")
    return tmp_path, folder, checker.find_problems


def test_metafiles_that_agree(metafiles):
    root, _, find_problems = metafiles
    assert find_problems(root) == []


@pytest.mark.parametrize(
    ('old', 'new', 'said'),
    [
        ('        Source: paper (arXiv:2503.18783, Table 1)\n', '', 'Source'),
        ('paper (arXiv:2503.18783, Table 1)', 'the paper', 'Source'),
        ('Config: configs/mmdet/a/a_r50.py', 'Config: a_r50.py', 'not a file'),
        ('In Collection: A', 'In Collection: B', 'Collections'),
        ('    Results:', '    Other:', 'no Results'),
        ('Models:', 'Model:', 'Models'),
        ('Collections:', 'Collections: [', 'not valid YAML'),
    ],
)
def test_metafile_that_does_not_agree(metafiles, old, new, said):
    root, folder, find_problems = metafiles
    path = folder / 'metafile.yml'
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    assert any(said in problem for problem in find_problems(root))


def test_metafile_that_is_not_listed(metafiles):
    root, _, find_problems = metafiles
    (root / 'model-index.yml').write_text('Import: [configs/x/metafile.yml]')
    problems = ' '.join(find_problems(root))
    assert 'configs/mmdet/a/metafile.yml is not listed' in problems
    assert 'configs/x/metafile.yml is listed but not a file' in problems
