"""Benchmark: what is counted, how ratios are formed, what is written."""

import csv
import json
import time

import pytest
import torch
from mmengine.config import Config
from torch import nn

from mmfdconv.analysis import speed, workloads
from mmfdconv.commands import build_parser
from mmfdconv.layers import DYConv, FDConv

pytestmark = pytest.mark.core


class Clock:
    """Stands still unless a module takes its time."""

    now = 0.0

    def __call__(self):
        return self.now


class Wait(nn.Module):
    """Take a known time forward, and twice as much backward."""

    def __init__(self, seconds, clock):
        super().__init__()
        self.seconds, self.clock = seconds, clock
        self.weight = nn.Parameter(torch.ones(()))

    def wait(self, seconds):
        self.clock.now += seconds

    def forward(self, x):
        self.wait(self.seconds)
        y = x * self.weight
        y.register_hook(lambda grad: self.wait(2 * self.seconds))
        return y


def measure(monkeypatch, seconds):
    clock = Clock()
    monkeypatch.setitem(speed.CLOCKS, 'wall', clock)
    modules = {name: Wait(s, clock) for name, s in seconds.items()}
    return speed.measure('w', modules, torch.ones(2), rounds=3)


def test_ratios_to_the_stock_module(monkeypatch):
    stock, slow = measure(monkeypatch, dict(stock=0.25, slow=1.0))
    assert (stock.method, slow.method, slow.case) == ('stock', 'slow', 'w')
    assert stock.forward == (0.25, 0.25, 0.25, 1)
    assert stock.step == (0.75, 0.75, 0.75, 1)
    assert slow.forward == (1, 1, 1, 4) and slow.step == (3, 3, 3, 4)


@pytest.mark.parametrize('inference', [False, True])
def test_a_forward_pass_as_in_inference(inference):
    modes = []

    class Mode(nn.Identity):
        def forward(self, x):
            modes.append((self.training, torch.is_grad_enabled()))
            return x * 1.0

    x, modules = torch.ones(1), dict(stock=Mode())
    speed.measure('x', modules, x, rounds=2, inference=inference)
    assert ((False, False) in modes) is inference
    assert set(modes) <= {(True, True), (False, False)}


def test_fixed_gates_are_predicted_once():
    layer, x = DYConv(4, 4, 1), torch.randn(1, 4, 2, 2)
    modes = []
    layer.descriptor.register_forward_hook(
        lambda part, *_: modes.append(part.training)
    )
    modules = dict(stock=nn.Conv2d(4, 4, 1), dy=layer)
    speed.measure('x', modules, x, rounds=5, inference=True, fixed=True)
    # to record the descriptor, and for the kernel of all turns
    assert modes.count(False) == 2


def test_what_the_process_computes_is_not_what_it_waits_for():
    class Sleep(nn.Identity):
        def forward(self, x):
            time.sleep(0.02)
            return x * 1.0

    results = {
        clock: speed.measure(
            'x', dict(stock=Sleep()), torch.ones(1), rounds=2, clock=clock
        )[0].forward.low
        for clock in speed.CLOCKS
    }
    assert results['wall'] >= 0.02 > 2 * results['cpu']


def test_saved_bytes_of_a_convolution():
    conv = nn.Conv2d(8, 16, 3)
    x = torch.randn(2, 8, 10, 10, requires_grad=True)
    # the input alone; the weight is a parameter
    assert speed.saved_bytes(lambda: conv(x), conv) == 4 * x.numel()


def test_a_storage_counts_once():
    x = torch.randn(100, requires_grad=True)
    assert speed.saved_bytes(lambda: (x * x) * x) == 4 * (100 + 100)


class Silent(nn.Conv2d):
    """As the toolboxes' ResNet."""

    def train(self, mode=True):
        super().train(mode)


def test_a_module_whose_train_returns_nothing_is_timed():
    modules = dict(stock=Silent(1, 1, 1))
    (found,) = speed.measure('a', modules, torch.ones(1, 1, 2, 2), rounds=2)
    assert found.method == 'stock'


def test_gradients_do_not_pile_up():
    layer = nn.Linear(3, 3)
    candidate = speed.Candidate(layer, torch.randn(2, 3), torch.float32)
    candidate.step()
    assert layer.weight.grad is None and candidate.x.grad is None


def test_lower_precision_through_autocast():
    layer = nn.Linear(3, 3)
    x = torch.randn(2, 3)
    candidate = speed.Candidate(layer, x, torch.bfloat16)
    assert candidate.forward()[0].dtype == torch.bfloat16
    candidate.step()


@pytest.mark.parametrize(
    'arguments, words',
    [
        (dict(modules=dict(slow=nn.Identity())), 'stock'),
        (dict(modules=dict(stock=nn.Identity()), rounds=1), 'rounds'),
        (dict(modules=dict(stock=nn.Identity()), clock='sun'), 'clock'),
    ],
)
def test_wrong_arguments_are_told(arguments, words):
    with pytest.raises(ValueError, match=words):
        speed.measure('x', x=torch.ones(1), **arguments)


def test_files(tmp_path, monkeypatch):
    results = measure(monkeypatch, dict(stock=0.25, other=0.5))
    env = speed.environment('cpu', 'float32', rounds=2)
    assert env['torch'] == torch.__version__ and env['device']
    for name in ('a.JSON', 'a.csv'):
        speed.write_results(results, env, str(tmp_path / name))
    content = json.loads((tmp_path / 'a.JSON').read_text())
    assert content['environment']['dtype'] == 'float32'
    with open(tmp_path / 'a.csv', newline='') as file:
        rows = list(csv.DictReader(file))
    assert [r['method'] for r in rows] == ['stock', 'other']
    assert rows[0]['rounds'] == '2'
    first = content['results'][0]
    assert float(rows[0]['step_median_s']) == first['step_median_s']
    with pytest.raises(ValueError, match=r"'a\.txt' must .*\.csv or \.json"):
        speed.write_results(results, {}, 'a.txt')
    text = speed.to_text(results).splitlines()
    assert len(text) == 4 and 'stock' in text[2] and 'other' in text[3]


def test_layers_to_time():
    shape = workloads.LayerShape.parse('8-16-3-10')
    built = workloads.layers(
        shape, ['FDConv'], dict(FDConv=dict(kernel_num=8)), dict(own=nn.Conv2d)
    )
    assert list(built) == ['stock', 'FDConv', 'own']
    assert built['FDConv'].kernel_num == 8
    x = torch.randn(2, 8, 10, 10)
    for module in built.values():
        assert module(x).shape == (2, 16, 10, 10)
    torch.testing.assert_close(
        built['FDConv'](x), built['stock'](x), rtol=1e-4, atol=1e-4
    )
    for text in ('8-16-3', '8-16-a-3', '0-1-1-1'):
        with pytest.raises(ValueError, match='C-O-k-side'):
            workloads.LayerShape.parse(text)
    with pytest.raises(ValueError, match='NoConv'):
        workloads.layers(shape, ['NoConv'], {}, {})


def test_options_of_the_command_line_reach_the_layers():
    parser, command = build_parser('benchmark', 'benchmark')
    words = '--shapes 8-8-3-8 --methods FDConv ODConv --options'.split()

    def cases(*options):
        return [*command.cases(parser.parse_args([*words, *options]))]

    ((_, built, _),) = cases('FDConv.kernel_num=16', 'FDConv.fbm_cfg.act=tanh')
    fdconv = built['FDConv']
    assert (fdconv.kernel_num, fdconv.FBM.act) == (16, 'tanh')
    ((_, built, _),) = cases('ODConv.num_experts=2')
    assert (built['FDConv'].kernel_num, built['ODConv'].num_experts) == (64, 2)
    for option, said in (
        ('kernel_num=16', "'kernel_num' must begin with one of FDConv, OD"),
        ('DYConv.num_experts=2', 'must begin with one of FDConv, ODConv'),
        ('FDConv.kernel_nun=16', 'no option .*did you mean kernel_num'),
    ):
        with pytest.raises(ValueError, match=said):
            cases(option)


def test_resnets_to_time():
    pytest.importorskip('torchvision')
    built = workloads.resnets('resnet18', ['FDConv'], {}, dict(own=nn.Conv2d))
    names = {
        method: [n for n, m in net.named_modules() if type(m) is kind]
        for method, net, kind in (
            ('FDConv', built['FDConv'], FDConv),
            ('own', built['own'], nn.Conv2d),
        )
    }
    assert len(names['FDConv']) == 16
    assert set(names['FDConv']) < set(names['own'])
    assert built['own'].layer1[0].conv1 is not built['stock'].layer1[0].conv1
    with pytest.raises(ValueError, match='resnet50'):
        workloads.resnets('resnet7', [], {}, {})


def test_backbones_of_a_config():
    pytest.importorskip('mmdet')
    import mmdet.models  # noqa: F401

    stock = dict(type='mmdet.ResNet', depth=18, base_channels=8)
    backbone = dict(
        type='DynamicBackbone',
        backbone=stock,
        conv_cfg=dict(type='FDConv', kernel_num=4),
    )
    built = workloads.config_backbones(
        Config(dict(model=dict(backbone=backbone)))
    )
    assert list(built) == ['stock', 'FDConv']
    with pytest.raises(ValueError, match='DynamicBackbone'):
        workloads.config_backbones(Config(dict(model=dict(backbone=stock))))
    assert workloads.parse_side('800x1344') == (800, 1344)
    with pytest.raises(ValueError, match='HxW'):
        workloads.parse_side('800')
