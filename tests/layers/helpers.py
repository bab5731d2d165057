"""What the layer tests share."""

import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmfdconv.layers import (
    CondConv,
    DCDConv,
    DYConv,
    FADConv,
    FDConv,
    ODConv,
    ParameterNetConv,
)

from ..reference import dcd, experts
from ..reference.fdconv import fdconv

#: What torch 1 lacks altogether: torch.compile, torch.func, batch norm that is
#: synchronised on CPUs, a device as a context.
since_torch_2 = pytest.mark.skipif(
    not hasattr(torch, 'compile'),
    reason=f'torch {torch.__version__} has nothing of the kind',
)

REFERENCES = {
    CondConv: experts.condconv,
    DCDConv: dcd.dcd,
    DYConv: experts.dyconv,
    FADConv: experts.fadconv,
    FDConv: fdconv,
    ODConv: experts.odconv,
    ParameterNetConv: experts.parameternet,
}

# Two ways to compute one number in float32 differ by a few of its last
# digits; 1e-4 is what the project promises.
RTOL = {torch.float32: 1e-4, torch.float64: 1e-8}


def relative_error(value, expected):
    """Norm of the difference over the norm."""
    value, expected = value.detach().double(), expected.detach().double()
    difference = torch.linalg.vector_norm(value - expected)
    norm = torch.linalg.vector_norm(expected)
    # A gradient can be zero but for rounding; tensors here are of order 1.
    return (difference / norm.clamp(min=1e-3)).item()


def make_layer(args, dtype=torch.float64, seed=0, cls=FDConv):
    """A layer all of whose gates are active."""
    torch.manual_seed(seed)
    return activate_(cls(**args, dtype=dtype))


@torch.no_grad()
def activate_(layer):
    """Move routers and running statistics away from their neutral start."""
    for router in layer.routers():
        for name, parameter in router.named_parameters():
            is_scale = name.endswith(('norm.weight', 'bn.weight', 'scale'))
            parameter.normal_(1 if is_scale else 0, 0.4)
    for module in layer.modules():
        if isinstance(module, _BatchNorm):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 1.5)
    return layer


def reference_state(layer):
    """The layer's state in float64, ready for gradients."""
    state = {}
    names = {name for name, _ in layer.named_parameters()}
    for key, value in layer.state_dict().items():
        value = value.detach().clone().double()
        state[key] = value.requires_grad_(key in names)
    return state


def assert_matches_reference(layer, args, x, rtol=None):
    """Compare output and all gradients with the slow reference's."""
    rtol = rtol or RTOL[x.dtype]
    state = reference_state(layer)
    x = x.detach().clone().requires_grad_()
    x_reference = x.detach().double().requires_grad_()

    y = layer(x)
    reference = REFERENCES[type(layer)]
    expected = reference(x_reference, state, args, layer.training)
    assert y.shape == expected.shape
    assert y.dtype == x.dtype
    assert relative_error(y, expected) < rtol, 'output'

    grad_out = torch.randn(y.shape, dtype=torch.float64)
    y.backward(grad_out.to(y.dtype))
    expected.backward(grad_out)
    pairs = {'x': (x.grad, x_reference.grad)}
    for name, parameter in layer.named_parameters():
        pairs[name] = (parameter.grad, state[name].grad)
    for name, (grad, expected_grad) in pairs.items():
        assert grad is not None, f'no gradient for {name}'
        error = relative_error(grad, expected_grad)
        assert error < rtol, f'gradient of {name}: {error:.1e}'


def stock_conv(args, dtype=torch.float32):
    """An ``nn.Conv2d`` with the stock part of ``args``."""
    names = (
        'in_channels',
        'out_channels',
        'kernel_size',
        'stride',
        'padding',
        'dilation',
        'groups',
        'bias',
        'padding_mode',
    )
    return nn.Conv2d(**{k: args[k] for k in names if k in args}, dtype=dtype)


def assert_same_function(layer, conv, x, rtol=1e-4):
    """Both compute the same, in training and in evaluation."""
    for training in (True, False):
        layer.train(training)
        conv.train(training)
        with torch.no_grad():
            error = relative_error(layer(x), conv(x))
        assert error < rtol, f'training={training}: {error:.1e}'
