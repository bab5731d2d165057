"""What FDConv loads and saves."""

import copy

import pytest
import torch
from torch import nn

from mmfdconv.layers import FDConv

from .helpers import activate_, assert_same_function, make_layer

ARGS = dict(in_channels=4, out_channels=6, kernel_size=3, padding=1)
# Names of the published code; its checkpoints load as they are.
PUBLISHED = {
    'bias': (6,),
    'dft_weight': (1, 18, 7, 2),
    'KSM_Global.fc.weight': (16, 4, 1, 1),
    'KSM_Global.bn.weight': (16,),
    'KSM_Global.bn.bias': (16,),
    'KSM_Global.bn.running_mean': (16,),
    'KSM_Global.bn.running_var': (16,),
    'KSM_Global.bn.num_batches_tracked': (),
    'KSM_Global.relu.scale': (1,),
    'KSM_Global.relu.bias': (1,),
    'KSM_Global.channel_fc.weight': (4, 16, 1, 1),
    'KSM_Global.channel_fc.bias': (4,),
    'KSM_Global.filter_fc.weight': (6, 16, 1, 1),
    'KSM_Global.filter_fc.bias': (6,),
    'KSM_Global.spatial_fc.weight': (9, 16, 1, 1),
    'KSM_Global.spatial_fc.bias': (9,),
    'KSM_Global.kernel_fc.weight': (4, 16, 1, 1),
    'KSM_Global.kernel_fc.bias': (4,),
    'FBM.freq_weight_conv_list.0.weight': (1, 4, 3, 3),
    'FBM.freq_weight_conv_list.0.bias': (1,),
    'FBM.freq_weight_conv_list.1.weight': (1, 4, 3, 3),
    'FBM.freq_weight_conv_list.1.bias': (1,),
    'FBM.freq_weight_conv_list.2.weight': (1, 4, 3, 3),
    'FBM.freq_weight_conv_list.2.bias': (1,),
    'KSM_Local.conv.weight': (54, 1, 3),
    'KSM_Local.norm.weight': (4,),
    'KSM_Local.norm.bias': (4,),
}


@pytest.fixture
def x():
    return torch.randn(2, 4, 8, 7, dtype=torch.float64)


@pytest.mark.core
def test_published_names_and_shapes():
    state = FDConv(**ARGS).state_dict()
    assert {k: tuple(v.shape) for k, v in state.items()} == PUBLISHED


@pytest.mark.core
@pytest.mark.parametrize(
    'options',
    [
        dict(),
        dict(param_ratio=2),
        dict(param_reduction=0.5),
        dict(convert_param=False),
        dict(ksm_only_kernel_att=True, use_ksm_local=False),
        dict(use_fdconv_if_c_gt=16),
    ],
    ids=str,
)
def test_own_round_trip(x, tmp_path, options):
    layer = make_layer(dict(ARGS, **options)).eval()
    torch.save(layer.state_dict(), tmp_path / 'layer.pth')
    other = FDConv(**ARGS, **options, dtype=torch.float64).eval()
    result = other.load_state_dict(torch.load(tmp_path / 'layer.pth'))
    assert not result.missing_keys and not result.unexpected_keys
    assert torch.equal(other(x), layer(x))


@pytest.mark.core
@pytest.mark.parametrize('strict', [True, False])
def test_stock_keys_are_all_used(strict):
    stock = nn.Sequential(nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6))
    model = nn.Sequential(FDConv(4, 6, 3), nn.BatchNorm2d(6))
    given = stock.state_dict()
    before = copy.deepcopy(given)
    result = model.load_state_dict(given, strict=strict)
    assert not result.missing_keys and not result.unexpected_keys
    # The caller's dict is the caller's.
    assert list(given) == list(before)


@pytest.mark.core
@pytest.mark.parametrize('strict', [True, False])
def test_stock_through_mmengine(strict):
    runner = pytest.importorskip(
        'mmengine.runner', reason='MMEngine is not installed'
    )
    stock = nn.Sequential(nn.Conv2d(4, 6, 3), nn.Conv2d(6, 4, 1, bias=False))
    model = nn.Sequential(FDConv(4, 6, 3), FDConv(6, 4, 1, bias=False))
    for layer in model:
        activate_(layer)
    messages = []
    logger = type('Logger', (), {'warning': lambda _, m: messages.append(m)})
    runner.load_state_dict(
        model, stock.state_dict(), strict=strict, logger=logger()
    )
    assert not messages
    x = torch.randn(2, 4, 7, 6)
    assert_same_function(model, stock, x)


@pytest.mark.core
def test_spectrum_without_routers_starts_neutral():
    # As the authors' script makes it of a checkpoint of ImageNet.
    stock = nn.Conv2d(4, 6, 3, padding=1)
    state = FDConv.from_conv(stock).state_dict()
    state = {k: state[k] for k in ('dft_weight', 'bias')}
    layer = activate_(FDConv(**ARGS))
    result = layer.load_state_dict(state)
    assert not result.missing_keys and not result.unexpected_keys
    assert_same_function(layer, stock, torch.randn(2, 4, 8, 7))


def test_part_of_the_routers_is_reported():
    state = FDConv(**ARGS).state_dict()
    del state['KSM_Local.conv.weight']
    result = FDConv(**ARGS).load_state_dict(state, strict=False)
    assert result.missing_keys == ['KSM_Local.conv.weight']


def test_missing_bias_is_reported():
    layer = FDConv(4, 6, 3)
    stock = nn.Conv2d(4, 6, 3, bias=False)
    result = layer.load_state_dict(stock.state_dict(), strict=False)
    assert result.missing_keys == ['bias']


def test_surplus_bias_is_reported():
    layer = FDConv(4, 6, 3, bias=False)
    result = layer.load_state_dict(
        nn.Conv2d(4, 6, 3).state_dict(), strict=False
    )
    assert result.unexpected_keys == ['bias']


def test_empty_checkpoint_is_reported():
    layer = FDConv(**ARGS)
    result = layer.load_state_dict({}, strict=False)
    # PyTorch itself fills in the counter of batches.
    counter = {'KSM_Global.bn.num_batches_tracked'}
    assert set(result.missing_keys) | counter == set(PUBLISHED)


@pytest.mark.core
def test_stock_of_another_shape_says_so():
    model = nn.Sequential(FDConv(4, 6, 3))
    stock = nn.Sequential(nn.Conv2d(4, 6, 5))
    with pytest.raises(RuntimeError) as info:
        model.load_state_dict(stock.state_dict())
    message = str(info.value)
    assert '0.weight' in message
    assert '(6, 4, 5, 5)' in message
    assert '(6, 4, 3, 3)' in message
    # One problem, one message; no list of keys that are not to blame.
    assert 'Missing key' not in message
    assert 'Unexpected key' not in message


def test_published_of_another_size_says_so():
    layer = FDConv(4, 6, 3, kernel_num=8)
    state = FDConv(4, 6, 3, kernel_num=4).state_dict()
    with pytest.raises(RuntimeError, match='KSM_Global.kernel_fc.weight'):
        layer.load_state_dict(state)


def test_other_modules_key_says_so():
    layer = FDConv(4, 6, 3, use_ksm_local=False)
    with pytest.raises(RuntimeError, match='KSM_Local.conv.weight'):
        layer.load_state_dict(FDConv(4, 6, 3).state_dict())


@pytest.mark.core
@pytest.mark.parametrize('ratio', [1, 2])
@pytest.mark.parametrize('converted', [True, False])
def test_between_spectrum_and_kernel(x, converted, ratio):
    args = dict(ARGS, param_ratio=ratio)
    source = make_layer(dict(args, convert_param=converted)).eval()
    target = FDConv(
        **args, convert_param=not converted, dtype=torch.float64
    ).eval()
    target.load_state_dict(source.state_dict())
    torch.testing.assert_close(target(x), source(x))


def test_several_spectra_do_not_become_one_kernel():
    source = make_layer(dict(ARGS, param_ratio=2))
    with torch.no_grad():
        source.dft_weight[1] *= 2
    target = FDConv(**ARGS, param_ratio=2, convert_param=False)
    with pytest.raises(RuntimeError, match='dft_weight'):
        target.load_state_dict(source.state_dict())


@pytest.mark.core
def test_linear_mode():
    linear = nn.Linear(5, 7)
    layer = FDConv(5, 7, 1, convert_param=False, linear_mode=True)
    assert layer.weight.shape == (7, 5)
    layer.load_state_dict(linear.state_dict())
    x = torch.randn(2, 5, 4, 3)
    expected = linear(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    torch.testing.assert_close(layer.eval()(x), expected)
    # A convolution's 4-D kernel, too.
    conv = nn.Conv2d(5, 7, 1)
    layer.load_state_dict(conv.state_dict())
    torch.testing.assert_close(layer(x), conv(x))


@pytest.mark.parametrize('convert_param', [True, False])
def test_linear_weight_into_a_1x1_layer(convert_param):
    linear = nn.Linear(5, 7)
    layer = FDConv(5, 7, 1, convert_param=convert_param)
    layer.load_state_dict(linear.state_dict())
    x = torch.randn(2, 5, 4, 3)
    expected = linear(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    torch.testing.assert_close(layer.eval()(x), expected)


def test_half_precision_checkpoint(x):
    stock = nn.Conv2d(4, 6, 3, padding=1)
    state = {k: v.half() for k, v in stock.state_dict().items()}
    layer = FDConv(**ARGS)
    layer.load_state_dict(state)
    x = x.float()
    error = (layer.eval()(x) - stock(x)).norm() / stock(x).norm()
    assert error < 2e-3


def test_optimizer_state_survives_resume(tmp_path):
    # A second start from the saved state continues exactly as the first.
    def step(layer, optimizer, seed):
        torch.manual_seed(seed)
        optimizer.zero_grad()
        layer(torch.randn(2, 4, 8, 7)).square().mean().backward()
        optimizer.step()

    first = FDConv(**ARGS)
    optimizer = torch.optim.AdamW(first.parameters(), lr=1e-2)
    for seed in range(3):
        step(first, optimizer, seed)
    torch.save(
        dict(model=first.state_dict(), optimizer=optimizer.state_dict()),
        tmp_path / 'last.pth',
    )
    second = FDConv(**ARGS)
    saved = torch.load(tmp_path / 'last.pth')
    second.load_state_dict(saved['model'])
    resumed = torch.optim.AdamW(second.parameters(), lr=1e-2)
    resumed.load_state_dict(saved['optimizer'])
    step(first, optimizer, 7)
    step(second, resumed, 7)
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name


# ------------------------------------------------- the unit of grouped layers

GROUPED = dict(in_channels=6, out_channels=6, kernel_size=3, groups=6)


def old_checkpoint(layer):
    """As grouped layers were saved: in the unit of a dense one."""
    state = layer.state_dict()
    del state['unit_version']
    state['dft_weight'] = state['dft_weight'] / layer.groups**0.5
    return state


@pytest.mark.core
@pytest.mark.parametrize('convert_param', [True, False])
def test_older_grouped_checkpoint(convert_param):
    layer = make_layer(GROUPED).eval()
    x = torch.randn(2, 6, 8, 7, dtype=torch.float64)
    other = FDConv(**GROUPED, convert_param=convert_param).double().eval()
    for state in (old_checkpoint(layer), layer.state_dict()):
        other.load_state_dict(state)
        torch.testing.assert_close(other(x), layer(x))
    assert ('unit_version' in other.state_dict()) == convert_param
    half = layer.half().state_dict()
    layer.double().load_state_dict(half)
    torch.testing.assert_close(layer(x), other(x), rtol=2e-2, atol=2e-2)


@pytest.mark.core
def test_grouped_spectrum_without_routers():
    conv = nn.Conv2d(6, 6, 3, groups=6)
    spectrum = old_checkpoint(FDConv.from_conv(conv))['dft_weight']
    layer = activate_(FDConv(**GROUPED)).eval()
    layer.load_state_dict({'dft_weight': spectrum, 'bias': conv.bias})
    assert_same_function(layer, conv, torch.randn(2, 6, 8, 7))


def moved(model, kernel, x):
    """How far three steps of Adam move a kernel, relative to its size."""
    before = kernel().detach().clone()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    wanted = torch.randn_like(model(x))
    for _ in range(3):
        optimizer.zero_grad()
        (model(x) * wanted).mean().backward()
        optimizer.step()
    return ((kernel() - before).norm() / before.norm()).item()


@pytest.mark.core
@pytest.mark.parametrize('groups', [1, 4, 32, 96])
def test_groups_learn_as_fast_as_dense_layers(groups):
    conv = nn.Conv2d(96, 96, 3, padding=1, groups=groups)
    layer = FDConv.from_conv(conv).eval()
    for parameter in layer.router_parameters():
        parameter.requires_grad_(False)
    x = torch.randn(4, 96, 8, 8)
    ours = moved(layer, lambda: layer.dynamic_weight(x[:1])[0], x)
    stock = moved(conv, lambda: conv.weight, x)
    # 0.236, that of the published unit, whatever the groups
    assert 0.2 < ours / stock < 0.28
