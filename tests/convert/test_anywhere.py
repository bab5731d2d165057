"""The snippets of docs/anywhere.md, one after the other."""

import re
from pathlib import Path

import pytest

pytest.importorskip('mmengine', reason='MMEngine is not installed')
pytest.importorskip('torchvision', reason='torchvision is not installed')
pytest.importorskip('timm', reason='timm is not installed')

pytestmark = pytest.mark.slow

PAGE = Path(__file__).resolve().parents[2] / 'docs' / 'anywhere.md'


def test_the_snippets_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    snippets = re.findall(r'```python\n(.*?)```', PAGE.read_text(), re.S)
    for snippet in snippets:
        exec(snippet, names)
    assert len(snippets) == 5
    assert len(names['report'].converted) > 30
