"""FDConv over drawn shapes, types and memory formats."""

import pytest
import torch
from torch import nn

from mmfdconv.layers import FDConv

from .helpers import (
    assert_matches_reference,
    assert_same_function,
    make_layer,
    relative_error,
    stock_conv,
)

pytest.importorskip('hypothesis', reason='hypothesis is not installed')
from hypothesis import assume, given, settings
from hypothesis import strategies as st


@st.composite
def geometries(draw):
    """Arguments that ``nn.Conv2d`` knows, and a fitting input size."""
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    args = dict(
        in_channels=groups * draw(st.integers(1, 3)),
        out_channels=groups * draw(st.integers(1, 3)),
        kernel_size=draw(
            st.sampled_from([1, 3, 3, 5, (3, 2), (1, 3), (4, 1)])
        ),
        dilation=draw(st.sampled_from([1, 1, 2, (2, 1)])),
        groups=groups,
        bias=draw(st.booleans()),
        padding_mode=draw(
            st.sampled_from(['zeros', 'reflect', 'replicate', 'circular'])
        ),
    )
    padding = draw(st.sampled_from(['same', 'valid', 'number', 'pair']))
    if padding == 'number':
        padding = draw(st.integers(0, 2))
    elif padding == 'pair':
        padding = (draw(st.integers(0, 2)), draw(st.integers(0, 2)))
    args['padding'] = padding
    args['stride'] = 1
    if padding != 'same':
        args['stride'] = draw(st.sampled_from([1, 2, (2, 1), (1, 3)]))
    # The largest effective kernel is 9; padding is narrower than the map.
    size = (draw(st.integers(9, 12)), draw(st.integers(9, 12)))
    return args, size


@st.composite
def options(draw, geometry):
    """Own options that fit the geometry."""
    k_list = draw(st.sampled_from([[2], [2, 4], [2, 4, 8], [3]]))
    fbm_cfg = dict(
        k_list=k_list,
        lowfreq_att=draw(st.booleans()),
        act=draw(st.sampled_from(['sigmoid', 'tanh', 'softmax'])),
        spatial_group=draw(st.sampled_from([1, geometry['in_channels']])),
        mask=draw(st.sampled_from(['exact', 'nearest64'])),
    )
    only_kernel = draw(st.booleans())
    acts = ['sigmoid', 'tanh'] + ['softmax'] * only_kernel
    # The smallest spectrum here is that of a 1x1 image: one frequency.
    kernel = geometry['kernel_size']
    kh, kw = (kernel,) * 2 if isinstance(kernel, int) else kernel
    cols = geometry['in_channels'] // geometry['groups'] * kw
    frequencies = geometry['out_channels'] * kh * (cols // 2 + 1)
    # With the groups' gates alone there must be more than one group.
    fewest = 1 + only_kernel
    if frequencies < fewest:
        only_kernel, fewest, acts = False, 1, acts[:2]
    return dict(
        kernel_num=draw(st.integers(fewest, min(9, frequencies))),
        param_ratio=draw(st.sampled_from([1, 1, 2])),
        kernel_temp=draw(st.sampled_from([0.5, 1.0, 2.0])),
        temp=draw(st.sampled_from([None, 1.5])),
        att_multi=draw(st.sampled_from([1.0, 2.0, 3.5])),
        ksm_only_kernel_att=only_kernel,
        ksm_global_act=draw(st.sampled_from(acts)),
        ksm_local_act=draw(st.sampled_from(['sigmoid', 'tanh'])),
        use_ksm_local=draw(st.booleans()),
        convert_param=draw(st.booleans()),
        use_fbm_if_k_in=(1, 3, 5),
        fbm_cfg=fbm_cfg,
    )


@st.composite
def layers(draw):
    geometry, size = draw(geometries())
    return {**geometry, **draw(options(geometry))}, size


@pytest.mark.filterwarnings('ignore:Using padding')
@given(layers(), st.integers(1, 3), st.booleans(), st.integers(0, 2**16))
def test_matches_the_reference(drawn, batch, training, seed):
    args, size = drawn
    layer = make_layer(args, seed=seed).train(training)
    x = torch.randn(batch, args['in_channels'], *size, dtype=torch.float64)
    assert_matches_reference(layer, args, x)


@pytest.mark.core
@pytest.mark.filterwarnings('ignore:Using padding')
@given(layers(), st.integers(1, 3), st.integers(0, 2**16))
def test_starts_as_the_stock_conv(drawn, batch, seed):
    args, size = drawn
    torch.manual_seed(seed)
    conv = stock_conv(args)
    own = {k: v for k, v in args.items() if not hasattr(conv, k)}
    layer = FDConv.from_conv(conv, **own)
    x = torch.randn(batch, args['in_channels'], *size)
    assert_same_function(layer, conv, x)
    layer.init_weights()
    assert_same_function(layer, conv, x)


@settings(max_examples=15)
@given(layers(), st.integers(0, 2**16))
def test_float32_is_accurate(drawn, seed):
    args, size = drawn
    # The local branch normalises one channel to 0 but for rounding, which
    # becomes 300 times as large there, and is all of a gradient.
    assume(args['in_channels'] > 1)
    # In evaluation: statistics of a batch of two may cancel to few digits.
    layer = make_layer(args, torch.float32, seed).eval()
    x = torch.randn(2, args['in_channels'], *size)
    assert_matches_reference(layer, args, x)


LAYOUTS = {
    'contiguous': lambda x: x.contiguous(),
    'channels_last': lambda x: x.contiguous(memory_format=torch.channels_last),
    'transposed': lambda x: x.mT.contiguous().mT,
    'every second': lambda x: x.repeat_interleave(2, -1)[..., ::2],
    'expanded': lambda x: x[:1, :1].expand_as(x),
    'offset': lambda x: torch.cat([x, x], 1)[:, x.shape[1] :],
}
SHAPES = {
    'k3': dict(kernel_size=3, padding=1),
    'k3 stride 2': dict(kernel_size=3, padding=1, stride=2),
    'k1': dict(kernel_size=1),
    'k1 stride 2': dict(kernel_size=1, stride=2),
    'groups': dict(kernel_size=3, groups=2),
    'reflect': dict(kernel_size=3, padding=1, padding_mode='reflect'),
}


@pytest.mark.core
@pytest.mark.parametrize('layout', LAYOUTS)
@pytest.mark.parametrize('shape', SHAPES)
def test_memory_format_of_the_input(shape, layout):
    layer = make_layer(dict(in_channels=4, out_channels=6, **SHAPES[shape]))
    layer.eval()
    x = torch.randn(3, 4, 8, 10, dtype=torch.float64)
    strided = LAYOUTS[layout](x)
    plain = strided.clone(memory_format=torch.contiguous_format)
    torch.testing.assert_close(layer(strided), layer(plain))


@pytest.mark.core
@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
@pytest.mark.parametrize('shape', SHAPES)
def test_autocast(shape, dtype, path):
    args = dict(in_channels=4, out_channels=6, **SHAPES[shape])
    layer = make_layer(args, torch.float32).train()
    x = torch.randn(3, 4, 8, 10)
    expected = layer(x)
    try:
        with torch.autocast('cpu', dtype):
            y = layer(x)
            stock = nn.Conv2d(4, 6, 3)(x)
    except RuntimeError as error:  # pragma: no cover
        pytest.skip(f'no autocast to {dtype} on this CPU: {error}')
    if stock.dtype != dtype:
        pytest.skip(f'this torch has no autocast to {dtype} on a CPU')
    assert y.dtype == dtype  # as nn.Conv2d's
    # bfloat16 has 8 bits of precision, float16 11.
    assert relative_error(y, expected) < 2e-2
    y.float().sum().backward()
    for name, parameter in layer.named_parameters():
        assert parameter.grad.dtype == torch.float32, name
        assert parameter.grad.isfinite().all(), name


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
@pytest.mark.parametrize('shape', ['k3', 'k1', 'reflect'])
def test_low_precision_layer(shape, dtype):
    args = dict(in_channels=4, out_channels=6, **SHAPES[shape])
    layer = make_layer(args, torch.float32).eval()
    x = torch.randn(3, 4, 8, 10)
    expected = layer(x)
    layer.to(dtype)
    x = x.to(dtype)
    try:
        nn.Conv2d(4, 6, 3, dtype=dtype, padding_mode='reflect', padding=1)(x)
    except RuntimeError as error:
        pytest.skip(f'no {dtype} convolution on this CPU: {error}')
    y = layer(x)
    assert y.dtype == dtype
    assert relative_error(y, expected) < 5e-2


def test_large_activations_survive_half_precision():
    # The mean over many pixels and a power of hidden units overflow float16
    # when they are computed in it.
    conv = nn.Conv2d(8, 8, 3, padding=1)
    layer = FDConv.from_conv(conv)
    x = torch.full((2, 8, 64, 64), 200.0)
    with torch.autocast('cpu', torch.bfloat16):
        y = layer(x)
    assert y.isfinite().all()
    assert relative_error(y, conv(x)) < 2e-2
