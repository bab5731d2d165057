"""MMEngine's runner: accumulated gradients, averaged weights, resuming."""

import copy

import pytest
import torch
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper

from ..layers.helpers import relative_error
from .helpers import (
    build_runner,
    classifier,
    images,
    loader,
    samples,
)

pytestmark = pytest.mark.core


def assert_same_state(state, expected):
    """Equal to the last bit, down to lists and dicts."""
    if isinstance(expected, torch.Tensor):
        assert state.equal(expected)
    elif isinstance(expected, dict):
        assert state.keys() == expected.keys()
        for key in expected:
            assert_same_state(state[key], expected[key])
    elif isinstance(expected, (list, tuple)):
        assert len(state) == len(expected)
        for a, b in zip(state, expected):
            assert_same_state(a, b)
    else:
        assert state == expected


# ------------------------------------------------------------ accumulation


def test_accumulated_gradients_are_those_of_a_large_batch(method, tmp_path):
    # With frozen statistics, or the batches would not be the same function.
    options = dict(dataset=samples(dtype=torch.float64))
    small = classifier(method).double()
    small.backbone.norm_eval = True
    large = copy.deepcopy(small)
    start = copy.deepcopy(small.state_dict())
    build_runner(
        small,
        tmp_path / 'small',
        iters=4,
        batch=2,
        optim_wrapper=dict(accumulative_counts=2),
        **options,
    ).train()
    build_runner(
        large, tmp_path / 'large', iters=2, batch=4, **options
    ).train()
    expected = dict(large.named_parameters())
    for name, parameter in small.named_parameters():
        # A small map has no frequencies in some of FBM's bands.
        assert '.FBM.' in name or not parameter.equal(start[name]), name
        torch.testing.assert_close(
            parameter, expected[name], rtol=1e-8, atol=1e-10, msg=name
        )


@pytest.mark.parametrize('batch', [1, 2])
def test_accumulated_gradients_are_the_sum(method, batch):
    # With statistics of each batch: the mean of what each would give.
    model = classifier(method).train()
    manual = copy.deepcopy(model)
    batches = [images(batch, seed=seed) for seed in range(3)]
    labels = torch.arange(batch)

    def loss(net, x):
        return net(x, labels, mode='loss')['loss']

    wrapper = OptimWrapper(
        torch.optim.SGD(model.parameters(), lr=0.1), accumulative_counts=3
    )
    for x in batches:
        with wrapper.optim_context(model):
            value = loss(model, x)
        wrapper.update_params(value)
    optimizer = torch.optim.SGD(manual.parameters(), lr=0.1)
    for x in batches:
        (loss(manual, x) / 3).backward()
    optimizer.step()
    assert_same_state(model.state_dict(), manual.state_dict())


# --------------------------------------------------------------------- EMA


class Notes(Hook):
    """Keep the model's state after every iteration."""

    priority = 'HIGHEST'

    def __init__(self):
        self.states = []

    def after_train_iter(self, runner, *args, **kwargs):
        self.states.append(copy.deepcopy(runner.model.state_dict()))


class Logits(BaseMetric):
    """Keep what is evaluated."""

    def process(self, data_batch, data_samples):
        self.results.extend(list(data_samples))

    def compute_metrics(self, results):
        self.seen = torch.stack([torch.as_tensor(r) for r in results])
        return dict(finite=float(self.seen.isfinite().all()))


@pytest.mark.parametrize('buffers', [True, False])
def test_ema(method, buffers, tmp_path):
    momentum = 0.25
    model = classifier(method)
    notes, logits = Notes(), Logits()
    ema = dict(type='EMAHook', momentum=momentum, update_buffers=buffers)
    validation = loader(samples(), 2)
    validation['sampler'] = dict(type='DefaultSampler', shuffle=False)
    runner = build_runner(
        model,
        tmp_path,
        iters=3,
        custom_hooks=[notes, ema],
        val_dataloader=validation,
        val_cfg=dict(type='ValLoop'),
        val_evaluator=Evaluator([logits]),
    )
    runner.train()

    parameters = dict(model.named_parameters())
    average = copy.deepcopy(notes.states[0])
    for state in notes.states[1:]:
        for name, value in state.items():
            if not value.is_floating_point():
                continue  # counters
            if buffers or name in parameters:
                average[name].lerp_(value, momentum)
            else:
                average[name] = value
    assert any(
        not average[name].equal(notes.states[-1][name]) for name in parameters
    )

    # Training goes on from its own weights, the averaged ones are saved.
    assert_same_state(model.state_dict(), notes.states[-1])
    saved = torch.load(tmp_path / 'iter_3.pth', weights_only=False)
    for name, value in average.items():
        if value.is_floating_point():
            torch.testing.assert_close(
                saved['state_dict'][name], value, msg=name
            )

    # What was evaluated is the averaged model.
    averaged = classifier(method)
    averaged.load_state_dict(saved['state_dict'])
    averaged.eval()
    with torch.no_grad():
        expected = averaged(torch.stack([s['inputs'] for s in samples()]))
    # In batches of 2 and of 8.
    assert relative_error(logits.seen, expected) < 1e-4


# ------------------------------------------------------------------ resume


def run_for_resume(folder, iters, model, extra, **options):
    """Everything with a state: momentum, a schedule, an average, shuffling."""
    runner = build_runner(
        model,
        folder,
        iters,
        shuffle=True,
        param_scheduler=dict(
            type='LinearLR', start_factor=0.1, by_epoch=False, end=6
        ),
        custom_hooks=[
            dict(type='EMAHook', momentum=0.25, update_buffers=True),
            *extra,
        ],
        **options,
    )
    runner.train()
    return runner


@pytest.mark.parametrize('temperature', [False, True])
def test_resume_is_as_if_nothing_had_happened(method, temperature, tmp_path):
    options, extra = {}, []
    if temperature:  # neither method has one; a rival stands in
        if method == 'FADConv':
            pytest.skip('no temperature in FADConv')
        options['conv_cfg'] = dict(type='ODConv', num_experts=2)
        hook = dict(type='TemperatureHook', start=4.0, end=1.0, by='iter')
        extra = [dict(hook, length=8)]

    whole = classifier(method, **options)
    start = copy.deepcopy(whole.state_dict())
    uninterrupted = run_for_resume(tmp_path / 'whole', 4, whole, extra)
    run_for_resume(tmp_path / 'part', 2, classifier(method, **options), extra)
    second = classifier(method, **options)
    with torch.no_grad():  # what is resumed comes from the checkpoint alone
        for value in second.state_dict().values():
            value.zero_()
    resumed = run_for_resume(
        tmp_path / 'part',
        4,
        second,
        extra,
        resume=True,
        load_from=str(tmp_path / 'part' / 'iter_2.pth'),
    )

    assert resumed.iter == uninterrupted.iter == 4
    state = whole.state_dict()
    assert_same_state(second.state_dict(), state)
    assert_same_state(
        resumed.optim_wrapper.state_dict(),
        uninterrupted.optim_wrapper.state_dict(),
    )
    a, b = (
        torch.load(tmp_path / part / 'iter_4.pth', weights_only=False)
        for part in ('whole', 'part')
    )
    for key in ('state_dict', 'ema_state_dict', 'optimizer'):
        assert_same_state(b[key], a[key])

    # That was training: everything moved, buffers too. (A small map has no
    # frequencies in some of FBM's bands.)
    for name, value in state.items():
        assert '.FBM.' in name or not value.equal(start[name]), name
    if method == 'FDConv':  # and the stand-in
        routers = [n for n in state if n.endswith('.bn.running_mean')]
        assert len(routers) == 16
    if temperature:
        moved = [n for n in state if n.endswith('.temperature')]
        assert {state[n].item() for n in moved} == {2.875}
