"""FDConv against the slow reference, option by option."""

import pytest
import torch

from ..functional.helpers import refuse_contradictions
from .helpers import assert_matches_reference, make_layer

# Names -> arguments. Small on purpose: the reference is slow.
CASES = {
    'plain': dict(),
    'wide': dict(in_channels=12, out_channels=9, kernel_num=8),
    'k1': dict(kernel_size=1, padding=0),
    'k1 stride 2': dict(kernel_size=1, padding=0, stride=2),
    'k1 padded': dict(kernel_size=1, padding=1),
    'k5 with bands': dict(kernel_size=5, padding=2, use_fbm_if_k_in=(3, 5)),
    'k3x2': dict(kernel_size=(3, 2), stride=(2, 1), padding=(0, 1)),
    'k1x3': dict(kernel_size=(1, 3), padding=(0, 1)),
    'stride with bands': dict(
        kernel_size=1, padding=0, stride=(1, 2), use_fbm_for_stride=True
    ),
    'dilation': dict(dilation=2, padding=2),
    'dilation pair': dict(dilation=(1, 2), padding=(1, 2)),
    'same': dict(padding='same', kernel_size=(3, 2), dilation=(2, 3)),
    'valid': dict(padding='valid'),
    'reflect': dict(padding=2, padding_mode='reflect'),
    'replicate': dict(padding=(2, 1), padding_mode='replicate'),
    'circular': dict(padding=(1, 2), padding_mode='circular'),
    'same reflect': dict(
        padding='same', kernel_size=(3, 4), padding_mode='reflect'
    ),
    'valid circular': dict(padding='valid', padding_mode='circular'),
    'no bias': dict(bias=False),
    'groups': dict(in_channels=6, out_channels=4, groups=2),
    'depthwise': dict(in_channels=6, out_channels=6, groups=6),
    'depthwise k7': dict(
        in_channels=4, out_channels=4, groups=4, kernel_size=7, padding=3
    ),
    'depthwise multiplier': dict(in_channels=3, out_channels=6, groups=3),
    'grouped k1': dict(
        in_channels=4, out_channels=6, groups=2, kernel_size=1, padding=0
    ),
    'one channel': dict(in_channels=1, out_channels=1, kernel_num=2),
    'one in': dict(in_channels=1, out_channels=5),
    'one out': dict(in_channels=5, out_channels=1),
    'odd width': dict(in_channels=5, out_channels=4),
    'groups do not divide': dict(kernel_num=7),
    'one group': dict(kernel_num=1),
    'kernel_num None': dict(kernel_num=None),
    'as many groups as frequencies': dict(
        in_channels=4, out_channels=2, kernel_size=1, padding=0, kernel_num=6
    ),
    'reduction': dict(in_channels=20, out_channels=3, reduction=0.9),
    'temperatures': dict(kernel_temp=0.7, temp=1.9),
    'temp follows kernel_temp': dict(kernel_temp=0.5),
    'att_multi': dict(att_multi=3.0),
    'att_multi small': dict(att_multi=0.5),
    'param_ratio': dict(param_ratio=3),
    'param_ratio, one group': dict(param_ratio=2, kernel_num=1),
    'param_reduction': dict(param_reduction=0.4),
    'param_reduction and ratio': dict(
        param_reduction=0.55, param_ratio=2, kernel_num=5
    ),
    'only kernel gates': dict(ksm_only_kernel_att=True),
    'only kernel gates, softmax': dict(
        ksm_only_kernel_att=True, ksm_global_act='softmax', param_ratio=2
    ),
    'no local': dict(use_ksm_local=False),
    'tanh': dict(ksm_local_act='tanh', ksm_global_act='tanh', temp=2.0),
    'convert_param off': dict(convert_param=False, param_ratio=2),
    'convert_param off, reduced': dict(
        convert_param=False, param_reduction=0.5
    ),
    'convert_param off, groups': dict(
        convert_param=False, in_channels=6, out_channels=4, groups=2
    ),
    'linear_mode': dict(
        kernel_size=1, padding=0, convert_param=False, linear_mode=True
    ),
    'bands': dict(fbm_cfg=dict(k_list=[2, 3, 5])),
    'one band': dict(fbm_cfg=dict(k_list=[2])),
    'k_list from 1': dict(fbm_cfg=dict(k_list=[1, 2])),
    'low band': dict(fbm_cfg=dict(lowfreq_att=True, act='tanh')),
    'band softmax': dict(
        fbm_cfg=dict(act='softmax', spatial_group=2, lowfreq_att=True)
    ),
    'band per channel': dict(fbm_cfg=dict(spatial_group=65)),
    'band groups': dict(in_channels=6, fbm_cfg=dict(spatial_group=3)),
    'spatial_kernel': dict(fbm_cfg=dict(spatial_kernel=5)),
    'band start random': dict(fbm_cfg=dict(init='default')),
    'nearest64': dict(fbm_cfg=dict(mask='nearest64')),
    'nearest64 low': dict(fbm_cfg=dict(mask='nearest64', lowfreq_att=True)),
}
CORE = ('plain', 'k3x2', 'groups', 'groups do not divide', 'param_ratio')


def full_args(args):
    """Arguments of a small layer."""
    defaults = dict(in_channels=4, out_channels=6, kernel_size=3, padding=1)
    return {**defaults, **args}


@pytest.mark.parametrize(
    'name',
    [
        pytest.param(n, marks=pytest.mark.core if n in CORE else ())
        for n in CASES
    ],
)
@pytest.mark.parametrize('training', [False, True], ids=['eval', 'train'])
def test_case(name, training):
    args = full_args(CASES[name])
    layer = make_layer(args).train(training)
    x = torch.randn(2, args['in_channels'], 9, 10, dtype=torch.float64)
    assert_matches_reference(layer, args, x)


@pytest.mark.core
@pytest.mark.parametrize('mask', ['exact', 'nearest64'])
@pytest.mark.parametrize(
    'size',
    [(1, 1), (1, 7), (6, 1), (2, 2), (3, 4), (16, 16), (20, 28), (13, 32)],
    ids=lambda s: f'{s[0]}x{s[1]}',
)
def test_any_input_size(size, mask):
    args = full_args(dict(fbm_cfg=dict(mask=mask, lowfreq_att=True)))
    layer = make_layer(args).eval()
    x = torch.randn(1, args['in_channels'], *size, dtype=torch.float64)
    assert_matches_reference(layer, args, x)


@pytest.mark.parametrize('batch', [1, 2, 5])
@pytest.mark.parametrize('training', [False, True], ids=['eval', 'train'])
def test_batch_size(batch, training):
    args = full_args({})
    layer = make_layer(args).train(training)
    x = torch.randn(batch, args['in_channels'], 6, 5, dtype=torch.float64)
    assert_matches_reference(layer, args, x)


@pytest.mark.parametrize(
    'args',
    [
        dict(),
        dict(kernel_size=1, padding=0),
        dict(groups=2),
        dict(param_reduction=0.5),
        dict(padding_mode='reflect'),
    ],
    ids=str,
)
def test_empty_batch(args):
    layer = make_layer(full_args(dict(args, stride=2)))
    x = torch.randn(0, 4, 9, 10, dtype=torch.float64, requires_grad=True)
    for training in (True, False):
        y = layer.train(training)(x)
        assert y.shape == (0, 6, *layer(x.new_zeros(1, 4, 9, 10)).shape[2:])
        y.sum().backward()
        for name, parameter in layer.named_parameters():
            # Zero rather than none: DDP waits for every parameter.
            assert parameter.grad is not None, name
            assert not parameter.grad.any(), name
            parameter.grad = None


@pytest.mark.core
@pytest.mark.parametrize('side, times', [(4, 2), (16, 1)])
def test_inverse_ffts_of_small_kernels_are_kept(side, times, monkeypatch):
    """Up to three times what they connect; others are computed again."""
    args = dict(in_channels=16, out_channels=16, kernel_size=3, padding=1)
    conv = make_layer(args)
    x = torch.randn(1, 16, side, side).double().requires_grad_()
    calls = []
    irfft2 = torch.fft.irfft2

    def watch(*args, **kwargs):
        calls.append(args)
        return irfft2(*args, **kwargs)

    monkeypatch.setattr(torch.fft, 'irfft2', watch)
    with torch.no_grad():
        conv(x)
    assert len(calls) == 1
    conv(x).square().sum().backward()
    assert len(calls) == 1 + times


@pytest.mark.core
@pytest.mark.parametrize('size', [3, 1])
@pytest.mark.parametrize('keeps_kernels', [False, True])
def test_any_spectrum_means_one_kernel(size, keeps_kernels, monkeypatch):
    # Whatever an FFT library makes of columns that contradict themselves,
    # which nothing keeps a learned spectrum from.
    args = dict(in_channels=4, out_channels=6, kernel_size=size, kernel_num=5)
    layer = make_layer(args)
    with torch.no_grad():
        layer.dft_weight.normal_()
    layer.keeps_kernels = keeps_kernels
    x = torch.randn(2, 4, 8, 9, dtype=torch.float64, requires_grad=True)

    def outputs():
        layer.eval()
        y = layer(x)
        inputs = (x, *layer.parameters())
        return [y, *torch.autograd.grad(y.pow(3).sum(), inputs)]

    expected = outputs()
    refuse_contradictions(monkeypatch)
    for value, other in zip(outputs(), expected):
        torch.testing.assert_close(value, other)
