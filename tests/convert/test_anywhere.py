"""The snippets of docs/anywhere.md, library by library."""

import copy
import re
from pathlib import Path

import pytest
import torch

pytest.importorskip('mmengine', reason='MMEngine is not installed')

from mmfdconv.convert import convert_dynamic_
from mmfdconv.deployment.folding import fold_static_

pytestmark = pytest.mark.slow

PAGE = Path(__file__).resolve().parents[2] / 'docs' / 'anywhere.md'
_, *SECTIONS = re.split(r'^## ', PAGE.read_text(), flags=re.M)
LIBRARIES = {
    section.partition('\n')[0]: re.findall(
        r'```python\n(.*?)```', section, re.S
    )
    for section in SECTIONS
}


@pytest.mark.parametrize('library', filter(LIBRARIES.get, LIBRARIES))
def test_the_snippets_run(library, tmp_path, monkeypatch):
    pytest.importorskip(library, reason=f'{library} is not installed')
    if library == 'transformers':
        from transformers.utils import is_torch_available

        if not is_torch_available():
            pytest.skip('transformers takes no torch as old as this one')
    monkeypatch.chdir(tmp_path)
    names = {}
    for snippet in LIBRARIES[library]:
        names.pop('again', None)
        exec(snippet, names)
        if 'again' in names:  # what was saved is what was loaded
            loaded = names['again'].state_dict()
            for name, value in names['model'].state_dict().items():
                assert torch.equal(loaded[name], value), name
    assert len(names['report'].converted) > 15


def test_ultralytics(monkeypatch, tmp_path):
    monkeypatch.setenv('YOLO_CONFIG_DIR', str(tmp_path))
    tasks = pytest.importorskip(
        'ultralytics.nn.tasks', reason='Ultralytics is not installed'
    )
    model = tasks.DetectionModel('yolov8n.yaml', verbose=False).eval()
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        expected = model(image)[0]
    (pattern,) = re.findall(r"r'(.*?)': True", SECTIONS[-1])
    rule = dict(patterns={pattern: True}, otherwise=False)
    report = convert_dynamic_(model, dict(type='FADConv'), rule)
    assert len(report.converted) == 20
    with pytest.raises(AttributeError, match='weight'):
        copy.deepcopy(model).fuse(verbose=False)
    with torch.no_grad():
        assert torch.allclose(model(image)[0], expected, atol=1e-2)
        fold_static_(model, [image])
        model.fuse(verbose=False)
        assert torch.allclose(model(image)[0], expected, atol=1e-2)
