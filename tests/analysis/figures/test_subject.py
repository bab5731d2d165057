"""The model of a figure: built, its layer found, an image put through."""

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip('mmseg')

import cv2
from mmengine.config import Config

from mmfdconv.analysis.figures import subject
from mmfdconv.layers import FADConv, FADLinear, FDConv

from ...tools.experiments import write_mmseg

pytestmark = pytest.mark.core


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(
            FADConv(3, 4, 3),
            FDConv(4, 4, 3, kernel_num=4, use_fdconv_if_c_gt=16),
            FDConv(4, 4, 3, kernel_num=4),
            nn.ReLU(),
        )
        self.head = nn.Sequential(FADConv(4, 4, 1))


@pytest.fixture
def cfg(tmp_path):
    return Config.fromfile(write_mmseg(tmp_path))


@pytest.fixture
def image(tmp_path):
    path = tmp_path / 'image.png'
    pixels = np.zeros((40, 64, 3), dtype=np.uint8)
    pixels[..., 2] = 200  # red, as OpenCV writes it
    cv2.imwrite(str(path), pixels)
    return path


def fits(layer):
    return None


def test_layers_are_found_by_name_and_by_its_end():
    net = Net()
    assert list(subject.dynamic_layers(net)) == [
        'backbone.0',
        'backbone.2',
        'head.0',
    ]
    for name, expected in (
        ('backbone.2', 'backbone.2'),
        ('2', 'backbone.2'),
        (None, 'backbone.0'),
    ):
        found, layer = subject.pick_layer(net, name, fits)
        assert found == expected
        assert layer is net.get_submodule(expected)


@pytest.mark.parametrize(
    ('name', 'words'),
    [
        ('backbone.7', r'no .backbone\.7.; the nearest names are backbone\.'),
        ('0', 'may be any of backbone.0, head.0; say which'),
        ('backbone.3', 'no dynamic layer but a ReLU'),
        ('backbone.1', 'is static'),
    ],
)
def test_wrong_names_are_told(name, words):
    with pytest.raises(ValueError, match=f'layer: .*{words}'):
        subject.pick_layer(Net(), name, fits)


def test_layers_that_do_not_fit_are_told():
    def misfit(layer):
        return f'a {type(layer).__name__} never fits'

    with pytest.raises(ValueError, match="'head.0' does not fit .* never"):
        subject.pick_layer(Net(), 'head.0', misfit)
    with pytest.raises(ValueError, match='no layer fits .*backbone.2: a FDC'):
        subject.pick_layer(Net(), None, misfit)


def test_a_static_model_is_told():
    with pytest.raises(ValueError, match='no dynamic layer; give its'):
        subject.dynamic_layers(nn.Conv2d(3, 4, 3))


def test_a_model_comes_with_its_weights(cfg, tmp_path):
    first = subject.Subject.load(cfg).model
    assert not first.training
    again = subject.Subject.load(cfg).model
    for a, b in zip(first.parameters(), again.parameters()):
        assert torch.equal(a, b)  # untrained models are the same, too
    with torch.no_grad():
        for parameter in first.parameters():
            parameter.fill_(0.5)
    path = str(tmp_path / 'weights.pth')
    torch.save(dict(state_dict=first.state_dict()), path)
    loaded = subject.Subject.load(cfg, path).model
    assert all(bool((p == 0.5).all()) for p in loaded.parameters())


def test_wrong_weights_are_told_in_one_line(cfg, tmp_path):
    path = tmp_path / 'weights.pth'
    torch.save(dict(state_dict=dict(a=torch.zeros(1))), path)
    with pytest.raises(ValueError, match='does not fit the model') as told:
        subject.Subject.load(cfg, str(path))
    assert '\n' not in str(told.value)
    path.write_bytes(b'no checkpoint')
    with pytest.raises(ValueError, match='cannot be read') as told:
        subject.Subject.load(cfg, str(path))
    assert '\n' not in str(told.value)


def test_an_image_goes_through(cfg, image):
    cfg.model.data_preprocessor.test_cfg = dict(size_divisor=32)
    whole = subject.Subject.load(cfg)
    assert whole.state == 'untrained'
    name = 'backbone.layer1.0.conv1'
    x, picture = whole.input_of(name, str(image))
    assert x.shape[:2] == (1, whole.model.get_submodule(name).in_channels)
    assert picture.shape == (64, 64, 3)  # padded, as the model saw it
    assert picture[0, 0].tolist() == [200, 0, 0]
    assert not picture[40:].any()
    assert not whole.model.get_submodule(name)._forward_pre_hooks
    with pytest.raises(ValueError, match="'decode_head.loss_decode' does not"):
        whole.input_of('decode_head.loss_decode', str(image))


def test_a_config_without_model_is_told():
    with pytest.raises(ValueError, match='config: must have model=dict'):
        subject.Subject.load(Config())


def test_tokens_with_positions_are_maps():
    layer = FADLinear(4, 6)
    with subject.watch(dict(a=layer)) as seen:
        layer(torch.rand(2, 5, 7, 4))
    assert seen['a'].shape == (2, 4, 5, 7)
