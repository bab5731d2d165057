"""Layer-wise learning rates: shared cells get that of their first layer."""

import copy

import pytest
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, DefaultScope
from torch import nn

from mmfdconv.convert import names_by_layer, with_dynamic_convolutions
from mmfdconv.convert.learning_rates import set_rates_, unset_rates_
from mmfdconv.layers import DynamicConv2d

pytestmark = pytest.mark.core

BASE = 1e-3
SMALL = dict(depths=[1, 1, 3, 1], channels=[8, 8, 16, 16])


class Detector(nn.Module):
    """What the constructors look at: a backbone and something behind it."""

    def __init__(self, conv_cfg=None):
        super().__init__()
        pytest.importorskip('mmpretrain')
        import mmpretrain.models  # noqa: F401

        cfg = dict(
            type='mmpretrain.ConvNeXt',
            arch=SMALL,
            out_indices=(0, 1, 2, 3),
            gap_before_final_norm=False,
        )
        if conv_cfg is not None:
            cfg = dict(type='DynamicBackbone', backbone=cfg, conv_cfg=conv_cfg)
        self.backbone = MODELS.build(cfg)
        self.head = nn.Linear(16, 2)

    def get_layer_depth(self, param_name):
        if param_name.startswith('backbone.'):
            return self.backbone.get_layer_depth(param_name, 'backbone.')
        depth = self.backbone.get_layer_depth('norm3.weight')[1]
        return depth - 1, depth


def rates(model, toolbox, constructor, router_rate=1, **paramwise):
    """Learning rate by parameter."""
    pytest.importorskip(toolbox)
    __import__(f'{toolbox}.engine.optimizers')
    cfg = dict(
        type='OptimWrapper',
        optimizer=dict(type='SGD', lr=BASE, weight_decay=0.1),
        constructor=constructor,
        paramwise_cfg=paramwise,
    )
    stock = copy.deepcopy(cfg)
    set_rates_(dict(optim_wrapper=cfg), True, router_rate)
    by_name = constructor != 'LearningRateDecayOptimWrapperConstructor'
    changed = by_name or router_rate != 1
    assert (cfg['constructor'] == 'DynamicOptimConstructor') is changed
    back = copy.deepcopy(cfg)
    unset_rates_(dict(optim_wrapper=back))
    assert back == stock
    with DefaultScope.overwrite_default_scope(toolbox):
        wrapper = build_optim_wrapper(model, copy.deepcopy(cfg))
    rate = {
        id(p): group['lr']
        for group in wrapper.optimizer.param_groups
        for p in group['params']
    }
    assert 'named_parameters' not in vars(model)
    return {name: rate[id(p)] for name, p in model.named_parameters()}


DECAYS = {
    'mmdet, layers': (
        'mmdet',
        'LearningRateDecayOptimizerConstructor',
        dict(decay_rate=0.5, decay_type='layer_wise', num_layers=6),
    ),
    'mmseg, stages': (
        'mmseg',
        'LearningRateDecayOptimizerConstructor',
        dict(decay_rate=0.5, decay_type='stage_wise', num_layers=4),
    ),
    'mmpretrain': (
        'mmpretrain',
        'LearningRateDecayOptimWrapperConstructor',
        dict(layer_decay_rate=0.5),
    ),
}


@pytest.mark.parametrize('decay', DECAYS)
def test_cells_get_the_rate_of_their_first_layer(decay):
    toolbox, constructor, paramwise = DECAYS[decay]
    stock = rates(Detector(), toolbox, constructor, **paramwise)
    model = Detector(dict(type='KWConv'))
    ours = rates(model, toolbox, constructor, **paramwise)
    names = names_by_layer(model)
    cells = [name for name in ours if 'warehouse_manager' in name]
    assert set(cells) == set(names)
    assert len({names[name].split('.')[2] for name in cells}) == 4
    for name in cells:
        assert ours[name] == stock[names[name]], name
    assert min(ours[name] for name in cells) < BASE / 10
    # All else is as without KernelWarehouse.
    for name in set(ours) & set(stock):
        assert ours[name] == stock[name], name
    assert ours['head.weight'] == stock['head.weight'] == BASE


def test_the_first_of_all_that_share():
    model = Detector(dict(type='KWConv'))
    names = names_by_layer(model)
    third = [name for name in names.values() if '.stages.2.' in name]
    assert all('.stages.2.0.' in name for name in third)
    block = model.backbone.stages[2]
    assert block[0].depthwise_conv.cells is block[2].depthwise_conv.cells


@pytest.mark.parametrize('decay', DECAYS)
def test_routers_get_a_share_of_their_layers_rate(decay):
    toolbox, constructor, paramwise = DECAYS[decay]
    model = Detector(dict(type='KWConv'))
    routers = {
        id(p)
        for layer in model.modules()
        if isinstance(layer, DynamicConv2d)
        for p in layer.router_parameters()
    }
    before = rates(model, toolbox, constructor, **paramwise)
    after = rates(model, toolbox, constructor, 0.1, **paramwise)
    for name, p in model.named_parameters():
        factor = 0.1 if id(p) in routers else 1
        assert after[name] == pytest.approx(factor * before[name]), name


def test_the_word_brings_it_along_and_takes_it_away():
    decaying = 'LearningRateDecayOptimizerConstructor'
    cfg = Config(
        dict(
            model=dict(backbone=dict(type='ConvNeXt', arch='tiny')),
            optim_wrapper=dict(
                constructor=decaying,
                paramwise_cfg=dict(decay_rate=0.95, num_layers=6),
            ),
        )
    )
    shared = with_dynamic_convolutions(cfg, 'kw1x').optim_wrapper
    assert shared.constructor == 'DynamicOptimConstructor'
    assert shared.paramwise_cfg == dict(
        constructor=decaying, decay_rate=0.95, num_layers=6
    )
    again = with_dynamic_convolutions(
        with_dynamic_convolutions(cfg, 'kw1x'), 'kw1x'
    )
    assert again.optim_wrapper == shared
    for method in ('fdconv', 'stock'):
        other = with_dynamic_convolutions(
            with_dynamic_convolutions(cfg, 'kw1x'), method
        )
        assert other.optim_wrapper == cfg.optim_wrapper
