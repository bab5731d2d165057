"""The log hook writes what is there, and training does not notice."""

import json
import uuid
from pathlib import Path

import cv2
import pytest
import torch
from torch import nn

pytest.importorskip('mmengine', reason='MMEngine is not installed')
from mmengine.hooks import Hook
from mmengine.model import BaseModel, MMDistributedDataParallel
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from mmfdconv.hooks import DynamicConvLogHook, dynamic_log
from mmfdconv.layers import DCDConv, DYConv, FDConv

from ..processes import free_port
from ..training.helpers import build_runner, classifier

pytestmark = pytest.mark.core
METHODS = ('FDConv', 'FADConv')
TORCH = tuple(int(v) for v in torch.__version__.split('.')[:2])


class Watch(Hook):
    """Counts the forward hooks in the model as it runs."""

    priority = 'LOWEST'

    def __init__(self):
        self.hooks = []

    def before_train_iter(self, runner, *args, **kwargs):
        self.hooks.append(hooks_in(runner.model))

    def after_train_iter(self, runner, *args, **kwargs):
        assert hooks_in(runner.model) == 0


def hooks_in(model):
    return sum(len(m._forward_hooks) for m in model.modules())


def train(
    method,
    folder,
    hook=None,
    iters=4,
    backends=(dict(type='LocalVisBackend'),),
    **options,
):
    model = classifier(method, **options)
    hooks = [] if hook is None else [hook]
    build_runner(
        model,
        folder,
        iters=iters,
        custom_hooks=hooks,
        visualizer=dict(type='Visualizer', vis_backends=list(backends)),
    ).train()
    return model


def entries(folder):
    """All scalars of the local backend, by step."""
    (file,) = Path(folder).glob('*/vis_data/scalars.json')
    found = {}
    for line in file.read_text().splitlines():
        values = json.loads(line)
        found.setdefault(values.pop('step'), {}).update(values)
    return found


def test_is_registered():
    hook = HOOKS.build(dict(type='DynamicConvLogHook', interval=5))
    assert type(hook) is DynamicConvLogHook
    assert (hook.interval, hook.figure_interval) == (5, 2000)


@pytest.mark.parametrize('with_cp', [False, True])
@pytest.mark.parametrize('name', METHODS)
def test_training_is_the_same_to_the_last_bit(name, with_cp, tmp_path):
    hook = dict(type='DynamicConvLogHook', interval=1, figure_interval=2)
    plain = train(name, tmp_path / 'plain', iters=3, with_cp=with_cp)
    logged = train(name, tmp_path / 'log', hook, iters=3, with_cp=with_cp)
    state = plain.state_dict()
    for key, value in logged.state_dict().items():
        assert value.equal(state[key]), key
    assert hooks_in(logged) == 0


def test_tensorboard_gets_the_same(tmp_path):
    accumulator = pytest.importorskip(
        'tensorboard.backend.event_processing.event_accumulator',
        reason='tensorboard is not installed',
    )
    hook = dict(type='DynamicConvLogHook', interval=2, figure_interval=4)
    backends = [
        dict(type='LocalVisBackend'),
        dict(type='TensorboardVisBackend'),
    ]
    train('FDConv', tmp_path, hook, backends=backends)
    (folder,) = tmp_path.glob('*/vis_data')
    events = accumulator.EventAccumulator(str(folder)).Reload()
    local = entries(tmp_path)
    names = [n for n in local[4] if n.startswith(('gates/', 'bands/'))]
    assert len(names) == 16 * 8
    for name in names:
        points = {e.step: e.value for e in events.Scalars(name)}
        assert points == pytest.approx({s: local[s][name] for s in (2, 4)})
    for name in ('gates', 'bands'):
        (image,) = events.Images(name)
        assert (image.step, image.width > 300) == (4, True)


@pytest.mark.parametrize('name', METHODS)
def test_what_is_written(name, tmp_path):
    watch = Watch()
    hook = DynamicConvLogHook(interval=2, figure_interval=4)
    model = classifier(name)
    runner = build_runner(model, tmp_path, iters=5, custom_hooks=[hook, watch])
    runner.train()
    assert [bool(n) for n in watch.hooks] == [False, True, False, True, False]
    found = entries(tmp_path)
    layers = [
        n for n, m in model.named_modules() if isinstance(m, (FDConv, DYConv))
    ]
    for step in (2, 4):
        scalars = found[step]
        entropy = {
            k: v for k, v in scalars.items() if k.startswith('gates/entropy/')
        }
        assert len(entropy) == 16
        assert all(0 < value <= 1 + 1e-6 for value in entropy.values())
        bands = {k: v for k, v in scalars.items() if k.startswith('bands/')}
        # Four shares and three maps for each of them.
        assert len(bands) == (16 * 7 if name == 'FDConv' else 0)
        for layer in layers:
            share = [bands[f'bands/energy{i}/{layer}'] for i in range(4)]
            assert sum(share) == pytest.approx(1)
            assert bands[f'bands/map0/{layer}'] == pytest.approx(1, abs=0.5)
    for step in (1, 3, 5):
        assert not any('/' in key for key in found.get(step, {}))
    pictures = {p.name for p in tmp_path.glob('*/vis_data/vis_image/*')}
    wanted = {'gates_4.png'} | ({'bands_4.png'} if name == 'FDConv' else set())
    assert pictures == wanted
    for path in tmp_path.glob('*/vis_data/vis_image/*'):
        picture = cv2.imread(str(path))
        assert picture.shape[0] > 100


def test_other_processes_leave_it(tmp_path, monkeypatch):
    monkeypatch.setattr(dynamic_log, 'is_main_process', lambda: False)
    watch = Watch()
    hook = DynamicConvLogHook(interval=1, figure_interval=1)
    runner = build_runner(
        classifier('FADConv'), tmp_path, iters=2, custom_hooks=[hook, watch]
    )
    runner.train()
    assert watch.hooks == [0, 0]


class Net(BaseModel):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer
        self.seen = 0

    def forward(self, inputs, labels=None, mode='tensor'):
        return dict(loss=self.layer(inputs).square().mean())


def graphs_of_a_compiled_run(folder, hooks):
    """Number of graphs that were made up to each of ten iterations."""
    torch._dynamo.reset()
    compiled, counts = [], []

    def backend(graph, inputs):
        compiled.append(graph)
        return graph.forward

    class Count(Hook):
        def after_train_iter(self, runner, *args, **kwargs):
            counts.append(len(compiled))

    runner = Runner(
        Net(DYConv(3, 4, 1)),
        str(folder),
        train_dataloader=dict(
            batch_size=2,
            num_workers=0,
            dataset=[dict(inputs=torch.randn(3, 8, 8))] * 20,
            sampler=dict(type='InfiniteSampler'),
            collate_fn=dict(type='default_collate'),
        ),
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=10),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=1e-3, momentum=0.9)),
        custom_hooks=[*hooks, Count()],
        default_scope='mmengine',
        experiment_name=uuid.uuid4().hex,
    )
    model = runner.model
    # As with compile=True in a config.
    compiled_step = torch.compile(model.train_step, backend=backend)
    model.train_step = compiled_step
    runner.train()
    assert model.train_step is compiled_step
    assert hooks_in(model) == 0
    torch._dynamo.reset()
    return counts


@pytest.mark.skipif(
    TORCH < (2, 4),
    reason=f'the compiler of torch {torch.__version__} fails at the second '
    'step of SGD with momentum',
)
def test_a_compiled_model_is_not_compiled_again(tmp_path):
    watch = Watch()
    plain = graphs_of_a_compiled_run(tmp_path / 'plain', [])
    hooks = [DynamicConvLogHook(5, 5), watch]
    logged = graphs_of_a_compiled_run(tmp_path / 'logged', hooks)
    assert watch.hooks == [0, 0, 0, 0, 1] * 2
    assert plain[0] > 0
    assert logged[-1] == plain[-1]
    found = entries(tmp_path / 'logged')
    assert all('gates/entropy/layer' in found[step] for step in (5, 10))


class Written:
    """As much of a runner as the hook looks at; keeps what is written."""

    def __init__(self, model, iteration=0):
        self.model = model
        self.iter = iteration
        self.visualizer = self
        self.scalars = {}
        self.pictures = {}

    def add_scalars(self, scalars, step):
        self.scalars[step] = scalars

    def add_image(self, name, image, step):
        self.pictures[name, step] = image


@pytest.fixture
def process_group():
    address = f'tcp://127.0.0.1:{free_port()}'
    torch.distributed.init_process_group(
        'gloo', init_method=address, rank=0, world_size=1
    )
    yield
    torch.distributed.destroy_process_group()


def test_under_ddp(process_group):
    net = Net(FDConv(3, 4, 3))
    runner = Written(MMDistributedDataParallel(module=net), iteration=1)
    hook = DynamicConvLogHook(2, 2)
    hook.before_train(runner)
    hook.before_train_iter(runner, 1)
    runner.model(torch.randn(2, 3, 16, 16), mode='loss')['loss'].backward()
    hook.after_train_iter(runner, 1)
    assert {k.rpartition('/')[2] for k in runner.scalars[2]} == {'layer'}
    assert set(runner.pictures) == {('gates', 2), ('bands', 2)}
    assert hooks_in(net) == 0
    assert net.layer.dft_weight.grad is not None


def test_when_nothing_ran_it_says_so_once(monkeypatch):
    runner = Written(Net(FDConv(3, 4, 3)), iteration=1)
    hook = DynamicConvLogHook(2, 2)
    messages = []
    monkeypatch.setattr(
        dynamic_log, 'print_log', lambda text, **_: messages.append(text)
    )
    for runner.iter in (1, 3):
        hook.before_train_iter(runner, runner.iter)
        hook.after_train_iter(runner, runner.iter)
    assert len(messages) == 1 and 'nothing is logged' in messages[0]
    assert runner.scalars == runner.pictures == {}


# ------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    'options, words',
    [
        (dict(interval=0), 'interval must be an integer >= 1, got 0'),
        (dict(interval=2.0), 'got 2.0'),
        (dict(interval=True), 'got True'),
        (dict(interval=3), 'multiple of interval=3'),
        (dict(figure_interval=-200), 'got -200'),
    ],
)
def test_wrong_options(options, words):
    with pytest.raises(ValueError, match=words):
        DynamicConvLogHook(**options)


@pytest.mark.parametrize('layer', [nn.Conv2d(3, 3, 1), DCDConv(3, 3, 1)])
def test_nothing_to_log(layer):
    with pytest.raises(ValueError, match='no dynamic layer with gates'):
        DynamicConvLogHook().before_train(Written(Net(layer)))


def test_an_iteration_that_fails_leaves_nothing():
    runner = Written(Net(DYConv(3, 3, 1)), iteration=1)
    hook = DynamicConvLogHook(2, 2)
    hook.before_train_iter(runner, 1)
    assert hooks_in(runner.model) == 1
    runner.iter = 2
    hook.before_train_iter(runner, 2)
    assert hooks_in(runner.model) == 0
