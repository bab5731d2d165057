"""Gates over a data set: use, entropy, dead kernels, classes."""

import pytest
import torch
from torch import nn

pytest.importorskip('matplotlib')
pytest.importorskip('mmengine')

from mmfdconv.analysis.figures import gates
from mmfdconv.layers import DCDConv, FADConv

from .samples import Sample

pytestmark = pytest.mark.core


class Classifier(nn.Module):
    """The least that looks like a model of the toolboxes."""

    def __init__(self, layer):
        super().__init__()
        self.backbone = nn.Sequential(layer)

    def data_preprocessor(self, data, training):
        return dict(data, inputs=torch.stack(data['inputs']))

    def extract_feat(self, x):
        return self.backbone(x)


class Data(list):
    metainfo = dict(classes=('dark', 'bright'))


@pytest.fixture
def data():
    return Data(
        dict(
            inputs=torch.full((4, 8, 8), float(number % 2)),
            data_samples=Sample(gt_label=torch.tensor([number % 2])),
        )
        for number in range(6)
    )


@pytest.fixture
def model():
    """A router that takes expert 0 in the dark and expert 2 in the light."""
    layer = FADConv(4, 4, 3, num_experts=3, fusion='add', low_freq=1)
    with torch.no_grad():
        for linear, bias in ((layer.routing[0], 0.0), (layer.routing[2], 0.0)):
            linear.weight.zero_()
            linear.bias.fill_(bias)
        layer.routing[0].weight[0] = 1 / 4  # the mean of the image
        layer.routing[2].weight[:, 0] = torch.tensor([-60.0, 0, 60])
        layer.routing[2].bias.copy_(torch.tensor([30.0, -99, -30]))
    return Classifier(layer).eval()


def test_the_study_finds_what_the_router_does(model, data):
    seen = []
    study = gates.study_gates(
        model, data, progress=lambda rows: seen.extend(rows) or rows
    )
    assert seen == list(range(6))
    assert study.classes == ['dark', 'bright']
    assert study.present.long().argmax(dim=1).tolist() == [0, 1] * 3
    layer = study.layers['backbone.0']
    assert layer.usage.tolist() == pytest.approx([1.5, 0, 1.5], abs=1e-4)
    assert layer.entropy.tolist() == pytest.approx([0] * 6, abs=1e-4)
    assert layer.dead() == [1]
    means = gates.class_means(study, 'backbone.0')
    assert means[0, [0, 2]].tolist() == pytest.approx([2, 0], abs=1e-4)
    assert means[1, [0, 2]].tolist() == pytest.approx([0, 2], abs=1e-4)


def test_some_images_stand_for_all(model, data):
    study = gates.study_gates(model, data, number=3)
    assert study.present.long().argmax(dim=1).tolist() == [0, 0, 1]


def test_one_image_tells_nothing_of_the_others(model, data, monkeypatch):
    monkeypatch.setattr(gates, 'build_data', lambda *args: data)
    monkeypatch.setattr(gates, 'save_figure', lambda *args: None)
    subject = gates.Subject(None, model, 'untrained')
    for number, cell in ((1, '-'), (2, '0.0000')):
        (text,) = gates.gates(subject, 'a.png', number=number)
        (row,) = text.splitlines()[2:]
        assert row.split('|')[4].strip() == cell


def test_uniform_gates_have_all_the_entropy():
    for K in (2, 4, 64):
        found = gates.LayerGates.of(torch.full((3, K), 0.7))
        assert found.entropy.tolist() == pytest.approx([1] * 3)
        assert found.usage.tolist() == pytest.approx([1] * K)
    mixtures = torch.eye(4)[None, :2]  # (1, 2, 4), one cell each
    found = gates.LayerGates.of(mixtures)
    assert found.entropy.tolist() == [0]
    assert found.shares.tolist() == [[0.5, 0.5, 0, 0]]
    found = gates.LayerGates.of(torch.tensor([[1.0, -1, 2]]))
    assert found.shares.tolist() == [[0.25, 0.25, 0.5]]


def test_the_layer_that_moves_is_found():
    present = torch.tensor([[True, False], [False, True]])
    still = gates.LayerGates(torch.full((2, 2), 0.5), torch.ones(2))
    moving = gates.LayerGates(
        torch.tensor([[0.9, 0.1], [0.1, 0.9]]), torch.ones(2)
    )
    study = gates.GateStudy(dict(a=still, b=moving), present, ('x', 'y'))
    assert gates.moving_layer(study) == 'b'


def test_models_without_gates_are_told(data):
    model = Classifier(DCDConv(4, 4, 3)).eval()
    with pytest.raises(ValueError, match='none of its .* they are DCDConv'):
        gates.study_gates(model, data)
    assert 'DCDConv has no attention' in gates.gates_misfit(model.backbone[0])


def test_layers_with_different_numbers_of_kernels_are_drawn():
    layers = dict(
        few=torch.tensor([[0.97, 0.02, 0.01], [0.98, 0.01, 0.01]]),
        many=torch.rand(2, 20).softmax(dim=1),
    )
    batch = gates.GateStudy.of(layers)
    assert batch.layers['few'].dead() == [1, 2]
    figure = gates.draw_gates(batch, 'title')
    usage = figure.axes[0].images[0].get_array()
    assert usage.shape == (2, 20) and usage.mask[0, 3:].all()
    assert usage[0, 0] == pytest.approx(3 * 0.975)
    assert figure.axes[1].texts[0].get_text() == '2 dead'
    # With classes there is a row for each that an image shows.
    present = torch.tensor([[True, False, False], [False, True, False]])
    study = batch._replace(present=present, classes=('a', 'b', 'c'))
    below = gates.draw_gates(study, 'title', layer='few').subfigs[1].axes[0]
    rows = [text.get_text() for text in below.get_yticklabels()]
    assert rows == ['a (in 1)', 'b (in 1)']


def test_a_batch_has_no_gates_where_a_layer_has_one_kernel():
    found = gates.GateStudy.of(dict(a=torch.ones(2, 1)))
    assert not found.layers
