"""Fixtures and settings shared by all tests."""

import os
import random
import sys
from contextlib import nullcontext
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import torch

from mmfdconv.functional import accelerator_path

REPO = Path(__file__).resolve().parents[1]

# The distributions that may stand behind an import name.
STACK = {
    'torch': ('torch',),
    'torchvision': ('torchvision',),
    'mmengine': ('onedl-mmengine', 'mmengine', 'mmengine-lite'),
    'mmcv': ('onedl-mmcv', 'mmcv', 'mmcv-lite'),
    'mmdet': ('onedl-mmdetection', 'mmdet'),
    'mmseg': ('onedl-mmsegmentation', 'mmsegmentation'),
    'mmpretrain': ('onedl-mmpretrain', 'mmpretrain'),
    'numpy': ('numpy',),
    'hypothesis': ('hypothesis',),
}

# The tensors here are small: more threads wait for each other.
torch.set_num_threads(1)
# GDAL keeps its threads, and a fork, which has none of them, waits for them.
os.environ['GDAL_NUM_THREADS'] = '1'

try:
    from hypothesis import HealthCheck, settings
except ImportError:  # the property tests then skip themselves
    pass
else:
    settings.register_profile(
        'suite',
        derandomize=True,  # the same examples on every machine, every time
        deadline=None,
        max_examples=80,
        suppress_health_check=[HealthCheck.too_slow],
    )
    settings.load_profile(os.environ.get('HYPOTHESIS_PROFILE', 'suite'))


def _installed(names):
    for name in names:
        try:
            return f'{name} {metadata.version(name)}'
        except metadata.PackageNotFoundError:
            continue
    return None


def pytest_report_header(config):
    """Say on which stack the tests run."""
    found = {key: _installed(names) for key, names in STACK.items()}
    forks = [v for v in found.values() if v and v.startswith('onedl-')]
    if forks:
        stack = 'onedl'
    elif found['mmengine'] or found['mmcv']:
        stack = 'openmmlab'
    else:
        stack = 'torch only'
    versions = ', '.join(v for v in found.values() if v)
    missing = ', '.join(key for key, v in found.items() if not v)
    lines = [f'stack: {stack} ({versions})']
    if missing:
        lines.append(f'not installed: {missing}')
    device = 'no GPU'
    if torch.cuda.is_available():
        device = torch.cuda.get_device_name()
    lines.append(f'device: {device}, {torch.get_num_threads()} CPU threads')
    return lines


@pytest.fixture(autouse=True)
def _nothing_is_left_of_a_run():
    """Forget MMEngine's loggers and scopes; so tests pass in any order.

    A Runner's last logger has its file closed, and in the scope of one
    toolbox the types of another are not found.
    """
    yield
    if 'mmengine.logging' in sys.modules:
        sys.modules['mmengine.logging'].MMLogger._instance_dict.clear()
    if 'mmengine.registry' in sys.modules:
        sys.modules['mmengine.registry'].DefaultScope._instance_dict.clear()


@pytest.fixture(params=['cpu', 'accelerator'])
def path(request):
    """Let a CPU compute in its own way, and as accelerators do."""
    own = request.param == 'cpu'
    with nullcontext() if own else accelerator_path():
        yield request.param


@pytest.fixture(autouse=True)
def _seed():
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(scope='session')
def shared_dir():
    """The optional folder with reference vectors and data sets."""
    named = os.environ.get('MMFDCONV_SHARED')
    path = Path(named) if named else REPO.parent / 'shared'
    if not path.is_dir():
        where = 'MMFDCONV_SHARED' if named else 'the repository'
        pytest.skip(f'no folder {path.name!r} where {where} points to')
    return path
