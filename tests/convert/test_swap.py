"""convert_dynamic_: what is replaced, kept, reported and refused."""

import copy

import pytest
import torch
from torch import nn

from mmfdconv.convert import LayerRule, convert_dynamic_
from mmfdconv.layers import DYConv, FDConv, FDLinear, KWLinear
from mmfdconv.layers.declaring import Shared

from ..layers.helpers import relative_error

pytestmark = pytest.mark.core

CFG = dict(type='FDConv', kernel_num=4)
EVERYTHING = LayerRule()


def small_net():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=2, bias=False),
        nn.Sequential(nn.Conv2d(8, 16, 1), nn.ReLU()),
    )


def test_converted_model_computes_the_same():
    net = small_net().eval()
    stock = copy.deepcopy(net)
    report = convert_dynamic_(net, CFG, EVERYTHING)
    assert [type(net[i]) for i in (0, 3)] == [FDConv, FDConv]
    assert type(net[4][0]) is FDConv
    assert len(report.converted) == 3
    x = torch.randn(2, 3, 11, 14)
    assert relative_error(net(x), stock(x)) < 1e-5


def test_state_is_kept():
    net = small_net().double()
    net[0].weight.requires_grad_(False)
    net[3].eval()
    bias = net[0].bias
    convert_dynamic_(net, CFG, EVERYTHING)
    assert net[0].bias is bias
    assert not net[0].dft_weight.requires_grad
    assert all(p.requires_grad for p in net[0].router_parameters())
    assert net[3].dft_weight.requires_grad
    assert net[0].training and not net[3].training
    assert all(p.dtype == torch.float64 for p in net.parameters())
    assert net[3].bias is None


def test_a_shared_module_is_converted_once():
    net = nn.Module()
    net.a = nn.Conv2d(8, 8, 3)
    net.b = nn.Sequential(net.a)
    report = convert_dynamic_(net, CFG, EVERYTHING)
    assert net.a is net.b[0]
    assert len(report.converted) == 1


def test_a_second_call_changes_nothing():
    net = small_net()
    convert_dynamic_(net, CFG, EVERYTHING)
    before = dict(net.named_modules())
    report = convert_dynamic_(net, CFG, EVERYTHING)
    assert report.converted == []
    assert dict(net.named_modules()) == before


def test_report_names_every_convolution():
    net = small_net()
    sizes = [p.numel() for p in net.parameters()]
    report = convert_dynamic_(net, CFG, LayerRule(kernel_sizes=[3]))
    assert [r.name for r in report.rows] == ['0', '3', '4.0']
    assert [r.after for r in report.rows] == ['FDConv', 'FDConv', '']
    assert 'kernel_size' in report.skipped[0].reason
    after = sum(p.numel() for p in net.parameters())
    assert report.added_params == after - sum(sizes)
    text = str(report)
    for word in ('name', '4.0', '8->8 3x3 s2 g2', '2 of 3 layers'):
        assert word in text


def test_zero_hits_raise_and_say_why():
    with pytest.raises(ValueError) as caught:
        convert_dynamic_(small_net(), CFG, LayerRule(kernel_sizes=[7]))
    assert 'no layer of Sequential' in str(caught.value)
    assert 'not in [7]' in str(caught.value)


def test_an_unknown_exact_name_raises():
    rule = LayerRule(names={'conv9': True})
    with pytest.raises(ValueError, match='conv9'):
        convert_dynamic_(small_net(), CFG, rule)


@pytest.mark.parametrize(
    'cfg, words',
    [
        (dict(type='FDConvv'), ['FDConvv', 'FDConv']),
        (dict(type=nn.Conv2d), ['Conv2d', 'FDConv']),
        (dict(), ['None', 'FDConv']),
        (dict(type='FDConv', kernel_num=0), ['kernel_num', '0', 'name']),
        (dict(type='FDConv', kernels=4), ['kernels', 'conv_cfg']),
    ],
)
def test_wrong_conv_cfg_is_told(cfg, words):
    net = nn.Sequential()
    net.add_module('name', nn.Conv2d(8, 8, 3))
    with pytest.raises(ValueError) as caught:
        convert_dynamic_(net, cfg, EVERYTHING)
    for word in words:
        assert word in str(caught.value)


def test_a_failed_conversion_leaves_nothing_half_done():
    # 1x1x1 frequencies are fewer than the 64 groups: the last layer fails.
    net = nn.Sequential(nn.Conv2d(16, 16, 3), nn.Conv2d(16, 1, 1))
    with pytest.raises(ValueError, match='kernel_num=64'):
        convert_dynamic_(net, dict(type='FDConv', kernel_num=64), EVERYTHING)
    assert [type(m) for m in net] == [nn.Conv2d, nn.Conv2d]


def test_scope_prefix_and_class_are_types_too():
    for kind in ('mmdet.FDConv', FDConv):
        net = nn.Sequential(nn.Conv2d(8, 8, 3))
        convert_dynamic_(net, dict(type=kind), EVERYTHING)
        assert type(net[0]) is FDConv


def test_options_of_the_rule_come_on_top():
    net = small_net()
    rule = LayerRule(patterns={'0': dict(kernel_num=7)})
    convert_dynamic_(net, CFG, rule)
    assert (net[0].kernel_num, net[3].kernel_num) == (7, 4)


def test_the_published_gate_is_a_reason():
    net = small_net()
    cfg = dict(CFG, use_fdconv_if_c_gt=7)
    report = convert_dynamic_(net, cfg, EVERYTHING)
    assert [r.name for r in report.converted] == ['3', '4.0']
    assert 'use_fdconv_if_c_gt=7' in report.skipped[0].reason


class ShiftedConv(nn.Conv2d):
    """A convolution that does more than one."""

    def forward(self, x):
        return super().forward(x + 1)


def test_what_is_more_than_a_convolution_is_left():
    normed = nn.utils.parametrizations.weight_norm(nn.Conv2d(8, 8, 3))
    net = nn.Sequential(nn.Conv2d(8, 8, 3), ShiftedConv(8, 8, 3), normed)
    report = convert_dynamic_(net, CFG, EVERYTHING)
    assert [r.name for r in report.converted] == ['0']
    assert 'ShiftedConv' in report.skipped[0].reason
    assert 'parametrization' in report.skipped[1].reason


def test_mmcv_convolution_counts_as_plain():
    wrappers = pytest.importorskip('mmcv.cnn.bricks.wrappers')
    net = nn.Sequential(wrappers.Conv2d(8, 8, 3))
    convert_dynamic_(net, CFG, EVERYTHING)
    assert type(net[0]) is FDConv


class TokenNet(nn.Module):
    """A feed-forward network beside what must be left alone."""

    def __init__(self):
        super().__init__()
        self.attn = nn.MultiheadAttention(16, 2, batch_first=True)
        self.up = nn.Linear(16, 32)
        self.down = nn.Linear(32, 16)

    def forward(self, x):
        x = x + self.attn(x, x, x)[0]
        return x + self.down(self.up(x).relu())


def test_linear_layers_by_pattern():
    torch.manual_seed(0)
    net = TokenNet().eval()
    x = torch.randn(2, 7, 16)
    expected = net(x)
    state = {k: v.clone() for k, v in net.state_dict().items()}
    report = convert_dynamic_(
        net, CFG, LayerRule(patterns={'up|down': True}, otherwise=False)
    )
    assert [type(m) for m in (net.up, net.down)] == [FDLinear, FDLinear]
    assert [r.name for r in report.converted] == ['up', 'down']
    assert report.converted[0].before == '16->32 linear'
    assert relative_error(net(x), expected) < 1e-5
    for parameter in net.parameters():
        parameter.data.normal_()
    net.load_state_dict(state)  # the stock checkpoint
    assert relative_error(net(x), expected) < 1e-5


def test_linear_layers_by_condition():
    net = TokenNet()
    with pytest.raises(ValueError, match='linears=False'):
        convert_dynamic_(net, CFG, LayerRule())
    report = convert_dynamic_(net, CFG, LayerRule(linears=True))
    assert [r.name for r in report.converted] == ['up', 'down']
    assert 'MultiheadAttention' in report.skipped[0].reason


def test_a_gate_of_channels_reaches_linear_layers():
    net = TokenNet()
    cfg = dict(CFG, use_fdconv_if_c_gt=16)
    with pytest.raises(ValueError, match='use_fdconv_if_c_gt'):
        convert_dynamic_(net, cfg, LayerRule(linears=True))


def test_kernel_warehouse_shares_cells_between_linear_layers():
    net = TokenNet().eval()
    x = torch.randn(2, 7, 16)
    expected = net(x)
    cfg = dict(
        type='KWConv',
        warehouse_names={'up': 'stage0_pwconv1', 'down': 'stage0_pwconv2'},
    )
    convert_dynamic_(net, cfg, LayerRule(linears=True))
    assert isinstance(net.up, KWLinear)
    assert net.up.cells is net.down.cells
    assert relative_error(net(x), expected) < 1e-5


class DYConvWithCommonPart(DYConv):
    """Shares a module; leaves pointwise layers out."""

    @staticmethod
    def share(stock, options):
        left_out = {
            name: 'it is pointwise'
            for name, conv in stock.items()
            if conv.kernel_size == (1, 1)
        }
        kept = {
            name: dict(options[name], num_experts=2)
            for name in options
            if name not in left_out
        }
        common = {'common': nn.LayerNorm(4)}  # 8 parameters
        return Shared(kept, common, left_out, ('mind the common part',))


def test_a_method_says_what_its_layers_share():
    net = nn.Module()
    net.body = small_net()
    cfg = dict(type=DYConvWithCommonPart)
    report = convert_dynamic_(net, cfg, EVERYTHING)
    assert isinstance(net.common, nn.LayerNorm)
    assert net.body[0].num_experts == 2
    assert isinstance(net.body[4][0], nn.Conv2d)
    reasons = {row.name: row.reason for row in report.rows}
    assert reasons['body.4.0'] == 'it is pointwise'
    assert report.shared_params == 8
    assert 'mind the common part' in report.notes
    net.body[0] = nn.Conv2d(3, 8, 3, padding=1)
    with pytest.raises(ValueError, match='has a common already'):
        convert_dynamic_(net, cfg, EVERYTHING)
    assert isinstance(net.body[0], nn.Conv2d)


def test_a_sequential_model_cannot_hold_what_layers_share():
    net = small_net()
    cfg = dict(type=DYConvWithCommonPart)
    with pytest.raises(ValueError, match='nn.Sequential would call it'):
        convert_dynamic_(net, cfg, EVERYTHING)
    assert isinstance(net[0], nn.Conv2d) and len(net) == 5
