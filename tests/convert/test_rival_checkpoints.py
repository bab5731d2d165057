"""Published ODConv and DCD backbones load whole through init_cfg.

The state dicts here have the names and shapes of the authors' ResNets,
written out from their constructors; their values are random.
"""

import math

import pytest
import torch
from mmengine.registry import MODELS
from torch import nn

from mmfdconv.layers import DCDConv, ODConv

from ..layers.helpers import relative_error
from ..reference.dcd import dcd
from ..reference.experts import odconv
from .test_checkpoints import mismatches  # noqa: F401  a fixture

pytest.importorskip('mmdet')
import mmdet.models  # noqa: F401

pytestmark = pytest.mark.core

BLOCKS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}


def norm(prefix, width):
    return {
        f'{prefix}.weight': (width,),
        f'{prefix}.bias': (width,),
        f'{prefix}.running_mean': (width,),
        f'{prefix}.running_var': (width,),
        f'{prefix}.num_batches_tracked': (),
    }


def od_conv(prefix, inputs, outputs, kernel, num_experts):
    hidden = max(int(inputs * 0.0625), 16)
    shapes = {
        f'{prefix}.weight': (num_experts, outputs, inputs, kernel, kernel),
        f'{prefix}.attention.fc.weight': (hidden, inputs, 1, 1),
        **norm(f'{prefix}.attention.bn', hidden),
    }
    heads = dict(channel=inputs, filter=outputs)
    if kernel > 1:
        heads['spatial'] = kernel**2
    if num_experts > 1:
        heads['kernel'] = num_experts
    for name, width in heads.items():
        head = f'{prefix}.attention.{name}_fc'
        shapes[f'{head}.weight'] = (width, hidden, 1, 1)
        shapes[f'{head}.bias'] = (width,)
    return shapes


def dcd_conv(prefix, inputs, outputs, kernel, side):
    width = inputs * side**2
    latent = int(math.sqrt(width))
    squeeze = max(width, latent**2) // 16
    return {
        f'{prefix}.conv.weight': (outputs, inputs, kernel, kernel),
        f'{prefix}.q.weight': (latent, inputs, 1, 1),
        f'{prefix}.p.weight': (outputs, latent, 1, 1),
        **norm(f'{prefix}.bn1', latent),
        **norm(f'{prefix}.bn2', latent),
        f'{prefix}.fc.0.weight': (squeeze, width),
        f'{prefix}.fc.1.fc.0.weight': (squeeze, squeeze),
        f'{prefix}.fc_phi.weight': (latent**2, squeeze),
        f'{prefix}.fc_scale.weight': (outputs, squeeze),
    }


def published_shapes(depth, conv, option, classifier):
    """Names and shapes of a published ResNet's parameters and buffers."""
    shapes = {'conv1.weight': (64, 3, 7, 7), **norm('bn1', 64)}
    inputs, expansion = 64, 1 if depth == 18 else 4
    for stage, count in enumerate(BLOCKS[depth], 1):
        width = 64 * 2 ** (stage - 1)
        for block in range(count):
            prefix = f'layer{stage}.{block}'
            convs = [(inputs, width, 3), (width, width, 3)]
            if depth == 50:
                convs = [
                    (inputs, width, 1),
                    (width, width, 3),
                    (width, width * 4, 1),
                ]
            for number, (before, after, kernel) in enumerate(convs, 1):
                name = f'{prefix}.conv{number}'
                shapes.update(conv(name, before, after, kernel, option))
                shapes.update(norm(f'{prefix}.bn{number}', after))
            outputs = width * expansion
            if block == 0 and (stage > 1 or inputs != outputs):
                name = f'{prefix}.downsample'
                shapes[f'{name}.0.weight'] = (outputs, inputs, 1, 1)
                shapes.update(norm(f'{name}.1', outputs))
            inputs = outputs
    return {**shapes, **classifier(inputs)}


def od_classifier(width):
    return {'fc.weight': (1000, width), 'fc.bias': (1000,)}


def dcd_classifier(width):
    prefix = 'classifier.0'
    return {
        f'{prefix}.cls.weight': (1000, width),
        f'{prefix}.cls.bias': (1000,),
        f'{prefix}.cls_q.weight': (32, width),
        f'{prefix}.cls_p.weight': (1000, 32),
        f'{prefix}.fc.0.weight': (32, width),
        f'{prefix}.fc.1.fc.0.weight': (32, 32),
        f'{prefix}.fc_phi.weight': (1024, 32),
        f'{prefix}.fc_scale.weight': (1000, 32),
        **norm(f'{prefix}.bn1', 32),
        **norm(f'{prefix}.bn2', 32),
    }


def random_state(shapes):
    generator = torch.Generator().manual_seed(1)
    state = {}
    for name, shape in shapes.items():
        if name.endswith('num_batches_tracked'):
            state[name] = torch.tensor(7)
            continue
        value = torch.randn(shape, generator=generator)
        if name.endswith('running_var'):
            value = value.abs() + 0.5
        elif len(shape) > 1:
            value /= math.prod(shape[-3:]) ** 0.5
        state[name] = value
    return state


# Depth, conv_cfg, and what the published constructor makes of it.
CASES = {
    'ODConv, R-18, 4x': (18, dict(type='ODConv'), od_conv, 4),
    'ODConv, R-18, 1x': (18, dict(type='ODConv', num_experts=1), od_conv, 1),
    'ODConv, R-50, 4x': (50, dict(type='ODConv'), od_conv, 4),
    'ODConv, R-50, 1x': (50, dict(type='ODConv', num_experts=1), od_conv, 1),
    'DCD, R-18': (18, dict(type='DCDConv', squeeze_size=2), dcd_conv, 2),
    'DCD, R-50': (50, dict(type='DCDConv'), dcd_conv, 1),
}


def build(depth, conv_cfg, **init_cfg):
    return MODELS.build(
        dict(
            type='DynamicBackbone',
            backbone=dict(type='mmdet.ResNet', depth=depth, style='pytorch'),
            conv_cfg=conv_cfg,
            init_cfg=init_cfg or None,
        )
    )


@pytest.mark.parametrize('case', CASES)
def test_published_checkpoint(tmp_path, mismatches, case):  # noqa: F811
    depth, conv_cfg, conv, option = CASES[case]
    classifier = od_classifier if conv is od_conv else dcd_classifier
    shapes = published_shapes(depth, conv, option, classifier)
    state = random_state(shapes)
    # As the authors' scripts save it, from a parallel model.
    path = tmp_path / 'published.pth'
    saved = {f'module.{name}': value for name, value in state.items()}
    torch.save(dict(state_dict=saved, epoch=100), path)

    model = build(depth, conv_cfg, type='Pretrained', checkpoint=str(path))
    model.init_weights()

    # The classifier alone has no place in a detector's backbone.
    assert len(mismatches) == 1
    assert 'missing' not in mismatches[0]
    left = mismatches[0].split('state_dict:')[1].replace(',', ' ').split()
    prefixes = ('fc.', 'classifier.')
    assert sorted(left) == sorted(k for k in state if k.startswith(prefixes))

    # Every value arrived, none twice.
    own = model.state_dict()
    taken = {k: v for k, v in state.items() if k not in left}
    for name, value in taken.items():
        if conv is od_conv and value.dim() == 5:
            name = name.replace('.weight', '.experts')
        elif conv is dcd_conv:
            name = name.replace('.conv.weight', '.weight')
        assert torch.equal(own.pop(name), value), name
    assert all(name.endswith('.temperature') for name in own)

    check_one_layer(model, state, conv)


def check_one_layer(model, state, conv):
    """What the loaded layer computes is what its published names mean."""
    name = 'layer2.0.conv1'
    layer = model.get_submodule(name).eval()
    assert type(layer) is (ODConv if conv is od_conv else DCDConv)
    mine = {
        key[len(name) + 1 :]: value.double()
        for key, value in state.items()
        if key.startswith(f'{name}.')
    }
    args = {
        key: getattr(layer, key) for key in ('stride', 'padding', 'dilation')
    }
    x = torch.randn(1, layer.in_channels, 5, 5)
    if conv is od_conv:
        mine['experts'] = mine.pop('weight')
        expected = odconv(x.double(), mine, args)
    else:
        mine['weight'] = mine.pop('conv.weight')
        args.update(
            out_channels=layer.out_channels, squeeze_size=layer.squeeze_size
        )
        expected = dcd(x.double(), mine, args)
    assert relative_error(layer(x), expected) < 1e-4


@pytest.mark.parametrize('conv_cfg', ['ODConv', 'DCDConv'])
def test_a_checkpoint_of_another_width_is_named(
    mismatches,  # noqa: F811
    conv_cfg,
):
    from mmengine.runner import checkpoint

    options = dict(num_experts=2) if conv_cfg == 'ODConv' else {}
    model = build(18, dict(type=conv_cfg, **options))
    conv, option = (od_conv, 4) if conv_cfg == 'ODConv' else (dcd_conv, 2)
    shapes = published_shapes(18, conv, option, lambda width: {})
    checkpoint.load_state_dict(model, random_state(shapes))
    assert len(mismatches) == 1
    assert 'size mismatch for layer1.0.conv1' in mismatches[0]


@pytest.mark.parametrize(
    'conv_cfg', ['CondConv', 'DYConv', 'DCDConv', 'ODConv', 'FADConv']
)
def test_stock_checkpoint(tmp_path, mismatches, conv_cfg):  # noqa: F811
    stock = MODELS.build(dict(type='mmdet.ResNet', depth=18))
    for module in stock.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.running_mean, std=0.1)
    path = tmp_path / 'stock.pth'
    torch.save(stock.state_dict(), path)
    model = build(
        18, dict(type=conv_cfg), type='Pretrained', checkpoint=str(path)
    )
    model.init_weights()
    assert mismatches == []
    x = torch.randn(1, 3, 64, 64)
    stock.eval(), model.eval()
    with torch.no_grad():
        for ours, theirs in zip(model(x), stock(x)):
            assert relative_error(ours, theirs) < 1e-4
