"""Routers and shared cells learn at the rates that they should have."""

import copy

import pytest
from mmengine.config import Config
from mmengine.optim import ConstantLR, build_optim_wrapper
from mmengine.registry import MODELS, DefaultScope
from torch import nn

from mmfdconv.convert import (
    METHODS,
    LayerRule,
    convert_dynamic_,
    names_by_layer,
    short_config,
    with_dynamic_convolutions,
)
from mmfdconv.convert.learning_rates import set_rates_, unset_rates_
from mmfdconv.layers import DynamicConv2d

pytestmark = pytest.mark.core

BASE, DECAY = 1e-2, 0.1
OPTIMIZER = dict(type='SGD', lr=BASE, weight_decay=DECAY)


@MODELS.register_module()
class Blocks(nn.Module):
    """Names like a ResNet's; some that a careless key would take along."""

    def __init__(self, width=24):
        super().__init__()
        block = nn.Module()
        block.conv1 = nn.Conv2d(width, width, 3, padding=1)
        block.bn1 = nn.BatchNorm2d(width)
        block.conv2 = nn.Conv2d(width, width, 1)
        block.bn2 = nn.BatchNorm2d(width)
        self.layer1 = nn.Sequential(block)
        self.fc = nn.Linear(width, 2)


@MODELS.register_module()
class Classifier(nn.Module):
    """A backbone and a head with names of routers' parts."""

    def __init__(self, backbone):
        super().__init__()
        self.backbone = MODELS.build(backbone)
        self.attention = nn.Linear(2, 2)
        self.q = nn.Linear(2, 2)
        self.routing = nn.Sequential(nn.Linear(2, 2))


def experiment(**paramwise):
    wrapper = dict(type='OptimWrapper', optimizer=dict(OPTIMIZER))
    if paramwise:
        wrapper['paramwise_cfg'] = paramwise
    backbone = dict(type='Blocks')
    model = dict(type='Classifier', backbone=backbone)
    return Config(dict(model=model, optim_wrapper=wrapper))


RULE = dict(patterns={'.*[.]conv[12]': True}, otherwise=False)
#: Blocks are no family whose cells have names.
NAMES = dict(warehouse_names={'layer1.0.conv1': 'stage0_layer0_conv0'})


def made_dynamic(cfg, method, options=None):
    cfg = copy.deepcopy(cfg)
    cfg.update(NAMES)
    return with_dynamic_convolutions(cfg, method, options, RULE)


def groups(cfg):
    """Settings by parameter's name, and the names of routers' parameters."""
    model = MODELS.build(copy.deepcopy(cfg.model))
    wrapper = build_optim_wrapper(model, copy.deepcopy(cfg.optim_wrapper))
    by_id = {
        id(p): (group['lr'], group['weight_decay'])
        for group in wrapper.optimizer.param_groups
        for p in group['params']
    }
    routers = {
        id(p)
        for layer in model.modules()
        if isinstance(layer, DynamicConv2d)
        for p in layer.router_parameters()
    }
    named = dict(model.named_parameters())
    return (
        {name: by_id[id(p)] for name, p in named.items()},
        {name for name, p in named.items() if id(p) in routers},
    )


RECIPES = {
    'none': dict(),
    'backbone': dict(custom_keys=dict(backbone=dict(lr_mult=0.1))),
    'kinds': dict(norm_decay_mult=0.0, bias_lr_mult=2.0, bias_decay_mult=0.5),
    'routers': dict(custom_keys=dict(KSM_Global=dict(lr_mult=3.0))),
    'both': dict(
        custom_keys={'bn1': dict(decay_mult=0.0), 'backbone': dict()},
        flat_decay_mult=0.0,
        norm_decay_mult=0.0,
    ),
}


@pytest.mark.parametrize('recipe', RECIPES)
@pytest.mark.parametrize('method', [m for m in METHODS if m != 'stock'])
def test_routers_and_nothing_else(method, recipe):
    cfg = experiment(**RECIPES[recipe])
    plain = made_dynamic(cfg, method)
    slow = made_dynamic(cfg, method, dict(router_lr_mult=0.1))
    before, routers = groups(plain)
    after, _ = groups(slow)
    assert routers
    assert set(after) == set(before)
    for name, (rate, decay) in after.items():
        factor = 0.1 if name in routers else 1
        expected = (before[name][0] * factor, before[name][1])
        assert (rate, decay) == pytest.approx(expected), name
    # Taken out again, and written a second time.
    back = with_dynamic_convolutions(slow, 'stock').optim_wrapper
    assert back.to_dict() == cfg.optim_wrapper.to_dict()
    again = made_dynamic(slow, method, dict(router_lr_mult=0.1))
    assert again.to_dict() == slow.to_dict()


@pytest.mark.parametrize('method', [m for m in METHODS if m != 'stock'])
def test_norms_of_gates_decay_as_the_norms_beside_their_layer(method):
    keys = {'layer1.0.bn': dict(decay_mult=0.0)}  # no gate's is called so
    cfg = made_dynamic(experiment(custom_keys=keys), method)
    model = MODELS.build(copy.deepcopy(cfg.model))
    found, routers = groups(cfg)
    for name in routers:
        norm = model.get_submodule(name.rpartition('.')[0])
        is_norm = isinstance(norm, (nn.BatchNorm2d, nn.LayerNorm))
        assert found[name] == (BASE, 0 if is_norm else DECAY), name
    assert found['backbone.layer1.0.bn2.bias'] == (BASE, 0)


def test_norms_of_gates_are_excluded_from_lars_at_the_rate_of_the_others():
    bn = dict(decay_mult=0.0, lr_mult=0.02, lars_exclude=True)
    cfg = experiment(custom_keys={'.0.bn': bn})  # as in Barlow Twins
    cfg.optim_wrapper.optimizer.type = 'LARS'
    pytest.importorskip('mmpretrain.engine.optimizers')
    cfg = made_dynamic(cfg, 'kw1x', dict(router_lr_mult=0.5))
    model = MODELS.build(copy.deepcopy(cfg.model))
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        wrapper = build_optim_wrapper(model, copy.deepcopy(cfg.optim_wrapper))
    norm = model.backbone.layer1[0].conv1.attention.norm1
    for parameter in norm.parameters():
        group = next(
            group
            for group in wrapper.param_groups
            if any(p is parameter for p in group['params'])
        )
        assert group['lars_exclude']
        assert group['weight_decay'] == 0
        assert group['lr'] == pytest.approx(0.5 * 0.02 * BASE)


def test_norms_that_differ_leave_those_of_gates_alone():
    keys = {'layer1.0.bn1': dict(decay_mult=0.0)}
    found, routers = groups(made_dynamic(experiment(custom_keys=keys), 'dcd'))
    assert {found[name] for name in routers} == {(BASE, DECAY)}


def test_keys_of_layers_reach_the_cells_of_these_layers():
    keys = {'layer1.0.conv1': dict(lr_mult=0.5, decay_mult=0.0)}
    found, _ = groups(made_dynamic(experiment(custom_keys=keys), 'kw1x'))
    assert found['backbone.warehouse_manager.weights.0'] == (BASE / 2, 0)


@pytest.mark.parametrize('ratio', [1, 0.5])
def test_the_bias_of_a_router_is_a_bias(ratio):
    cfg = experiment(bias_lr_mult=2.0, bias_decay_mult=0.0)
    options = dict(nonlocal_basis_ratio=ratio)
    found, routers = groups(made_dynamic(cfg, 'kw1x', options))
    name = 'basis_bias' if ratio < 1 else 'fc2.bias'
    names = [n for n in routers if n.endswith(name)]
    assert {found[n] for n in names} == {(BASE * 2, 0)}


@pytest.mark.parametrize('kind', ['FDConv', 'KWConv', 'ODConv'])
def test_what_holds_for_depthwise_layers_holds_for_dynamic_ones(kind):
    model = nn.Module()
    model.layer1 = nn.ModuleList([nn.Conv2d(24, 24, 3, groups=24)])
    names = {'layer1.0': 'stage0_layer0_conv0'}
    more = dict(warehouse_names=names) if kind == 'KWConv' else {}
    convert_dynamic_(model, dict(type=kind, **more), LayerRule())
    before = [(name, id(p)) for name, p in model.named_parameters()]
    classes = [type(m) for m in model.modules()]
    cfg = dict(optim_wrapper=dict(optimizer=dict(OPTIMIZER)))
    cfg['optim_wrapper']['paramwise_cfg'] = dict(dwconv_decay_mult=0.0)
    set_rates_(cfg, False, 1)
    wrapper = build_optim_wrapper(model, cfg['optim_wrapper'])
    decay = {
        id(p): group['weight_decay']
        for group in wrapper.optimizer.param_groups
        for p in group['params']
    }
    layer = model.layer1[0]
    kernel = [*layer.weight_parameters(), *layer.shared_parameters()]
    assert {decay[id(p)] for p in kernel} == {0}
    assert {decay[id(p)] for p in layer.router_parameters()} == {DECAY}
    # The model is as it was.
    assert [(name, id(p)) for name, p in model.named_parameters()] == before
    assert [type(m) for m in model.modules()] == classes


def test_the_config_says_it_in_two_lines():
    new = made_dynamic(experiment(), 'fdconv', dict(router_lr_mult=0.5))
    assert new.optim_wrapper.to_dict() == dict(
        type='OptimWrapper',
        optimizer=OPTIMIZER,
        constructor='DynamicOptimConstructor',
        paramwise_cfg=dict(router_lr_mult=0.5),
    )
    assert Config.fromstring(new.dump(), '.py').to_dict() == new.to_dict()


def test_a_recipe_has_factors_by_method():
    cfg = experiment()
    cfg.router_lr_mult = dict(odconv=0.1)
    paramwise = made_dynamic(cfg, 'odconv').optim_wrapper.paramwise_cfg
    assert paramwise == dict(router_lr_mult=0.1)
    full = [made_dynamic(cfg, 'odconv', dict(router_lr_mult=1))]
    full += [made_dynamic(cfg, 'fadconv')]
    for new in full:
        assert new.optim_wrapper == cfg.optim_wrapper
    for wrong in (0.1, dict(odcon=0.1)):
        cfg.router_lr_mult = wrong
        with pytest.raises(ValueError, match=r'such as dict\(odconv.* got '):
            made_dynamic(cfg, 'odconv')


def test_a_schedule_moves_the_rates_of_routers_along():
    cfg = made_dynamic(experiment(), 'odconv', dict(router_lr_mult=0.1))
    model = MODELS.build(cfg.model)
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    half = ConstantLR(wrapper, factor=0.5)
    found = sorted(group['lr'] for group in wrapper.param_groups)
    assert found == pytest.approx([0.05 * BASE, 0.5 * BASE])
    assert half.last_step == 0


@pytest.mark.parametrize('factor', [0, -1, 'slow', True, float('nan')])
def test_a_factor_that_is_none(factor):
    with pytest.raises(ValueError, match='router_lr_mult must be'):
        made_dynamic(experiment(), 'odconv', dict(router_lr_mult=factor))


def test_no_optimizer():
    cfg = experiment()
    cfg.pop('optim_wrapper')
    with pytest.raises(ValueError, match='optim_wrapper'):
        made_dynamic(cfg, 'odconv', dict(router_lr_mult=0.1))


def test_a_file_that_inherits_has_the_rate(tmp_path):
    cfg = experiment(custom_keys=dict(backbone=dict(lr_mult=0.1)))
    cfg.update(NAMES)
    cfg.dump(tmp_path / 'stock.py')
    text = short_config(
        str(tmp_path / 'stock.py'),
        'dcd',
        dict(router_lr_mult=0.5),
        RULE,
        folder=tmp_path,
    )
    (tmp_path / 'dcd.py').write_text(text)
    inherited = Config.fromfile(tmp_path / 'dcd.py').optim_wrapper
    whole = made_dynamic(cfg, 'dcd', dict(router_lr_mult=0.5)).optim_wrapper
    assert inherited.to_dict() == whole.to_dict()


# ------------------------------------------- rates that decay layer by layer

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


def test_norms_of_gates_do_not_decay_where_rates_do():
    model = Detector()
    vit = dict(
        type='mmpretrain.VisionTransformer',
        arch=dict(
            embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64
        ),
        img_size=32,
    )
    conv_cfg = dict(type='FDConv')
    model.backbone = MODELS.build(
        dict(type='DynamicBackbone', backbone=vit, conv_cfg=conv_cfg)
    )
    cfg = dict(
        optimizer=dict(OPTIMIZER),
        constructor='LearningRateDecayOptimWrapperConstructor',
        paramwise_cfg=dict(
            layer_decay_rate=0.5,
            # No norm of a gate has this name.
            custom_keys={'.ln': dict(decay_mult=0.0)},
        ),
    )
    set_rates_(dict(optim_wrapper=cfg), False, 1)
    pytest.importorskip('mmpretrain.engine.optimizers')
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        groups = build_optim_wrapper(model, cfg).optimizer.param_groups
    found = {id(p): group for group in groups for p in group['params']}
    for block in model.backbone.layers:
        gate = block.ffn.layers[1].KSM_Global
        norm, beside = found[id(gate.bn.weight)], found[id(block.ln1.weight)]
        assert norm['weight_decay'] == beside['weight_decay'] == 0
        assert norm['lr'] == beside['lr'] < BASE
        assert found[id(gate.fc.weight)]['weight_decay'] == DECAY


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
