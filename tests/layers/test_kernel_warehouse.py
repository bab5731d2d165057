"""KWConv: published vector, equation, start, temperature, bad input."""

import copy
import pickle

import pytest
import torch
from torch import nn

from mmfdconv.layers import KWConv, Warehouse
from mmfdconv.layers.kernel_warehouse import WarehouseAttention
from mmfdconv.layers.warehouse import Place
from tests.reference.kernel_warehouse import assemble, contrasting_attention

pytestmark = pytest.mark.core

NAMES = dict(warehouse_names={r'c(\d)': r'stage0_layer0_conv\1'}, rule={})


class TwoLayers(nn.Module):
    def __init__(self, bias=False):
        super().__init__()
        self.c1 = nn.Conv2d(8, 16, 3, padding=1, bias=bias)
        self.c2 = nn.Conv2d(16, 16, 3, padding=1, bias=bias)

    def forward(self, x):
        return self.c2(self.c1(x).relu())


def convert(net, **options):
    convert_dynamic_ = pytest.importorskip('mmfdconv.convert').convert_dynamic_
    options.setdefault('warehouse_names', NAMES['warehouse_names'])
    convert_dynamic_(net, dict(type='KWConv', **options), rule={})
    return net


def relative(a, b):
    return ((a - b).norm() / b.norm()).item()


def test_published_vector(shared_dir):
    path = shared_dir / 'reference' / 'kernel_warehouse_two_layers.pt'
    if not path.exists():
        pytest.skip(f'{path} is missing')
    vector = torch.load(path, weights_only=True)
    net = convert(TwoLayers(), cell_num_ratio=4)
    net.load_state_dict(vector['state_dict'])
    net.train(vector['mode'] == 'train')
    x = vector['x'].clone().requires_grad_()
    y = net(x)
    (y * vector['grad_out']).sum().backward()
    assert relative(y, vector['y']) < 1e-4
    assert relative(x.grad, vector['grads']['x']) < 1e-4
    for name, parameter in net.named_parameters():
        assert relative(parameter.grad, vector['grads'][name]) < 1e-4, name


@pytest.mark.parametrize('temperature', [0.0, 0.3, 1.0])
@pytest.mark.parametrize('ratio', [1, 2, 0.5])
def test_kernel_is_the_equation(ratio, temperature):
    net = convert(
        TwoLayers(), cell_num_ratio=ratio, temperature=temperature
    ).double()
    layer = net.c2
    for parameter in net.parameters():
        nn.init.normal_(parameter)
    x = torch.randn(3, 16, 5, 6, dtype=torch.float64)
    net.eval()
    hidden = layer.attention.norm1(layer.attention.fc1(x.mean((2, 3)))).relu()
    logits = layer.attention.fc2(hidden).view(3, layer.place.mixtures, -1)
    last = logits.shape[2] - 1
    temperature = float(layer.attention.temperature)  # float32's 0.3
    for b in range(3):
        weights = torch.stack(
            [
                contrasting_attention(
                    logits[b, m], last if cell is None else cell, temperature
                )
                for m, cell in enumerate(layer.place.assigned)
            ]
        )
        kernel = assemble(weights, layer.cells.detach(), layer.weight_shape)
        expected = nn.functional.conv2d(x[b : b + 1], kernel, padding=1)
        torch.testing.assert_close(layer(x)[b : b + 1], expected)


@pytest.mark.parametrize('ratio', [1, 4])
@pytest.mark.parametrize('basis', [1, 0.5])
def test_starts_as_the_stock_layers(ratio, basis):
    stock = TwoLayers(bias=True)
    net = convert(
        copy.deepcopy(stock), cell_num_ratio=ratio, nonlocal_basis_ratio=basis
    )
    x = torch.randn(2, 8, 7, 9)
    assert relative(net(x), stock(x)) < 1e-5
    for layer in (net.c1, net.c2):
        layer.init_weights()
    assert relative(net(x), stock(x)) < 1e-5
    other = convert(TwoLayers(bias=True), cell_num_ratio=ratio)
    other.load_state_dict(stock.state_dict())  # strict: nothing left over
    assert relative(other(x), stock(x)) < 1e-5


def test_a_kernel_that_does_not_fit_leaves_the_cells_missing():
    net = convert(TwoLayers(bias=True))
    state = TwoLayers(bias=True).state_dict()
    for name in ('c1.weight', 'c2.weight'):
        state[name] = state[name][:-1]
    with pytest.raises(RuntimeError, match=r'warehouse_manager\.weights\.0'):
        net.load_state_dict(state)


def test_below_one_the_pieces_without_a_cell_start_empty():
    stock = TwoLayers()
    net = convert(copy.deepcopy(stock), cell_num_ratio=0.5)
    x = torch.randn(1, 8, 4, 4)
    kernel = net.c1.attention(net.c1.descriptor(x)) @ net.c1.cells.flatten(1)
    empty = [i for i, c in enumerate(net.c1.place.assigned) if c is None]
    assert empty
    assert not kernel[0, empty].any()
    assert net.warehouse_manager.weights[0].shape[0] < 27


def test_one_cell_for_many_pieces_is_the_layers_own():
    place = Place((49, 1, 1, 1), 49, [0, *[None] * 48], 0)
    attention = WarehouseAttention(8, 3, place, 1 / 49, 0.0625, 0.5, 1)
    attention.reset_parameters()
    assert attention.num_local == 1
    assert attention(torch.rand(2, 8)).shape == (2, 49, 3)


@pytest.mark.parametrize('basis', [1, 0.5])
def test_learned_mixtures_begin_as_the_stock_kernel(basis):
    stock = TwoLayers().eval()
    options = dict(temperature=0.0, nonlocal_basis_ratio=basis)
    x = torch.randn(2, 8, 6, 7)
    net = convert(copy.deepcopy(stock), start='assigned', **options)
    expected = stock.c1(x)
    torch.testing.assert_close(1.001 * net.c1(x), expected)
    other = convert(copy.deepcopy(stock), **options)
    assert relative(other.c1(x), expected) > 0.1
    # The router learns, what is below its zeros from the second step on.
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    for _ in range(2):
        optimizer.zero_grad()
        (net(x) - 1).square().mean().backward()
        optimizer.step()
    for name, parameter in net.named_parameters():
        assert parameter.grad.abs().max() > 0, name


def test_a_start_that_there_is_not():
    with pytest.raises(ValueError, match="start must be one of 'random'"):
        convert(TwoLayers(), start='stock')


def test_cells_are_registered_once_and_survive_copies():
    net = convert(TwoLayers(), cell_num_ratio=1)
    cells = [n for n, _ in net.named_parameters() if 'warehouse' in n]
    assert cells == ['warehouse_manager.weights.0']
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert other.c1.cells is other.warehouse_manager.weights[0]
        assert other.c1.cells is other.c2.cells
        assert other.c1.cells is not net.c1.cells
    assert net.double().c1.cells.dtype == torch.float64


@pytest.mark.parametrize('batch', [0, 1, 3])
def test_every_parameter_gets_a_gradient(batch):
    net = convert(TwoLayers(bias=True), temperature=0.5)
    net(torch.randn(batch, 8, 6, 5)).sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name


def test_temperature_is_saved_and_published_checkpoints_are_learned():
    net = convert(TwoLayers(), temperature=0.25)
    state = net.state_dict()
    other = convert(TwoLayers())
    other.load_state_dict(state)
    assert float(other.c1.attention.temperature) == 0.25
    published = {k: v for k, v in state.items() if 'temperature' not in k}
    other.load_state_dict(published)
    assert float(other.c1.attention.temperature) == 0


def test_to_empty_keeps_the_assignment():
    net = convert(TwoLayers())
    state = net.state_dict()
    empty = copy.deepcopy(net).to('meta').to_empty(device='cpu')
    empty.load_state_dict(state)
    x = torch.randn(2, 8, 4, 4)
    torch.testing.assert_close(empty.eval()(x), net.eval()(x))


def test_channels_last():
    net = convert(TwoLayers()).to(memory_format=torch.channels_last)
    x = torch.randn(2, 8, 4, 4)
    y = net(x.to(memory_format=torch.channels_last))
    torch.testing.assert_close(y, net(x))


def test_alone_it_says_how_to_use_it():
    with pytest.raises(ValueError) as caught:
        KWConv(8, 8, 3)
    for word in ('DynamicBackbone', 'convert_dynamic_', "type='KWConv'"):
        assert word in str(caught.value)


@pytest.mark.parametrize(
    'options, words',
    [
        (dict(cell_num_ratio=1.5), ['cell_num_ratio', '1.5', '1/n']),
        (dict(cell_num_ratio=0), ['cell_num_ratio', '0']),
        (dict(temperature=2.0), ['temperature', '2.0', 'between 0']),
        (dict(reduction=0), ['reduction', '0']),
        (dict(cell_inplane_ratio=0.7), ['cannot be cut', 'cell_inplane_rat']),
        (dict(descriptor='max'), ['descriptor', 'max', 'gap']),
        (dict(kernels=3), ['kernels']),
        (dict(spatial_partition=False, warehouse_names={}), ['no layer']),
    ],
)
def test_wrong_options_are_told(options, words):
    with pytest.raises(ValueError) as caught:
        convert(TwoLayers(), **options)
    for word in words:
        assert word in str(caught.value)


def test_a_negative_ratio_is_refused():
    with pytest.raises(ValueError, match='cell_inplane_ratio.*-1'):
        Warehouse([[(4, 4, 1, 1)]], cell_inplane_ratio=-1)
