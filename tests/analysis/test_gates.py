"""Gates over a data set: use, entropy, dead kernels, classes."""

import pytest
import torch
from torch import nn

pytest.importorskip('mmengine')

from mmfdconv.analysis import gates
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


def test_uniform_gates_have_all_the_entropy():
    for K in (2, 4, 64):
        entropy = gates.relative_entropy(torch.full((3, K), 0.7))
        assert entropy.tolist() == pytest.approx([1] * 3)
    mixtures = torch.eye(4)[None, :2]  # (1, 2, 4), one cell each
    assert gates.relative_entropy(mixtures).tolist() == [0]
    assert gates.gate_shares(mixtures).tolist() == [[0.5, 0.5, 0, 0]]
    shares = gates.gate_shares(torch.tensor([[1.0, -1, 2]]))
    assert shares.tolist() == [[0.25, 0.25, 0.5]]


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
