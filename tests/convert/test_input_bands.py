"""Models of four bands from checkpoints of three."""

import pytest
import torch
from mmengine.registry import MODELS
from mmengine.runner import CheckpointLoader, load_checkpoint
from torch import nn

from mmfdconv.convert import adapt_kernel, adapt_state_dict

pytestmark = pytest.mark.core

GF2 = ('blue', 'green', 'red', 'nir')


def test_bands_take_the_kernels_of_their_names():
    kernel = torch.randn(5, 3, 2, 3)
    new = adapt_kernel(kernel, GF2)
    red, green, blue = kernel.unbind(1)
    expected = torch.stack([blue, green, red, (red + green + blue) / 3], 1)
    torch.testing.assert_close(new, expected * 3 / 4)


def test_an_image_equal_in_all_bands_gives_the_same_response():
    kernel = torch.randn(5, 3, 3, 3)
    grey = torch.randn(2, 1, 8, 8)
    torch.testing.assert_close(
        nn.functional.conv2d(
            grey.expand(-1, 4, -1, -1), adapt_kernel(kernel, GF2)
        ),
        nn.functional.conv2d(grey.expand(-1, 3, -1, -1), kernel),
    )


def test_three_bands_are_only_reordered():
    kernel = torch.randn(5, 3, 2, 2)
    flipped = adapt_kernel(kernel, ('blue', 'green', 'red'))
    assert torch.equal(flipped, kernel.flip(1))
    assert torch.equal(adapt_kernel(kernel, ('red', 'green', 'blue')), kernel)


def checkpoint(tmp_path, state_dict, wrap=True):
    path = tmp_path / 'three.pth'
    torch.save(dict(state_dict=state_dict) if wrap else state_dict, path)
    return path


@pytest.mark.parametrize('wrap', [True, False])
@pytest.mark.parametrize('order', ['', '-bgr'])
def test_the_loader_adapts_the_first_layer_alone(tmp_path, wrap, order):
    state = {
        'stem.weight': torch.randn(4, 3, 3, 3),
        'deep.weight': torch.randn(8, 4, 3, 3),
        'depthwise.weight': torch.randn(3, 1, 3, 3),
        'head.weight': torch.randn(4, 3),
    }
    path = checkpoint(tmp_path, state, wrap)
    name = f'bands{order}:blue,green,red,nir:{path}'
    loaded = CheckpointLoader.load_checkpoint(name, map_location='cpu')
    loaded = loaded['state_dict'] if wrap else loaded
    known = ['blue', 'green', 'red'] if order else ['red', 'green', 'blue']
    expected = adapt_kernel(state.pop('stem.weight'), GF2, known)
    assert torch.equal(loaded.pop('stem.weight'), expected)
    assert set(loaded) == set(state)
    assert all(torch.equal(loaded[key], state[key]) for key in state)


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('bands:blue,green,red,nir', 'write bands:'),
        ('bands:blue,,red:x.pth', 'write bands:'),
        ('bands::x.pth', 'write bands:'),
        ('bands:red,red:x.pth', 'each once'),
    ],
)
def test_a_wrong_name_is_named(name, message):
    with pytest.raises(ValueError, match=message):
        CheckpointLoader.load_checkpoint(name)


def test_no_or_several_first_layers_are_named(tmp_path):
    path = checkpoint(tmp_path, {'a.weight': torch.ones(1, 4, 1, 1)})
    with pytest.raises(ValueError, match=f'{path}: .* has none'):
        CheckpointLoader.load_checkpoint(f'bands:red,nir:{path}')
    two = {f'{k}.weight': torch.ones(1, 3, 1, 1) for k in 'ab'}
    with pytest.raises(ValueError, match='has a.weight, b.weight'):
        adapt_state_dict(two, GF2)


@pytest.mark.parametrize(
    ('kind', 'dynamic'),
    [
        ('ResNet', None),
        ('ResNetV1c', 'FADConv'),
        ('ResNet', 'FDConv'),
        ('ResNetV1c', 'ODConv'),
    ],
)
def test_a_backbone_of_four_bands_starts_from_three(tmp_path, kind, dynamic):
    pytest.importorskip('mmseg')
    options = dict(
        type=f'mmseg.{kind}',
        depth=18,
        norm_cfg=dict(type='BN'),
        norm_eval=False,
    )
    stock = MODELS.build(dict(options))
    nn.init.normal_(stock.layer3[0].bn1.weight)
    path = checkpoint(tmp_path, stock.state_dict())
    four = dict(
        options,
        in_channels=4,
        init_cfg=dict(
            type='Pretrained', checkpoint=f'bands:blue,green,red,nir:{path}'
        ),
    )
    if dynamic:
        four = dict(
            type='DynamicBackbone', backbone=four, conv_cfg=dict(type=dynamic)
        )
    model = MODELS.build(four)
    model.init_weights()
    grey = torch.randn(2, 1, 64, 64)
    for net in (model, stock):
        net.eval()
    for a, b in zip(
        model(grey.expand(-1, 4, -1, -1)), stock(grey.expand(-1, 3, -1, -1))
    ):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_a_whole_model_is_loaded_too(tmp_path):
    three = nn.ModuleDict({'backbone': nn.Conv2d(3, 4, 3)})
    four = nn.ModuleDict({'backbone': nn.Conv2d(4, 4, 3)})
    path = checkpoint(tmp_path, three.state_dict())
    load_checkpoint(four, f'bands:blue,green,red,nir:{path}', strict=True)
    expected = adapt_kernel(three['backbone'].weight, GF2)
    assert torch.equal(four['backbone'].weight, expected)
