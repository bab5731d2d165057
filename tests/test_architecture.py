"""The shape of the package: who imports whom, and what an import costs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.core

REPO = Path(__file__).resolve().parents[1]
PACKAGE = REPO / 'mmfdconv'
MODULES = sorted(PACKAGE.rglob('*.py'))

# Data flows one way: a part imports only from parts of an earlier line.
ORDER = (
    {'version'},
    {'functional'},
    {'layers'},
    {'registry'},
    {'convert'},
    {'models', 'datasets', 'evaluation', 'engine'},
    {'analysis'},
    {'hooks', 'cropland', 'deployment'},
    {'commands'},
)
RANK = {part: rank for rank, parts in enumerate(ORDER) for part in parts}
# These two work where there is nothing but torch.
TORCH_ONLY = {'functional', 'layers'}
TOOLBOXES = ('mmcv', 'mmdet', 'mmseg', 'mmpretrain')
MAX_LINES = 400


def part_of(path):
    """Return the package's part that a file belongs to; '' for the root."""
    parts = path.relative_to(PACKAGE).with_suffix('').parts
    return '' if parts == ('__init__',) else parts[0]


def imported(path, source=None):
    """Yield (line, absolute dotted name) of everything a file imports."""
    tree = ast.parse(path.read_text() if source is None else source)
    package = ('mmfdconv', *path.relative_to(PACKAGE).parent.parts)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1]
            prefix = '.'.join(base) if node.level else ''
            module = '.'.join(filter(None, (prefix, node.module)))
            for alias in node.names:
                yield node.lineno, f'{module}.{alias.name}'


def wrong_imports(path, source=None):
    """Return what a file imports against the order of the parts."""
    own = part_of(path)
    wrong = []
    for line, name in imported(path, source):
        top, _, rest = name.partition('.')
        where = f'{path.relative_to(REPO)}:{line}: {name}'
        if top != 'mmfdconv':
            allowed = top == 'torch' or top in sys.stdlib_module_names
            if own in TORCH_ONLY and not allowed:
                wrong.append(f'{where} ({own}/ needs nothing but torch)')
            continue
        other = rest.partition('.')[0]
        if own in ('', other):
            continue
        if other not in RANK or RANK[other] >= RANK[own]:
            wrong.append(f'{where} ({other or "the root"} is not above {own})')
    return wrong


def test_every_part_has_its_place():
    parts = {part_of(path) for path in MODULES} - {''}
    assert parts <= set(RANK), 'a new part needs its line in ORDER'


def test_imports_go_one_way():
    assert [wrong for path in MODULES for wrong in wrong_imports(path)] == []


@pytest.mark.parametrize(
    ('module', 'source', 'number'),
    [
        ('functional/a.py', 'import math\nfrom torch import nn', 0),
        ('functional/a.py', 'import numpy', 1),
        ('functional/a.py', 'from ..layers import FDConv', 1),
        ('functional/a.py', 'from . import b\nfrom .b import c', 0),
        ('layers/a.py', 'from .. import functional', 0),
        ('layers/a.py', 'from mmfdconv.functional.b import c', 0),
        ('layers/a.py', 'def f():\n    import mmengine', 1),
        ('layers/a.py', 'from mmfdconv import registry', 1),
        ('convert/a.py', 'import mmengine\nfrom ..registry import MODELS', 0),
        ('convert/sub/a.py', 'from ...layers import FDConv', 0),
        ('models/a.py', 'from ..datasets import GID', 1),
        ('hooks/a.py', 'from ..analysis import cost', 0),
        ('datasets/a.py', 'from ..analysis import cost', 1),
        ('registry.py', 'from .layers import FDConv', 0),
        ('registry.py', 'from .convert import LayerRule', 1),
        ('__init__.py', 'from . import analysis', 0),
    ],
)
def test_the_import_check_itself(module, source, number):
    assert len(wrong_imports(PACKAGE / module, source)) == number


@pytest.mark.parametrize('path', MODULES, ids=lambda p: p.stem)
def test_no_print_and_no_long_file(path):
    text = path.read_text()
    calls = [
        node.lineno
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == 'print'
    ]
    if part_of(path) != 'commands':  # they speak to who called them
        assert calls == [], 'log with mmengine.logging.print_log instead'
    assert len(text.splitlines()) <= MAX_LINES


def run(code):
    """Run code in a new interpreter at the repository; return its output."""
    done = subprocess.run(
        [sys.executable, '-c', code],
        cwd=str(REPO),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_import_is_lean():
    heavy = (*TOOLBOXES, 'matplotlib', 'scipy', 'rasterio')
    loaded = run(f"""
import importlib.util
import sys
import mmfdconv
if importlib.util.find_spec('mmengine'):  # names of datasets cost none either
    from mmengine.registry import DATASETS
    assert DATASETS.get('GIDDataset') and DATASETS.get('HiCNADataset')
print(*(name for name in {heavy!r} if name in sys.modules))
""")
    assert loaded == []


def test_layers_need_nothing_but_torch():
    absent = (*TOOLBOXES, 'mmengine', 'cv2', 'matplotlib', 'scipy')
    loaded = run(f"""
import sys
from importlib.machinery import PathFinder

class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name.partition('.')[0] in {absent!r}:
            return None
        return super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Without
try:
    import mmengine
except ModuleNotFoundError:
    pass
else:
    raise AssertionError('the blocker does not block')

import torch
import mmfdconv.functional
from mmfdconv.layers import FDConv

out = FDConv(4, 6, 3, padding=1)(torch.ones(2, 4, 5, 5))
print(*out.shape)
""")
    assert loaded == ['2', '6', '5', '5']
