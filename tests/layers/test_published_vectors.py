"""The rivals and FADConv against outputs of the published code."""

import pytest
import torch

from mmfdconv.layers import DCDConv, DYConv, FADConv, ODConv

from ..reference import dcd, experts
from .helpers import relative_error
from .test_fdconv_vectors import load_vector

pytestmark = pytest.mark.core

# Published names of arguments -> ours.
ARGUMENTS = dict(
    in_planes='in_channels',
    out_planes='out_channels',
    inplanes='in_channels',
    planes='out_channels',
    K='num_experts',
    kernel_num='num_experts',
)
# File -> class, reference, arguments that the published class fixes.
VECTORS = {
    'dcd_k3': (
        DCDConv,
        dcd.dcd,
        dict(kernel_size=3, padding=1, squeeze_size=2, bias=False),
    ),
    'dyconv_k3': (DYConv, experts.dyconv, dict()),
    'fadconv_k3': (FADConv, experts.fadconv, dict(bias=False)),
    'fadconv_k3_dilated_stride2_groups2': (
        FADConv,
        experts.fadconv,
        dict(bias=False),
    ),
    'odconv_k1_kn1': (ODConv, experts.odconv, dict(bias=False)),
    'odconv_k3': (ODConv, experts.odconv, dict(bias=False)),
}


def our_key(cls, key):
    """Name of a published parameter in our layer."""
    if cls in (DYConv, ODConv) and key == 'weight':
        return 'experts'
    if cls is DCDConv and key == 'conv.weight':
        return 'weight'
    if cls is FADConv and key.startswith('fusion.'):
        return f'descriptor.{key}'
    return key


def build(shared_dir, name):
    cls, reference, fixed = VECTORS[name]
    vector = load_vector(shared_dir, name)
    args = {ARGUMENTS.get(k, k): v for k, v in vector['args'].items()}
    args.update(fixed)
    layer = cls(**args)
    # As it is, strict.
    layer.load_state_dict(vector['state_dict'])
    layer.train(vector['mode'] == 'train')
    return layer, reference, args, vector


@pytest.mark.parametrize('name', VECTORS)
def test_published_vector(shared_dir, name):
    layer, _, _, vector = build(shared_dir, name)
    x = vector['x'].requires_grad_()
    y = layer(x)
    y.backward(vector['grad_out'])
    assert relative_error(y, vector['y']) < 1e-4

    expected = {our_key(type(layer), k): v for k, v in vector['grads'].items()}
    assert set(expected) == {'x', *dict(layer.named_parameters())}
    for key, grad in expected.items():
        own = x.grad if key == 'x' else layer.get_parameter(key).grad
        assert relative_error(own, grad.view_as(own)) < 1e-4, key


@pytest.mark.parametrize('name', VECTORS)
def test_reference_reproduces_published_code(shared_dir, name):
    layer, reference, args, vector = build(shared_dir, name)
    parameters = dict(layer.named_parameters())
    state = {
        key: value.detach().double().requires_grad_(key in parameters)
        for key, value in layer.state_dict().items()
    }
    x = vector['x'].double().requires_grad_()
    y = reference(x, state, args, layer.training)
    y.backward(vector['grad_out'].double())
    assert relative_error(y, vector['y']) < 1e-5
    for key, grad in vector['grads'].items():
        key = our_key(type(layer), key)
        own = x.grad if key == 'x' else state[key].grad
        assert relative_error(own, grad.view_as(own)) < 1e-5, key


def test_every_vector_is_tested(shared_dir):
    found = {p.stem for p in (shared_dir / 'reference').glob('*.pt')}
    elsewhere = ('fdconv_', 'kernel_warehouse_')
    assert {n for n in found if not n.startswith(elsewhere)} <= set(VECTORS)


@pytest.mark.parametrize('name', ['dyconv_k3', 'odconv_k3'])
def test_a_published_checkpoint_does_not_move_the_temperature(
    shared_dir, name
):
    # The published code keeps it outside of checkpoints.
    layer, *_, vector = build(shared_dir, name)
    before = layer.temperature.clone()
    layer.load_state_dict(vector['state_dict'])
    assert torch.equal(layer.temperature, before)
