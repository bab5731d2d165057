"""One word makes a config dynamic: what is added, kept, taken and refused."""

import copy
import importlib

import pytest
from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope, init_default_scope

from mmfdconv.convert import (
    METHODS,
    LayerRule,
    build_dynamic,
    config_path,
    nearest,
    with_dynamic_convolutions,
)
from mmfdconv.registry import LAYERS, MODELS

from .backbones import HRNET

pytestmark = pytest.mark.core

DYNAMIC = [name for name in METHODS if name != 'stock']


def stock(backbone=None, **more):
    """A config as the toolboxes' are, as far as the word looks at it."""
    backbone = backbone or dict(type='ResNet', depth=50, init_cfg=None)
    return Config(dict(model=dict(type='Some', backbone=backbone), **more))


def conv_cfg(method, backbone=None, **more):
    cfg = with_dynamic_convolutions(stock(backbone, **more), method)
    return cfg.model.backbone.conv_cfg


@pytest.mark.parametrize('method', DYNAMIC)
def test_every_method(method):
    cfg = stock()
    before = copy.deepcopy(cfg)
    new = with_dynamic_convolutions(cfg, method)
    assert cfg.to_dict() == before.to_dict()
    wrapper = new.model.backbone
    assert wrapper.type == 'DynamicBackbone'
    assert wrapper.backbone == before.model.backbone
    assert wrapper.conv_cfg.type in LAYERS
    assert 'rule' not in wrapper
    assert new.custom_imports == dict(
        imports=['mmfdconv'], allow_failed_imports=False
    )
    again = with_dynamic_convolutions(new, method)
    assert again.to_dict() == new.to_dict()
    back = with_dynamic_convolutions(new, 'stock')
    back.pop('custom_imports')
    assert back.to_dict() == before.to_dict()


@pytest.mark.parametrize('method', DYNAMIC)
def test_a_router_that_needs_a_schedule_always_has_one(method):
    new = with_dynamic_convolutions(stock(default_scope='mmdet'), method)
    hooks = list(new.get('custom_hooks', []))
    if new.model.backbone.conv_cfg.type != 'KWConv':
        assert hooks == []
        return
    (hook,) = hooks
    assert (hook.type, hook.by) == ('TemperatureHook', 'share')
    assert (hook.start, hook.end, hook.length) == (1.0, 0.0, 0.1)


def test_the_schedule_can_be_changed():
    options = {'dynamic_temperature.end': 0.25, 'reduction': 0.125}
    new = with_dynamic_convolutions(stock(), 'kw1x', options)
    (hook,) = new.custom_hooks
    assert (hook.start, hook.end, hook.length) == (1.0, 0.25, 0.1)
    assert new.model.backbone.conv_cfg.reduction == 0.125


@pytest.mark.parametrize('types', [None, ['KWConv'], ['ODConv']])
def test_a_schedule_that_the_config_has_is_the_only_one(types):
    own = dict(type='TemperatureHook', start=1, end=0.25, layer_types=types)
    cfg = stock(custom_hooks=[own])
    new = with_dynamic_convolutions(cfg, 'kw1x')
    assert len(new.custom_hooks) == (2 if types == ['ODConv'] else 1)
    assert new.custom_hooks[0] == own


@pytest.mark.parametrize(
    ('method', 'option', 'hooks', 'words'),
    [
        ('kw1x', 'ends', [], "argument 'ends'"),
        ('kw1x', 'end', [dict(type='TemperatureHook')], 'config has its own'),
        ('kw1x', 'by', [], 'by'),
        ('fdconv', 'end', [], 'FDConv needs none'),
    ],
)
def test_a_schedule_that_cannot_be_changed(method, option, hooks, words):
    options = {f'dynamic_temperature.{option}': 0.5}
    with pytest.raises(ValueError, match=words):
        with_dynamic_convolutions(stock(custom_hooks=hooks), method, options)


AUTHORS = dict(kw1x=(1, 0, 0.2), dyconv=(30, 1, 0.1), odconv=(30, 1, 0.1))


@pytest.mark.parametrize('method', AUTHORS)
def test_classification_takes_the_authors_schedule(method):
    cfg = stock(default_scope='mmpretrain', custom_hooks=[dict(type='EMA')])
    first, hook = with_dynamic_convolutions(cfg, method).custom_hooks
    assert first.type == 'EMA'
    assert (hook.start, hook.end, hook.length) == AUTHORS[method]


@pytest.mark.parametrize(
    ('old', 'imports', 'allow'),
    [
        (dict(imports='a.b'), ['a.b', 'mmfdconv'], False),
        (
            dict(imports=['a', 'mmfdconv', 'b'], allow_failed_imports=True),
            ['a', 'mmfdconv', 'b'],
            True,
        ),
        (None, ['mmfdconv'], False),
    ],
)
def test_imports_are_kept(old, imports, allow):
    new = with_dynamic_convolutions(stock(custom_imports=old), 'fdconv')
    assert new.custom_imports == dict(
        imports=imports, allow_failed_imports=allow
    )


@pytest.mark.parametrize(
    ('backbone', 'size'),
    [
        (dict(type='ResNet', depth=18), 2),
        (dict(type='mmpretrain.ResNet', depth=34), 2),
        (dict(type='ResNet', depth=50), 1),
        (dict(type='UNet'), 2),
        (dict(type='ICNet', backbone_cfg=dict(type='ResNet', depth=18)), 2),
        (dict(type='TIMMBackbone', model_name='resnet34d'), 2),
        (dict(type='TIMMBackbone', model_name='resnet50'), 1),
        (dict(type='SwinTransformer', depths=[2, 2, 6, 2]), 1),
    ],
    ids=str,
)
def test_dcd_takes_the_form_of_the_blocks(backbone, size):
    assert conv_cfg('dcd', backbone).squeeze_size == size


def test_fdconv_takes_the_large_kernels_of_a_convnext():
    backbone = dict(type='mmpretrain.ConvNeXt', arch='tiny')
    assert conv_cfg('fdconv', backbone).use_fdconv_if_k_in == [1, 3, 7]
    assert conv_cfg('fdconv').use_fdconv_if_k_in == [1, 3]


def test_kernel_warehouse_takes_names():
    assert 'warehouse_names' not in conv_cfg('kw1x')
    names = conv_cfg('kw1x', dict(type='UNet')).warehouse_names
    assert any(name.startswith('decoder') for name in names)
    own = {r'a\.(\d)': r'stage\1_layer0_conv0'}
    assert conv_cfg('fkw1x', warehouse_names=own).warehouse_names == own


FAMILIES = {
    'HRNet': ('mmseg', dict(extra=HRNET)),
    'SwinTransformer': ('mmseg', dict(embed_dims=24, depths=(1, 1, 1, 1))),
    'VisionTransformer': ('mmpretrain', dict(arch='deit-tiny')),
    'MixVisionTransformer': ('mmseg', dict(num_layers=[1, 1, 1, 1])),
    'MobileNetV3': ('mmpretrain', dict(arch='small')),
    'UNet': ('mmseg', dict(base_channels=8)),
    'VGG': ('mmpretrain', dict(depth=11, num_classes=-1)),
    'SSDVGG': ('mmdet', dict(depth=11, input_size=300)),
    'DenseNet': (
        'mmpretrain',
        dict(arch=dict(growth_rate=8, depths=[2, 2], init_channels=16)),
    ),
    'ShuffleNetV1': ('mmpretrain', dict(widen_factor=0.5)),
    'ShuffleNetV2': ('mmpretrain', dict(widen_factor=0.5)),
    'Darknet': ('mmdet', dict()),
    'CSPDarknet': ('mmdet', dict(deepen_factor=0.33, widen_factor=0.25)),
    'CSPNeXt': ('mmdet', dict(deepen_factor=0.167, widen_factor=0.375)),
    'CSPResNet': ('mmpretrain', dict(depth=50)),
    'RepVGG': ('mmpretrain', dict(arch='A0', deploy=True)),
    'MobileOne': ('mmpretrain', dict(arch='s0', deploy=True)),
}


@pytest.mark.parametrize('name', FAMILIES)
def test_kernel_warehouse_reaches_what_others_reach(name):
    scope, settings = FAMILIES[name]
    pytest.importorskip(scope)
    importlib.import_module(f'{scope}.models')
    init_default_scope(scope)
    reached = []
    for method in ('odconv', 'kw1x'):
        cfg = with_dynamic_convolutions(
            stock(dict(type=name, **settings)), method
        )
        wrapper = cfg.model.backbone.to_dict()
        del wrapper['type']
        _, report = build_dynamic(**wrapper)
        reached.append([row.name for row in report.converted])
    assert reached[0] == reached[1]


def test_a_configs_own_rule_goes_before_the_preset():
    rule = dict(stages=[4])
    cfg = stock(dynamic_rule=rule)
    new = with_dynamic_convolutions(cfg, 'fdconv')
    assert new.model.backbone.rule == rule
    new = with_dynamic_convolutions(cfg, 'fdconv', rule='ResNet')
    assert new.model.backbone.rule == 'ResNet'


def test_a_rule_becomes_what_a_config_can_hold(tmp_path):
    rule = LayerRule(patterns={r'.*conv2': True}, otherwise=False)
    new = with_dynamic_convolutions(stock(), 'odconv', rule=rule)
    new.dump(tmp_path / 'a.py')
    again = Config.fromfile(tmp_path / 'a.py')
    assert again.to_dict() == new.to_dict()
    assert LayerRule(**again.model.backbone.rule) == rule


def test_options_change_what_the_file_says():
    options = {'kernel_num': 8, 'fbm_cfg.mask': 'nearest64'}
    new = with_dynamic_convolutions(stock(), 'fdconv', options)
    found = new.model.backbone.conv_cfg
    assert (found.kernel_num, found.fbm_cfg.mask) == (8, 'nearest64')
    assert found.fbm_cfg.k_list == [2, 4, 8]
    assert conv_cfg('fdconv').kernel_num == 64  # nothing is remembered


def test_every_backbone_inside_of_wrappers():
    inner = dict(type='ResNet', depth=50)
    cfg = Config(
        dict(
            model=dict(
                type='SoftTeacher',
                detector=dict(type='FasterRCNN', backbone=inner),
                neck=dict(type='RFP', rfp_backbone=dict(inner)),
                parts=[dict(backbone=dict(inner))],
            )
        )
    )
    model = with_dynamic_convolutions(cfg, 'odconv').model
    assert model.detector.backbone.type == 'DynamicBackbone'
    assert model.parts[0].backbone.type == 'DynamicBackbone'
    assert model.neck.rfp_backbone == inner


def test_a_method_takes_the_place_of_another():
    """What the first brought, its rule included, goes."""
    cfg = stock(default_scope='mmdet')
    first = with_dynamic_convolutions(cfg, 'kw1x', rule=dict(stages=[4]))
    second = with_dynamic_convolutions(first, 'fdconv')
    expected = with_dynamic_convolutions(cfg, 'fdconv')
    assert second.to_dict() == expected.to_dict()
    backbone = dict(type='ResNet', depth=50, conv_cfg=dict(type='ODConv'))
    plain = with_dynamic_convolutions(stock(backbone), 'stock')
    assert plain.model.backbone.conv_cfg is None


def test_what_the_wrapper_starts_from_stays():
    start = dict(type='Pretrained', checkpoint='a.pth')
    wrapper = dict(
        type='DynamicBackbone',
        backbone=dict(type='ResNet', depth=18, init_cfg=dict(type='Other')),
        conv_cfg=dict(type='FDConv'),
        init_cfg=start,
    )
    new = with_dynamic_convolutions(stock(wrapper), 'stock')
    assert new.model.backbone == dict(type='ResNet', depth=18, init_cfg=start)


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (('fdcon',), ['method', "'fdcon'", 'did you mean fdconv']),
        (('xyz',), ['there are stock, fdconv']),
        (('stock', dict(a=1)), ["method='stock'", 'options']),
        (('stock', None, 'ResNet'), ["method='stock'", 'rule']),
        (('odconv', dict(num_expert=2)), ['num_expert', 'num_experts']),
        (('kw1x', dict(warehouse=2)), ["'warehouse'"]),
        (('kw1x', {'a.b': 2}), ["no option 'a'"]),
        (('fdconv', {'kernel_num.a': 2}), ['options', 'kernel_num.a']),
        (('odconv', None, 'Resnet'), ["'Resnet'", 'did you mean ResNet']),
        (('odconv', None, dict(stage=[1])), ["'stage'", 'stages']),
        (('odconv', None, dict(stages=1)), ['stages', 'list', '1']),
    ],
    ids=str,
)
def test_wrong_words_are_answered_with_the_nearest(arguments, words):
    with pytest.raises(ValueError) as error:
        with_dynamic_convolutions(stock(), *arguments)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    'model', [None, dict(type='A'), dict(backbone='resnet50')], ids=str
)
def test_a_config_without_backbone(model):
    with pytest.raises(ValueError, match='no backbone=dict'):
        with_dynamic_convolutions(Config(dict(model=model)), 'fdconv')


def test_without_backbone_the_other_parts_are_named():
    head = dict(type='C', loss=dict(type='D'))
    parts = dict(encoders=[dict(type='B')], head=head, pre=None)
    cfg = Config(dict(model=dict(type='A', **parts)))
    with pytest.raises(ValueError, match=r'part of it \(encoders.0, head\)'):
        with_dynamic_convolutions(cfg, 'fdconv')


def test_nearest():
    words = ('fdconv', 'odconv', 'dcd')
    assert nearest('FDconv', words) == 'did you mean fdconv or odconv?'
    assert nearest('zz', words) == 'there are fdconv, odconv, dcd'


@pytest.mark.parametrize(
    ('config', 'words'),
    [
        ('none.py', ["'none.py' is not a file", 'mmdet::']),
        ('mmdex::a.py', ['mmdex::', 'mmdet::']),
        ('mmfdconv::none.py', ['no', "'none.py'"]),
        (
            'mmfdconv::mmdet/faster_rcnn/faster-rcnn_r50_fdconv_fpn.py',
            ['did you mean', 'mmdet/faster_rcnn/faster-rcnn_r50-fdconv_fpn'],
        ),
    ],
)
def test_a_config_that_is_not_there(config, words):
    with pytest.raises(ValueError) as error:
        config_path(config)
    for word in words:
        assert word in str(error.value)


# ------------------------------------------------------- pure Python configs

PURE = """
from mmengine.config import read_base
from torch.optim import SGD

with read_base():
    from .base import *

from mmfdconv.convert import DynamicBackbone
from mmfdconv.layers import {layer}

model.merge(dict(backbone=dict(
    _delete_=True, type=DynamicBackbone, backbone=model['backbone'],
    conv_cfg=dict(type={layer}))))
optim_wrapper = dict(optimizer=dict(type=SGD, lr=0.1))
"""
PLAIN = """
from mmengine.config import read_base

with read_base():
    from .base import *

from mmfdconv.layers import {layer}

model['backbone']['conv_cfg'] = dict(type={layer})
"""
BASE = """
from mmpretrain.models import ImageClassifier, ResNet

model = dict(
    type=ImageClassifier,
    backbone=dict(type=ResNet, depth=18, base_channels=24, stem_channels=24))
"""


@pytest.mark.parametrize('layer', ['FDConv', 'ODConv'])
@pytest.mark.parametrize('text', [PURE, PLAIN], ids=['wrapped', 'conv_cfg'])
def test_pure_python_configs_build_dump_and_load(tmp_path, text, layer):
    pytest.importorskip('mmpretrain')
    (tmp_path / 'base.py').write_text(BASE)
    path = tmp_path / 'pure.py'
    path.write_text(text.format(layer=layer))
    cfg = Config.fromfile(path)
    cfg.dump(tmp_path / 'dumped.py')
    dumped = Config.fromfile(tmp_path / 'dumped.py')
    other = with_dynamic_convolutions(cfg, 'dyconv')
    other.dump(tmp_path / 'other.py')
    loaded = Config.fromfile(tmp_path / 'other.py')
    assert loaded.to_dict() == other.to_dict()
    plain = with_dynamic_convolutions(dumped, 'stock')
    for found, kind in (
        (cfg, layer),
        (dumped, layer),
        (other, 'DYConv'),
        (loaded, 'DYConv'),
        (plain, 'Conv2d'),
    ):
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            model = MODELS.build(ConfigDict(found.model))
        assert type(model.backbone.layer1[0].conv1).__name__ == kind
