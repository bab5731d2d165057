"""FDConv's options: the published ones, wrong ones, the gate, the counts."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn

from mmfdconv.layers import FDConv, fdconv_options

from .helpers import assert_same_function

# The whole of the authors' configuration, value for value.
PUBLISHED = dict(
    kernel_num=64,
    use_fdconv_if_c_gt=16,
    use_fdconv_if_k_in=[1, 3],
    use_fdconv_if_stride_in=[1],
    use_fbm_if_k_in=[3],
    use_fbm_for_stride=False,
    kernel_temp=1.0,
    temp=None,
    att_multi=2.0,
    param_ratio=1,
    param_reduction=1.0,
    ksm_only_kernel_att=False,
    att_grid=1,
    use_ksm_local=True,
    ksm_local_act='sigmoid',
    ksm_global_act='sigmoid',
    spatial_freq_decompose=False,
    convert_param=True,
    linear_mode=False,
    fbm_cfg=dict(
        k_list=[2, 4, 8],
        lowfreq_att=False,
        fs_feat='feat',
        act='sigmoid',
        spatial='conv',
        spatial_group=1,
        spatial_kernel=3,
        init='zero',
        global_selection=False,
    ),
)
WITHOUT_EFFECT = (
    'use_fdconv_if_stride_in',
    'att_grid',
    'spatial_freq_decompose',
    "fbm_cfg['fs_feat']",
    "fbm_cfg['spatial']",
    "fbm_cfg['global_selection']",
)


@pytest.fixture
def nothing_said(monkeypatch):
    """As in a process that has not warned of anything yet."""
    monkeypatch.setattr(fdconv_options, '_warned', set())


@pytest.mark.core
def test_published_options_are_accepted_with_one_warning(nothing_said):
    with pytest.warns(UserWarning) as caught:
        layer = FDConv(32, 64, 3, padding=1, **PUBLISHED)
        FDConv(64, 64, 3, padding=1, **PUBLISHED)
    assert len(caught) == 1
    message = str(caught[0].message)
    for name in WITHOUT_EFFECT:
        assert name in message
    assert 'no effect' in message
    assert not layer.static
    assert layer(torch.randn(1, 32, 8, 8)).shape == (1, 64, 8, 8)


@pytest.mark.parametrize('name', WITHOUT_EFFECT[:3])
def test_each_option_without_effect_warns_by_name(nothing_said, name):
    with pytest.warns(UserWarning, match=name):
        FDConv(4, 4, 3, **{name: PUBLISHED[name]})


@pytest.mark.core
def test_defaults_and_effective_options_do_not_warn(nothing_said):
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        FDConv(4, 4, 3)
        FDConv(4, 4, 3, kernel_num=8, fbm_cfg=dict(mask='nearest64'))


def test_callers_dict_is_left_alone(nothing_said):
    fbm_cfg = dict(fs_feat='feat', k_list=[2])
    with pytest.warns(UserWarning):
        FDConv(4, 4, 3, fbm_cfg=fbm_cfg)
    assert fbm_cfg == dict(fs_feat='feat', k_list=[2])


# Arguments -> what the message must name.
WRONG = {
    'in_channels=0': (dict(in_channels=0), ['in_channels', '0']),
    'out_channels=-1': (dict(out_channels=-1), ['out_channels', '-1']),
    'kernel_size=0': (dict(kernel_size=0), ['kernel_size', '0']),
    'kernel_size triple': (
        dict(kernel_size=(3, 3, 3)),
        ['kernel_size', '(3, 3, 3)', 'pair'],
    ),
    'kernel_size text': (dict(kernel_size='3'), ['kernel_size', "'3'"]),
    'stride=0': (dict(stride=0), ['stride', '0']),
    'stride pair': (dict(stride=(1, 0)), ['stride', '0']),
    'dilation=0': (dict(dilation=0), ['dilation', '0']),
    'groups=0': (dict(groups=0), ['groups', '0']),
    'groups, in': (dict(groups=3), ['in_channels=4', 'groups=3']),
    'groups, out': (
        dict(in_channels=8, out_channels=6, groups=4),
        ['out_channels=6', 'groups=4'],
    ),
    'padding=-1': (dict(padding=-1), ['padding', '-1']),
    'padding=1.5': (dict(padding=1.5), ['padding', '1.5']),
    'padding=None': (dict(padding=None), ['padding', 'None']),
    'padding text': (dict(padding='full'), ['padding', "'full'", "'same'"]),
    'padding_mode': (
        dict(padding_mode='mirror'),
        ['padding_mode', "'mirror'", "'reflect'"],
    ),
    'kernel_num=0': (dict(kernel_num=0), ['kernel_num', '0']),
    'kernel_num=2.5': (dict(kernel_num=2.5), ['kernel_num', '2.5']),
    'kernel_num too large': (
        dict(kernel_num=1000),
        ['kernel_num=1000', 'frequencies', '126'],
    ),
    'kernel_num above what is kept': (
        dict(kernel_num=64, param_reduction=0.1),
        ['kernel_num=64', 'param_reduction=0.1', '12'],
    ),
    'param_ratio=0': (dict(param_ratio=0), ['param_ratio', '0']),
    'param_reduction=0': (dict(param_reduction=0), ['param_reduction', '0']),
    'param_reduction=1.5': (
        dict(param_reduction=1.5),
        ['param_reduction', '1.5'],
    ),
    'reduction=0': (dict(reduction=0), ['reduction', '0']),
    'kernel_temp=0': (dict(kernel_temp=0), ['kernel_temp', '0']),
    'temp=-1': (dict(temp=-1.0), ['temp', '-1.0']),
    'att_multi=0': (dict(att_multi=0), ['att_multi', '0']),
    'ksm_local_act': (
        dict(ksm_local_act='softmax'),
        ['ksm_local_act', "'softmax'", "'tanh'"],
    ),
    'ksm_global_act': (
        dict(ksm_global_act='relu'),
        ['ksm_global_act', "'relu'", "'sigmoid'"],
    ),
    'softmax with other gates': (
        dict(ksm_global_act='softmax'),
        ['ksm_global_act', "'softmax'", "'sigmoid'"],
    ),
    'only the gate of one group': (
        dict(ksm_only_kernel_att=True, kernel_num=1),
        ['ksm_only_kernel_att', 'kernel_num=1', 'param_ratio=1'],
    ),
    'linear_mode': (
        dict(linear_mode=True, convert_param=False),
        ['linear_mode', 'kernel_size'],
    ),
    'spatial_freq_decompose': (
        dict(spatial_freq_decompose=True),
        ['spatial_freq_decompose', 'True'],
    ),
    'gate of a text': (
        dict(use_fdconv_if_c_gt='16'),
        ['use_fdconv_if_c_gt', "'16'"],
    ),
    'gate of a number': (
        dict(use_fdconv_if_k_in=3),
        ['use_fdconv_if_k_in', 'list', '3'],
    ),
    'bands of a number': (
        dict(use_fbm_if_k_in=3),
        ['use_fbm_if_k_in', 'list', '3'],
    ),
    'k_list number': (dict(fbm_cfg=dict(k_list=2)), ['k_list', 'list', '2']),
    'k_list None': (dict(fbm_cfg=dict(k_list=None)), ['k_list', 'None']),
    'k_list empty': (dict(fbm_cfg=dict(k_list=[])), ['k_list', '[]']),
    'k_list shrinks': (
        dict(fbm_cfg=dict(k_list=[4, 2])),
        ['k_list', '[4, 2]'],
    ),
    'k_list zero': (dict(fbm_cfg=dict(k_list=[0, 2])), ['k_list', '[0, 2]']),
    'spatial_group': (
        dict(fbm_cfg=dict(spatial_group=3)),
        ['spatial_group', '3', 'in_channels=4'],
    ),
    'spatial_group=0': (
        dict(fbm_cfg=dict(spatial_group=0)),
        ['spatial_group'],
    ),
    'spatial_kernel': (
        dict(fbm_cfg=dict(spatial_kernel=2)),
        ['spatial_kernel', '2', 'odd'],
    ),
    'mask': (
        dict(fbm_cfg=dict(mask='nearest')),
        ['mask', "'nearest'", "'exact'", "'nearest64'"],
    ),
    'fbm act': (dict(fbm_cfg=dict(act='relu')), ['act', "'relu'"]),
    'fbm init': (dict(fbm_cfg=dict(init='one')), ['init', "'one'", "'zero'"]),
    'fbm spatial': (dict(fbm_cfg=dict(spatial='pool')), ['spatial', "'pool'"]),
}


@pytest.mark.core
@pytest.mark.parametrize('name', WRONG)
def test_wrong_argument_is_named(name):
    args, words = WRONG[name]
    defaults = dict(in_channels=4, out_channels=6, kernel_size=3)
    with pytest.raises(ValueError) as info:
        FDConv(**{**defaults, **args})
    for word in words:
        assert word in str(info.value)


def test_wrong_options_are_heard_where_the_gate_is_shut():
    # Else they would be found in some layers of a network only.
    with pytest.raises(ValueError, match='ksm_local_act'):
        FDConv(4, 4, 3, ksm_local_act='relu', use_fdconv_if_c_gt=16)


def test_unknown_options_are_refused():
    with pytest.raises(TypeError, match='kernel_number'):
        FDConv(4, 4, 3, kernel_number=4)
    with pytest.raises(ValueError, match='k_lists'):
        FDConv(4, 4, 3, fbm_cfg=dict(k_lists=[2]))


def test_numbers_of_numpy_are_numbers():
    # Width formulas of some backbones end in them.
    layer = FDConv(np.int64(4), np.int64(6), 3, att_multi=np.float32(1.5))
    assert layer(torch.randn(1, 4, 5, 5)).shape == (1, 6, 3, 3)


def test_lists_as_in_a_config_file():
    layer = FDConv(4, 6, [3, 3], stride=[1, 2], padding=[1, 0])
    assert layer.kernel_size == (3, 3)
    assert layer(torch.randn(1, 4, 5, 5)).shape == (1, 6, 5, 2)


# ------------------------------------------------------------------ the gate


@pytest.mark.core
@pytest.mark.parametrize(
    'args',
    [
        dict(in_channels=16, out_channels=32, use_fdconv_if_c_gt=16),
        dict(in_channels=32, out_channels=16, use_fdconv_if_c_gt=16),
        dict(kernel_size=5, use_fdconv_if_k_in=[1, 3]),
        dict(kernel_size=(1, 7), use_fdconv_if_k_in=[1, 3]),
    ],
    ids=str,
)
def test_closed_gate_is_the_stock_conv(args):
    shape = dict(in_channels=32, out_channels=32, kernel_size=3, padding=1)
    layer = FDConv(**{**shape, **args})
    own = {k: v for k, v in args.items() if not k.startswith('use')}
    conv = nn.Conv2d(**{**shape, **own})
    assert {k: v.shape for k, v in layer.state_dict().items()} == {
        k: v.shape for k, v in conv.state_dict().items()
    }
    layer.load_state_dict(conv.state_dict())
    x = torch.randn(2, conv.in_channels, 9, 9)
    assert torch.equal(layer(x), conv(x))
    layer.init_weights()
    assert torch.equal(layer(x), conv(x))
    converted = FDConv.from_conv(
        conv, **{k: v for k, v in args.items() if k.startswith('use')}
    )
    assert torch.equal(converted(x), conv(x))
    assert list(layer.router_parameters()) == []
    # It says so, and why.
    reason = next(k for k in args if k.startswith('use'))
    assert 'static' in repr(layer)
    assert reason in repr(layer)
    assert FDConv.static_reason(conv, **args) == layer.static


@pytest.mark.core
@pytest.mark.parametrize(
    'args',
    [
        dict(in_channels=17, out_channels=32, use_fdconv_if_c_gt=16),
        dict(kernel_size=(1, 3), use_fdconv_if_k_in=[1, 3]),
        dict(in_channels=1, out_channels=2, kernel_size=(9, 2)),
    ],
    ids=str,
)
def test_open_gate(args):
    shape = dict(in_channels=32, out_channels=32, kernel_size=3)
    layer = FDConv(**{**shape, **args})
    assert not layer.static
    assert 'static' not in repr(layer)
    assert hasattr(layer, 'dft_weight')


@pytest.mark.parametrize(
    'args, expected',
    [
        (dict(kernel_size=3), True),
        (dict(kernel_size=1), False),
        (dict(kernel_size=5), False),
        (dict(kernel_size=(3, 1)), False),
        (dict(kernel_size=5, use_fbm_if_k_in=[5]), True),
        (dict(kernel_size=3, use_fbm_if_k_in=[]), False),
        (dict(kernel_size=1, stride=2), False),
        (dict(kernel_size=1, stride=2, use_fbm_for_stride=True), True),
        (dict(kernel_size=1, stride=(1, 2), use_fbm_for_stride=True), True),
        (dict(kernel_size=1, use_fbm_for_stride=True), False),
    ],
    ids=str,
)
def test_which_layers_modulate_bands(args, expected):
    layer = FDConv(4, 6, **args)
    assert any(k.startswith('FBM.') for k in layer.state_dict()) == expected


def test_repr_tells_what_it_is():
    text = repr(FDConv(4, 6, (3, 2), stride=2, groups=2, kernel_num=8))
    assert text.startswith('FDConv(')
    for word in ('4, 6', 'kernel_size=(3, 2)', 'groups=2', 'kernel_num=8'):
        assert word in text


def test_gate_of_a_conversion_is_the_gate_of_the_layer():
    conv = nn.Conv2d(8, 32, 3)
    layer = FDConv.from_conv(conv, use_fdconv_if_c_gt=8, kernel_num=8)
    assert layer.static
    assert_same_function(layer, conv, torch.randn(1, 8, 5, 5))


def test_a_mistyped_band_option_is_told_without_bands_too():
    with pytest.raises(ValueError, match="fbm_cfg.*'klist'.*'k_list'"):
        FDConv(8, 8, 1, fbm_cfg=dict(klist=[2, 4]))
