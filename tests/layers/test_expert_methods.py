"""CondConv, DY-Conv, ODConv and FADConv against slow references."""

import pytest
import torch
from torch import nn

from mmfdconv.layers import CondConv, DYConv, FADConv, ODConv

from .helpers import (
    assert_matches_reference,
    make_layer,
    relative_error,
)
from .methods import GEOMETRIES, SMALL_FAT

OPTIONS = {
    'CondConv': (CondConv, dict()),
    'CondConv, fat': (CondConv, dict(num_experts=2, descriptor=SMALL_FAT)),
    'DYConv': (DYConv, dict()),
    'DYConv, hot': (DYConv, dict(num_experts=3, temperature=31.0)),
    'DYConv, wide, fat': (DYConv, dict(reduction=2.0, descriptor=SMALL_FAT)),
    'ODConv': (ODConv, dict()),
    'ODConv, cold': (ODConv, dict(num_experts=2, temperature=0.5)),
    'ODConv, one expert': (ODConv, dict(num_experts=1)),
    'ODConv, wide, fat': (ODConv, dict(reduction=8.0, descriptor=SMALL_FAT)),
}
all_options = pytest.mark.parametrize('option', OPTIONS)
PLAIN = dict(in_channels=4, out_channels=6, kernel_size=3, padding=1)


@pytest.mark.core
@pytest.mark.filterwarnings('ignore:Using padding')
@all_options
@pytest.mark.parametrize('geometry', GEOMETRIES)
@pytest.mark.parametrize('training', [True, False])
def test_matches_the_reference(option, geometry, training):
    cls, options = OPTIONS[option]
    args = {**GEOMETRIES[geometry], **options}
    layer = make_layer(args, cls=cls).train(training)
    x = torch.randn(3, args['in_channels'], 7, 8, dtype=torch.float64)
    assert_matches_reference(layer, args, x)


@pytest.mark.core
@pytest.mark.parametrize('batch', [1, 2])
@all_options
def test_float32_matches_the_reference(option, batch):
    cls, options = OPTIONS[option]
    args = {**PLAIN, **options}
    layer = make_layer(args, torch.float32, cls=cls).eval()
    assert_matches_reference(layer, args, torch.randn(batch, 4, 7, 8))


@pytest.mark.parametrize('option', ['CondConv', 'DYConv', 'ODConv, cold'])
@pytest.mark.parametrize('geometry', ['k3', 'k1 stride 2', 'k3x2'])
def test_gradcheck(option, geometry):
    cls, options = OPTIONS[option]
    args = {**GEOMETRIES[geometry], **options, 'out_channels': 2}
    layer = make_layer(args, cls=cls).eval()
    names, parameters = zip(*layer.named_parameters())

    def run(x, *values):
        return torch.func.functional_call(layer, dict(zip(names, values)), x)

    x = torch.randn(2, 4, 3, 4, dtype=torch.float64, requires_grad=True)
    torch.manual_seed(0)
    assert torch.autograd.gradcheck(run, (x, *parameters), fast_mode=True)
    assert torch.autograd.gradgradcheck(run, (x, *parameters), fast_mode=True)


# ----------------------------------------------------------------- the start


@pytest.mark.core
@pytest.mark.parametrize('source', ['from_conv', 'load_state_dict'])
@pytest.mark.parametrize('bias', [True, False])
@pytest.mark.parametrize('cls', [CondConv, DYConv, FADConv, ODConv])
def test_experts_part_under_training(cls, bias, source):
    # Experts of a stock kernel begin close to it: if they got equal gradients
    # as well, the layer would stay a static convolution.
    conv = nn.Conv2d(4, 6, 3, padding=1, bias=bias)
    if source == 'from_conv':
        layer = cls.from_conv(conv)
    else:
        layer = cls(4, 6, 3, padding=1, bias=bias)
        layer.load_state_dict(conv.state_dict())

    def apart(parameter):
        spread = parameter - parameter.mean(0, keepdim=True)
        return (spread.flatten(1).norm(dim=1) / parameter.norm()).detach()

    before = apart(layer.experts)
    target = torch.randn(4, 6, 8, 8)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.5)
    for _ in range(20):
        optimizer.zero_grad()
        x = torch.randn(4, 4, 8, 8)
        (layer(x) - target).square().mean().backward()
        optimizer.step()
    moved = (apart(layer.experts) - before).abs()
    assert (moved > 1e-4).all(), moved
    if bias and layer.mixes_bias:
        assert (apart(layer.bias) > 1e-4).all()


@pytest.mark.core
@pytest.mark.parametrize('cls', [CondConv, DYConv, FADConv, ODConv])
def test_the_router_of_a_stock_kernel_learns(cls):
    # Equal experts would give it no gradient, and the decay of an optimizer
    # that divides by the gradient's size would send its weights to zero.
    conv = nn.Conv2d(4, 4, 3, padding=1)
    layer = cls.from_conv(conv)
    router = layer.get_submodule(
        {
            DYConv: 'attention',
            FADConv: 'routing',
            ODConv: 'attention.kernel_fc',
            CondConv: 'routing',
        }[cls]
    )
    logits = []
    router.register_forward_hook(lambda *args: logits.append(args[2]))
    # Bright images are to be negated, dark ones kept.
    x = (
        torch.randn(8, 4, 8, 8)
        + torch.tensor([1.0, -1.0] * 4)[:, None, None, None]
    )
    target = x * torch.tensor([-1.0, 1.0] * 4)[:, None, None, None]
    optimizer = torch.optim.Adam(
        layer.parameters(), lr=3e-3, weight_decay=1e-4
    )

    def step():
        optimizer.zero_grad()
        loss = (layer(x) - target).square().mean()
        loss.backward()
        optimizer.step()
        return loss.item()

    losses = [step() for _ in range(60)]
    gates = logits[-1].detach().flatten(1).softmax(1)
    assert logits[0].std() < 1e-6  # neutral at the start
    assert gates.std(dim=0).max() > 0.02, gates  # not one mixture for all
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize('cls', [CondConv, DYConv, FADConv, ODConv])
def test_experts_differ_from_the_start(cls):
    conv = nn.Conv2d(4, 6, 3)
    layer = cls.from_conv(conv)
    spread = (layer.experts - layer.experts.mean(0)).std()
    assert 0.05 < spread / layer.experts.std() < 0.2
    one = cls.from_conv(conv, num_experts=1)
    torch.testing.assert_close(
        one.experts[0] * one.start_sum(), conv.weight.detach()
    )


def test_odconv_gates_start_at_one_half():
    conv = nn.Conv2d(4, 6, 3)
    layer = ODConv.from_conv(conv)
    assert layer.start_sum() == 0.5**3
    torch.testing.assert_close(
        layer.experts.mean(0) * 0.5**3, conv.weight.detach()
    )
    assert ODConv(4, 6, 1).start_sum() == 0.5**2  # one position, no gate
    assert ODConv(4, 4, 1, groups=4).start_sum() == 0.5  # depthwise, too


def test_a_mixed_bias_is_copied_and_any_other_shared():
    conv = nn.Conv2d(4, 6, 3)
    for cls in (DYConv, FADConv):
        layer = cls.from_conv(conv)
        assert layer.bias.shape == (4, 6)
        assert torch.equal(layer.bias, conv.bias.expand(4, -1))
        with torch.no_grad():
            layer.bias.add_(1)
        assert not torch.equal(layer.bias[0], conv.bias)
    for cls in (CondConv, ODConv):
        assert cls.from_conv(conv).bias is conv.bias


# ------------------------------------------------------------------ details


def num_parameters(layer):
    return sum(p.numel() for p in layer.parameters())


@pytest.mark.core
@pytest.mark.parametrize(
    ('cls', 'options', 'expected'),
    [
        (CondConv, dict(), 8 * 64 * 96 * 9 + 96 + (64 + 1) * 8),
        (
            DYConv,
            dict(),
            4 * (64 * 96 * 9 + 96) + 64 * 17 + (17 + 1) * 4,
        ),
        (
            ODConv,
            dict(),
            4 * 64 * 96 * 9
            + 96
            + 64 * 16
            + 2 * 16
            + (16 + 1) * (64 + 96 + 9 + 4),
        ),
        (
            FADConv,
            dict(),
            4 * (64 * 96 * 9 + 96)
            + (16 + 1) * 32
            + (32 + 1)
            + (64 + 1) * 32
            + (32 + 1) * 4,
        ),
    ],
    ids=lambda v: getattr(v, '__name__', ''),
)
def test_number_of_parameters(cls, options, expected):
    assert num_parameters(cls(64, 96, 3, **options)) == expected


def test_defaults_are_the_papers():
    assert CondConv(4, 6, 3).num_experts == 8
    for cls in (DYConv, ODConv, FADConv):
        assert cls(4, 6, 3).num_experts == 4
    # A quarter of the channels, and one unit more, as published; and of an
    # RGB image as many as there are experts.
    assert DYConv(64, 6, 3).attention.fc1.weight.shape[:2] == (17, 64)
    assert DYConv(3, 6, 3).attention.fc1.weight.shape[:2] == (4, 3)
    assert ODConv(512, 6, 3).attention.fc.weight.shape[:2] == (32, 512)


@pytest.mark.parametrize('cls', [DYConv, ODConv])
def test_temperature(cls):
    layer = make_layer(dict(PLAIN, temperature=30.0), cls=cls).eval()
    x = torch.randn(3, 4, 7, 8, dtype=torch.float64) * 5
    assert 'temperature' in layer.state_dict()
    assert layer.temperature == 30
    hot = layer(x)
    # Saved and resumed.
    other = cls(**PLAIN).double().eval()
    other.load_state_dict(layer.state_dict())
    assert other.temperature == 30
    torch.testing.assert_close(other(x), hot)
    layer.temperature.fill_(1.0)
    assert relative_error(layer(x), hot) > 1e-2
    # A hot softmax is near uniform.
    layer.temperature.fill_(1e9)
    if cls is DYConv:
        mean, bias = layer.experts.mean(0), layer.bias.mean(0)
        uniform = nn.functional.conv2d(x, mean, bias, padding=1)
        torch.testing.assert_close(layer(x), uniform, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('cls', [CondConv, DYConv, ODConv])
def test_descriptors_are_parts(cls):
    # FODConv of FADConv's Table 3 is ODConv with another descriptor.
    gap, fat = cls(4, 6, 3), cls(4, 6, 3, descriptor='fat')
    own = set(fat.state_dict()) - set(gap.state_dict())
    assert own == {
        f'descriptor.fusion.{i}.{name}'
        for i in (0, 2)
        for name in ('weight', 'bias')
    }
    assert not any(k.startswith('descriptor') for k in gap.state_dict())
    for options in (dict(), dict(pool_size=8, fusion='add')):
        layer = cls(4, 6, 3, descriptor=dict(type='fat', **options))
        assert layer.descriptor.pool_size == options.get('pool_size', 16)
        assert layer(torch.randn(2, 4, 9, 9)).shape == (2, 6, 7, 7)


def test_repr_names_the_experts():
    assert 'num_experts=5' in repr(CondConv(4, 6, 3, num_experts=5))
