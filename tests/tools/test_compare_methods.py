"""tools/cropland/compare_methods.py: what is said when it cannot begin."""

import runpy
import sys

import pytest

pytest.importorskip('mmseg')

from .conftest import ROOT

pytestmark = pytest.mark.core


def test_data_that_are_not_there(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    path = str(ROOT / 'tools' / 'cropland' / 'compare_methods.py')
    monkeypatch.setattr(sys, 'argv', [path, '--data-root', 'absent'])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(path, run_name='__main__')
    said = "compare_methods.py: error: data_root: 'absent' must have"
    assert stop.value.code.startswith(said)
    assert [*tmp_path.iterdir()] == []
