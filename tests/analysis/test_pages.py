"""Interactive pages: whole, with the numbers, and safe from names."""

import json
from html.parser import HTMLParser

import pytest
import torch

pytest.importorskip('mmengine')

from mmfdconv.analysis import gates
from mmfdconv.analysis.figures import pages
from mmfdconv.analysis.kernels import principal_plane, similarity

pytestmark = pytest.mark.core

NASTY = '</script><b>"&$name'


class Reader(HTMLParser):
    """Collects the tags, and the text of each ``script`` and ``h1``."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.text = [], [], {}

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ('meta',):
            self.open.append((tag, dict(attrs).get('type')))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        if self.open:
            key = self.open[-1]
            self.text[key] = self.text.get(key, '') + data


def read(path):
    """The page as parsed, and its numbers."""
    reader = Reader()
    text = path.read_text(encoding='utf-8')
    reader.feed(text)
    reader.close()
    assert not reader.open
    assert '://' not in text
    assert not any({'src', 'href'} & set(attrs) for _, attrs in reader.tags)
    return reader, json.loads(reader.text['script', 'application/json'])


def test_names_cannot_leave_their_place(tmp_path):
    out = pages.write_page(
        tmp_path / 'new' / 'a.html', NASTY, [dict(label=NASTY, panels=[])]
    )
    reader, entries = read(out)
    assert reader.text['h1', None] == NASTY
    assert entries == [dict(label=NASTY, panels=[])]
    assert 'b' not in [tag for tag, _ in reader.tags]


def test_a_page_of_similarity_has_the_cosines(tmp_path):
    kernels = torch.randn(3, 5, 2, 3, 3)
    alike, plane = similarity(kernels), principal_plane(kernels)
    entry = pages.similarity_entry('a layer', alike, plane, 'expert')
    out = pages.write_page(tmp_path / 'a.html', 'title', [entry, entry])
    _, entries = read(out)
    assert [e['label'] for e in entries] == ['a layer'] * 2
    cosines, magnitudes, points = entries[0]['panels']
    for panel, matrix in zip((cosines, magnitudes), alike):
        found = torch.tensor(panel['values'], dtype=matrix.dtype)
        assert torch.allclose(found, matrix, atol=1e-4)
    assert cosines['rows'] == ['expert 1', 'expert 2', 'expert 3']
    assert [p[2] for p in points['points']] == [0] * 5 + [1] * 5 + [2] * 5
    assert points['names'][6] == 'expert 2, filter 2'


@pytest.mark.parametrize('classes', [(), ('dark', NASTY, 'never')])
def test_a_page_of_gates_has_every_layer(tmp_path, classes):
    shares = torch.tensor([[0.7, 0.3, 0.0], [0.5, 0.5, 0.0]])
    layer = gates.LayerGates(shares, gates.relative_entropy(shares))
    present = torch.zeros(2, len(classes), dtype=torch.bool)
    present[0, :1] = present[1, 1:2] = True
    study = gates.GateStudy(dict(a=layer, b=layer), present, classes)
    out = pages.write_page(tmp_path / 'a.html', 't', pages.gate_entries(study))
    _, entries = read(out)
    assert entries[1]['label'].startswith('b: entropy 0.59')
    assert entries[1]['label'].endswith('1 dead')
    usage, entropy, *by_class = entries[0]['panels']
    assert usage['values'] == pytest.approx([1.8, 1.2, 0])
    values = [point[1] for point in entropy['points']]
    assert values == pytest.approx(layer.entropy.tolist(), abs=1e-6)
    assert len(by_class) == bool(classes)
    if classes:
        assert entropy['names'][1].startswith(f'image 2, {NASTY}: 0.63')
        assert by_class[0]['rows'] == ['dark', NASTY]
        first = by_class[0]['values'][0]
        assert first[:2] == pytest.approx([0.7 / 0.6, 0.3 / 0.4], abs=1e-4)
