"""The methods over drawn shapes and options."""

import pytest
import torch

from .helpers import (
    assert_matches_reference,
    assert_same_function,
    make_layer,
    stock_conv,
)

pytest.importorskip('hypothesis', reason='hypothesis is not installed')
from hypothesis import given, settings
from hypothesis import strategies as st

from mmfdconv.layers import CondConv, DCDConv, DYConv, FADConv, ODConv

from .test_fdconv_properties import geometries

pytestmark = pytest.mark.filterwarnings('ignore:Using padding')
RATIOS = st.sampled_from([0.0625, 0.25, 1.0, 3.0])
TEMPERATURES = st.sampled_from([0.5, 1.0, 30.0])


@st.composite
def fat_options(draw):
    size = draw(st.integers(1, 5))
    return dict(
        pool_size=size,
        low_freq=draw(st.integers(1, size)),
        high_freq=draw(st.integers(0, size)),
        fusion=draw(st.sampled_from(['net', 'fca', 'add', 'add_abs'])),
    )


@st.composite
def descriptors(draw):
    if draw(st.booleans()):
        return 'gap'
    return dict(type='fat', **draw(fat_options()))


@st.composite
def layers(draw):
    """A class, its arguments, and a fitting input size."""
    cls = draw(st.sampled_from([CondConv, DCDConv, DYConv, FADConv, ODConv]))
    args, size = draw(geometries())
    if cls is DCDConv:
        args['squeeze_size'] = draw(st.integers(1, 3))
        return cls, args, size
    args['num_experts'] = draw(st.integers(1, 5))
    if cls is FADConv:
        args.update(draw(fat_options()))
    else:
        args['descriptor'] = draw(descriptors())
    if cls is not CondConv:
        args['reduction'] = draw(RATIOS)
    if cls in (DYConv, ODConv):
        args['temperature'] = draw(TEMPERATURES)
    return cls, args, size


@settings(max_examples=100)
@given(layers(), st.integers(1, 3), st.booleans(), st.integers(0, 2**16))
def test_matches_the_reference(drawn, batch, training, seed):
    cls, args, size = drawn
    layer = make_layer(args, seed=seed, cls=cls).train(training)
    x = torch.randn(batch, args['in_channels'], *size, dtype=torch.float64)
    assert_matches_reference(layer, args, x)


@pytest.mark.core
@settings(max_examples=100)
@given(layers(), st.integers(1, 3), st.integers(0, 2**16))
def test_starts_as_the_stock_conv(drawn, batch, seed):
    cls, args, size = drawn
    torch.manual_seed(seed)
    conv = stock_conv(args)
    own = {k: v for k, v in args.items() if not hasattr(conv, k)}
    layer = cls.from_conv(conv, **own)
    x = torch.randn(batch, args['in_channels'], *size)
    assert_same_function(layer, conv, x)
    layer.init_weights()
    assert_same_function(layer, conv, x)
    layer = cls(**args)
    layer.load_state_dict(conv.state_dict())
    assert_same_function(layer, conv, x)
