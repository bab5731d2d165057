"""The temperature's schedule, its errors, and runs that are resumed."""

import copy
import logging
import uuid
from types import SimpleNamespace

import pytest
import torch
from torch import nn

pytest.importorskip('mmengine', reason='MMEngine is not installed')
from mmengine.hooks import EMAHook
from mmengine.logging import MessageHub
from mmengine.model import BaseModel
from mmengine.registry import HOOKS
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner

from mmfdconv.hooks import TemperatureHook
from mmfdconv.layers import CondConv, DYConv, DynamicConv2d, ODConv

pytestmark = pytest.mark.core


class Shares(DynamicConv2d):
    """As in KernelWarehouse: the router's temperature is between 0 and 1."""

    def __init__(self):
        super().__init__(1, 1, 1, bias=False)
        self.attention = nn.Module()
        self.attention.register_buffer('temperature', torch.tensor(1.0))


class Net(BaseModel):
    """Learns a constant; notes the temperature of every forward pass."""

    def __init__(self, layer=None):
        super().__init__()
        self.first = nn.Sequential(DYConv(1, 2, 1), nn.ReLU())
        self.second = layer or ODConv(2, 1, 1)
        self.seen = []

    def forward(self, inputs, mode='tensor'):
        self.seen.append(self.first[0].temperature.item())
        y = self.second(self.first(inputs))
        return dict(loss=(y - 1).square().mean())


def runner_for(model, by_epoch=True):
    """As much of a runner as the hook looks at."""
    kind = EpochBasedTrainLoop if by_epoch else IterBasedTrainLoop
    return SimpleNamespace(
        model=model,
        train_loop=kind.__new__(kind),
        epoch=0,
        iter=0,
        hooks=[],
        message_hub=MessageHub('test'),
    )


def temperatures(model):
    return [
        b.item() for n, b in model.named_buffers() if n.endswith('temperature')
    ]


def test_is_registered():
    hook = HOOKS.build(dict(type='TemperatureHook', length=5))
    assert type(hook) is TemperatureHook
    assert (hook.start, hook.end, hook.by) == (30, 1, 'epoch')


# ---------------------------------------------------------------- schedule


@pytest.mark.parametrize('layer_types', [None, ['DYConv', 'ODConv']])
def test_by_epoch(layer_types):
    model = Net()
    runner = runner_for(model)
    hook = TemperatureHook(layer_types=layer_types)
    hook.before_train(runner)
    expected = {0: 30, 1: 27.1, 5: 15.5, 9: 3.9, 10: 1, 11: 1, 100: 1}
    for epoch, value in expected.items():
        runner.epoch = epoch
        hook.before_train_epoch(runner)
        assert temperatures(model) == pytest.approx([value] * 2)
        # Iterations within the epoch change nothing.
        runner.iter = 7 * epoch + 3
        hook.before_train_iter(runner, 3)
        assert temperatures(model) == pytest.approx([value] * 2)
    assert temperatures(model) == [1, 1]
    scalar = runner.message_hub.get_scalar('train/temperature')
    assert scalar.current() == 1


def test_by_iteration():
    model = nn.Sequential(Shares(), nn.ReLU(), nn.Sequential(Shares()))
    runner = runner_for(model, by_epoch=False)
    hook = TemperatureHook(start=1, end=0, by='iter', length=8)
    hook.before_train(runner)
    for number, value in {0: 1, 1: 0.875, 4: 0.5, 8: 0, 9: 0}.items():
        runner.iter = number
        hook.before_train_epoch(runner)
        hook.before_train_iter(runner, number)
        assert temperatures(model) == [value] * 2


@pytest.mark.parametrize('by_epoch', [True, False])
def test_by_share(by_epoch):
    """Of all iterations, whatever loop counts them."""
    model = nn.Sequential(Shares(), nn.ReLU(), nn.Sequential(Shares()))
    runner = runner_for(model, by_epoch)
    runner.max_iters = 40
    hook = TemperatureHook(start=1, end=0, by='share', length=0.1)
    hook.before_train(runner)
    for number, value in {0: 1, 1: 0.75, 2: 0.5, 4: 0, 39: 0}.items():
        runner.iter, runner.epoch = number, number // 10
        hook.before_train_epoch(runner)
        hook.before_train_iter(runner, number)
        assert temperatures(model) == pytest.approx([value] * 2, abs=1e-7)


def test_learned_mixtures_are_not_put_back():
    """As of a backbone that was pretrained with KernelWarehouse."""
    model = nn.Sequential(Shares(), Shares(), DYConv(1, 2, 1))
    model[1].attention.temperature.fill_(0.25)
    model[2].temperature.fill_(0.125)
    runner = runner_for(model)
    hook = TemperatureHook(start=1, end=0.5, by='iter', length=4)
    hook.before_train(runner)
    for number, value in {0: 1, 2: 0.75, 4: 0.5}.items():
        runner.iter = number
        hook.before_train_iter(runner, number)
        assert temperatures(model) == [value, 0.25, value]


@pytest.mark.parametrize(('start', 'end'), [(30, 1), (1, 4), (2, 2)])
def test_length_one_and_any_direction(start, end):
    hook = TemperatureHook(start, end, length=1)
    assert [hook.value_at(i) for i in range(3)] == [start, end, end]


def test_the_buffer_is_moved_in_place():
    # Averaged models and DDP hold on to the tensor.
    model = Net()
    buffer = model.first[0].temperature
    runner = runner_for(model)
    hook = TemperatureHook()
    hook.before_train(runner)
    hook.before_train_epoch(runner)
    assert model.first[0].temperature is buffer
    assert buffer == 30
    assert buffer.dtype == torch.float32


def test_below_a_model_wrapper():
    model = nn.parallel.DataParallel(Net())
    runner = runner_for(model)
    hook = TemperatureHook()
    hook.before_train(runner)
    hook.before_train_epoch(runner)
    assert temperatures(model) == [30, 30]


def test_a_filter_leaves_other_layers_alone():
    model = Net(Shares())
    runner = runner_for(model)
    first = TemperatureHook(layer_types='DYConv')
    second = TemperatureHook(1, 0, 'iter', 10, layer_types=('Shares',))
    for hook in (first, second):
        hook.before_train(runner)
    runner.epoch, runner.iter = 5, 5
    first.before_train_epoch(runner)
    second.before_train_iter(runner, 5)
    assert temperatures(model) == [15.5, 0.5]


# ------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        (dict(length=0), ['length', '>= 1', '0']),
        (dict(length=-3, by='iter'), ['length', 'iters', '-3']),
        (dict(length=2.5), ['length', 'integer', '2.5']),
        (dict(length=True), ['length', 'integer', 'True']),
        (dict(by='step'), ['by', "'epoch'", "'iter'", "'share'", "'step'"]),
        (dict(length=0.0, by='share'), ['length', 'above 0', '0.0']),
        (dict(by='share'), ['length', 'at most 1', '10']),
        (dict(length=True, by='share'), ['length', 'share', 'True']),
        (dict(start=-1), ['start', '>= 0', '-1']),
        (dict(end=-0.5), ['end', '>= 0', '-0.5']),
        (dict(end=float('nan')), ['end', 'nan']),
        (dict(start=float('inf')), ['start', 'inf']),
        (dict(start='hot'), ['start', "'hot'"]),
        (dict(start=None), ['start', 'None']),
    ],
    ids=str,
)
def test_wrong_option_is_named(options, words):
    with pytest.raises(ValueError) as info:
        TemperatureHook(**options)
    for word in words:
        assert word in str(info.value)


@pytest.mark.parametrize(
    ('model', 'options', 'words'),
    [
        (
            nn.Sequential(nn.Conv2d(1, 1, 1), CondConv(1, 1, 1)),
            dict(),
            ['no layer with a temperature', 'DYConv'],
        ),
        (
            Net(),
            dict(layer_types=['KWConv', 'DYConv']),
            ['layer_types', "'KWConv'", "'DYConv', 'ODConv'"],
        ),
        (Net(), dict(layer_types=[]), ['layer_types', '[]']),
        (
            Net(),
            dict(start=1, end=0),
            ['end', '> 0', 'DYConv', 'first.0', 'got 0'],
        ),
        (
            nn.Sequential(Shares()),
            dict(),
            ['start', 'between 0 and 1', 'Shares', 'got 30'],
        ),
    ],
    ids=lambda v: str(v)[:20],
)
def test_a_model_that_does_not_fit(model, options, words):
    with pytest.raises(ValueError) as info:
        TemperatureHook(**options).before_train(runner_for(model))
    for word in words:
        assert word in str(info.value)


def test_epochs_need_a_loop_that_counts_them():
    # It would never leave the start.
    runner = runner_for(Net(), by_epoch=False)
    with pytest.raises(ValueError) as info:
        TemperatureHook().before_train(runner)
    for word in ("by='epoch'", 'IterBasedTrainLoop', "by='iter'"):
        assert word in str(info.value)


# -------------------------------------------------------------------- runs


def collate(samples):
    return dict(inputs=torch.stack(samples))


def run(work_dir, hook, max_epochs=None, max_iters=None, **options):
    """Train; two iterations make an epoch."""
    torch.manual_seed(0)
    model = Net()
    train_cfg = dict(by_epoch=True, max_epochs=max_epochs)
    sampler = 'DefaultSampler'
    interval = dict(by_epoch=True, interval=1)
    if max_iters is not None:
        train_cfg = dict(by_epoch=False, max_iters=max_iters)
        sampler = 'InfiniteSampler'
        interval = dict(by_epoch=False, interval=1)
    hooks = options.pop('custom_hooks', [])
    dataset = list(torch.linspace(-1, 1, 4).view(4, 1, 1, 1))
    runner = Runner(
        model,
        str(work_dir),
        train_dataloader=dict(
            batch_size=2,
            num_workers=0,
            dataset=dataset,
            sampler=dict(type=sampler, shuffle=False),
            collate_fn=collate,
        ),
        train_cfg=train_cfg,
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', **interval)),
        custom_hooks=[hook, *hooks],
        # init_weights() draws the routers.
        randomness=dict(seed=0),
        default_scope='mmengine',
        # MMEngine keeps loggers by name, closed ones too.
        experiment_name=uuid.uuid4().hex,
        **options,
    )
    runner.train()
    return runner


@pytest.fixture(autouse=True)
def quiet():
    yield
    logging.shutdown()


def assert_same_weights(first, second):
    state = second.model.state_dict()
    for key, value in first.model.state_dict().items():
        torch.testing.assert_close(value, state[key], rtol=0, atol=0, msg=key)


def test_resumed_by_epoch(tmp_path):
    hook = dict(type='TemperatureHook', start=5, end=1, length=4)
    whole = run(tmp_path / 'whole', hook, 6)
    assert whole.model.seen == [5, 5, 4, 4, 3, 3, 2, 2, 1, 1, 1, 1]

    run(tmp_path / 'part', hook, 3)
    saved = torch.load(
        tmp_path / 'part' / 'epoch_3.pth',
        map_location='cpu',
        weights_only=False,
    )
    assert saved['state_dict']['first.0.temperature'] == 3
    resumed = run(tmp_path / 'part', hook, 6, resume=True)
    assert resumed.model.seen == whole.model.seen[6:]
    assert_same_weights(resumed, whole)


def test_iterations_of_epochs(tmp_path):
    hook = dict(type='TemperatureHook', start=9, end=1, by='iter', length=4)
    assert run(tmp_path, hook, 3).model.seen == [9, 7, 5, 3, 1, 1]


def test_loaded_weights_do_not_decide(tmp_path):
    # A pretrained model's temperature is not this run's.
    model = Net()
    model.first[0].temperature.fill_(17)
    torch.save(model.state_dict(), tmp_path / 'pretrained.pth')
    hook = dict(type='TemperatureHook', start=5, end=1, length=4)
    runner = run(
        tmp_path / 'run', hook, 2, load_from=str(tmp_path / 'pretrained.pth')
    )
    assert runner.model.seen == [5, 5, 4, 4]


@pytest.mark.parametrize('buffers', [False, True])
def test_averaged_model_follows(buffers, tmp_path):
    """Also where buffers are averaged, as in mmdet's RTMDet and YOLOX."""
    hook = dict(type='TemperatureHook', start=5, end=1, length=4)
    average = dict(type='EMAHook', update_buffers=buffers)
    runner = run(tmp_path, hook, 3, custom_hooks=[average])
    (ema,) = (h for h in runner.hooks if isinstance(h, EMAHook))
    averaged = copy.deepcopy(ema.ema_model.module)
    # The hooks swap the two models around an evaluation or the end.
    assert set(temperatures(averaged)) == {3}
    assert set(temperatures(runner.model)) == {3}
