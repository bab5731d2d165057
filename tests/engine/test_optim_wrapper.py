import logging

import pytest
import torch
from torch import nn

pytest.importorskip('mmengine')

from mmengine.optim import AmpOptimWrapper, OptimWrapper, build_optim_wrapper
from mmengine.optim.optimizer import amp_optimizer_wrapper

from mmfdconv.engine import optim_wrapper as ours

CFG = dict(
    type='AutoAmpOptimWrapper',
    loss_scale='dynamic',
    clip_grad=dict(max_norm=1.0),
    optimizer=dict(type='AdamW', lr=0.1),
)


@pytest.fixture
def no_accelerator(monkeypatch):
    monkeypatch.setattr(ours, 'accelerator_available', lambda: False)


@pytest.fixture
def accelerator(monkeypatch):
    """Let MMEngine believe in a GPU; torch then disables its loss scaler."""
    monkeypatch.setattr(ours, 'get_device', lambda: 'cuda')
    monkeypatch.setattr(
        amp_optimizer_wrapper, 'is_cuda_available', lambda: True
    )


@pytest.fixture
def logged(monkeypatch):
    records = []
    monkeypatch.setattr(
        ours,
        'print_log',
        lambda text, logger, level: records.append((level, text)),
    )
    return records


def _trained(wrapper, model):
    """Give the optimizer a state."""
    wrapper.update_params(model(torch.ones(1, 2)).sum())
    return wrapper


@pytest.mark.core
def test_without_accelerator_it_is_float32_and_says_so(no_accelerator, logged):
    wrapper = build_optim_wrapper(nn.Linear(2, 1), CFG)

    assert type(wrapper) is OptimWrapper
    assert wrapper.clip_grad_kwargs == dict(max_norm=1.0)
    ((level, text),) = logged
    assert level == logging.WARNING
    assert 'float32' in text
    assert "optim_wrapper.dtype='bfloat16'" in text  # the other choice


@pytest.mark.core
@pytest.mark.parametrize('dtype', ['bfloat16', torch.bfloat16], ids=str)
def test_bfloat16_is_to_be_had_without_accelerator(
    no_accelerator, logged, dtype
):
    model = nn.Linear(2, 1)
    wrapper = build_optim_wrapper(
        model, dict(CFG, dtype=dtype, accumulative_counts=2)
    )
    assert isinstance(wrapper, OptimWrapper)
    assert wrapper.clip_grad_kwargs == dict(max_norm=1.0)
    assert not logged
    before = model.weight.detach().clone()
    wrapper.initialize_count_status(model, 0, 2)
    for step in range(2):
        with wrapper.optim_context(model):
            y = model(torch.ones(1, 2))
        assert y.dtype == torch.bfloat16
        assert model(torch.ones(1, 2)).dtype == torch.float32
        wrapper.update_params(y.sum())
        assert model.weight.equal(before) is (step == 0)
    assert model.weight.dtype == torch.float32


@pytest.mark.core
@pytest.mark.parametrize('dtype', ['float16', torch.float16, 'float32'])
def test_other_types_are_float32_without_accelerator(
    no_accelerator, logged, dtype
):
    model = nn.Linear(2, 1)
    wrapper = build_optim_wrapper(model, dict(CFG, dtype=dtype))
    assert type(wrapper) is OptimWrapper
    with wrapper.optim_context(model):
        assert model(torch.ones(1, 2)).dtype == torch.float32
    assert len(logged) == 1


@pytest.mark.core
def test_with_accelerator_it_is_amp(accelerator, logged):
    wrapper = build_optim_wrapper(nn.Linear(2, 1), CFG)

    assert type(wrapper) is AmpOptimWrapper
    assert wrapper.clip_grad_kwargs == dict(max_norm=1.0)
    assert wrapper.cast_dtype is None
    assert not logged

    wrapper = build_optim_wrapper(nn.Linear(2, 1), dict(CFG, dtype='bfloat16'))
    assert wrapper.cast_dtype is torch.bfloat16


@pytest.mark.parametrize('scope', ['mmdet', 'mmseg', 'mmpretrain'])
def test_every_toolbox_finds_it(scope):
    registry = pytest.importorskip(f'{scope}.registry').OPTIM_WRAPPERS
    assert (
        registry.get('AutoAmpOptimWrapper')
        is ours.build_auto_amp_optim_wrapper
    )


@pytest.mark.parametrize(
    'option', [dict(loss_scale='dynamc'), dict(dtype='half')]
)
def test_wrong_arguments_fail_on_every_machine(no_accelerator, option):
    ((name, value),) = option.items()
    with pytest.raises(ValueError, match=f'{name} must be .*{value}'):
        build_optim_wrapper(nn.Linear(2, 1), dict(CFG, **option))


@pytest.mark.parametrize('dtype', [None, 'bfloat16'])
def test_a_gpu_checkpoint_resumes_without_accelerator(
    no_accelerator, logged, dtype
):
    model = nn.Linear(2, 1)
    cfg = dict(CFG, dtype=dtype)
    state = _trained(build_optim_wrapper(model, cfg), model).state_dict()
    state['loss_scaler'] = dict(
        scale=1024.0,
        growth_factor=2.0,
        backoff_factor=0.5,
        growth_interval=2000,
        _growth_tracker=1,
    )

    resumed = build_optim_wrapper(model, cfg)
    resumed.load_state_dict(state)

    _assert_same_state(resumed.state_dict(), state)


def test_a_cpu_checkpoint_resumes_with_accelerator(monkeypatch, logged):
    model = nn.Linear(2, 1)
    with monkeypatch.context() as patch:
        patch.setattr(ours, 'accelerator_available', lambda: False)
        state = _trained(build_optim_wrapper(model, CFG), model).state_dict()
    assert 'loss_scaler' not in state

    monkeypatch.setattr(ours, 'get_device', lambda: 'cuda')
    monkeypatch.setattr(
        amp_optimizer_wrapper, 'is_cuda_available', lambda: True
    )
    resumed = build_optim_wrapper(model, CFG)
    resumed.load_state_dict(state)

    _assert_same_state(resumed.state_dict(), state)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_checkpoints_move_both_ways_on_a_gpu(monkeypatch, logged):
    model = nn.Linear(2, 1).cuda()
    amp = build_optim_wrapper(model, CFG)
    amp.update_params(model(torch.ones(1, 2, device='cuda')).sum())
    state = amp.state_dict()
    with monkeypatch.context() as patch:
        patch.setattr(ours, 'accelerator_available', lambda: False)
        plain = build_optim_wrapper(model, CFG)
        plain.load_state_dict(dict(state))
    _assert_same_state(plain.state_dict(), state)
    amp = build_optim_wrapper(model, CFG)
    amp.load_state_dict(plain.state_dict())
    _assert_same_state(amp.state_dict(), state)


def _assert_same_state(actual, expected):
    assert actual['param_groups'] == expected['param_groups']
    assert actual['state'].keys() == expected['state'].keys()
    assert actual['state']
    for index, values in expected['state'].items():
        for name, value in values.items():
            torch.testing.assert_close(actual['state'][index][name], value)
