"""Fixtures for the tests of experiments."""

import pytest


@pytest.fixture(scope='session')
def workplace(tmp_path_factory):
    pytest.importorskip('mmengine')
    pytest.importorskip('torchvision')
    from .experiments import Workplace

    return Workplace(tmp_path_factory.mktemp('experiments'))
