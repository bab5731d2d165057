"""The rule that a model without a preset is offered: it works when pasted."""

import re

import pytest
import torch
from mmengine.registry import MODELS, DefaultScope
from torch import nn

from mmfdconv.convert import LayerRule, convert_dynamic_
from mmfdconv.convert.hint import suggest_rule

pytestmark = pytest.mark.core

CFG = dict(type='FDConv', kernel_num=4)

#: Families without a preset: convolutions, units with linear layers, tokens.
WITHOUT_PRESET = {
    'mmpretrain.AlexNet': {},
    'mmpretrain.ConvMixer': dict(
        arch=dict(embed_dims=32, depth=2, patch_size=4, kernel_size=5)
    ),
    'mmpretrain.InceptionV3': {},
    'mmpretrain.LeNet5': {},
    'mmpretrain.MlpMixer': dict(
        arch=dict(
            embed_dims=16,
            num_layers=1,
            tokens_mlp_dims=8,
            channels_mlp_dims=32,
        ),
        img_size=32,
    ),
    'mmpretrain.VAN': dict(arch='tiny'),
    'mmseg.BiSeNetV2': {},
    'mmseg.DDRNet': {},
    'mmseg.STDCNet': dict(
        stdc_type='STDCNet1',
        in_channels=3,
        channels=(8, 16, 32, 64, 128),
        bottleneck_type='cat',
        norm_cfg=dict(type='BN'),
        act_cfg=dict(type='ReLU'),
    ),
    'mmdet.HourglassNet': dict(
        downsample_times=2,
        num_stacks=1,
        stage_channels=(16, 16, 24),
        stage_blocks=(1, 1, 1),
        feat_channel=16,
    ),
}


def build(name, options):
    toolbox = name.partition('.')[0]
    pytest.importorskip(toolbox)
    __import__(f'{toolbox}.models')
    with DefaultScope.overwrite_default_scope(toolbox):
        return MODELS.build(dict(type=name, **options))


def paste(message):
    """Take the rule out of an error message, as a user would."""
    rule = re.search(r'rule=(dict\(.*\))$', message, re.MULTILINE)
    return eval(rule.group(1))


@pytest.mark.parametrize('name', WITHOUT_PRESET)
def test_the_hint_works_when_pasted(name):
    model = build(name, WITHOUT_PRESET[name])
    with pytest.raises(ValueError, match='no preset') as caught:
        convert_dynamic_(model, CFG)
    rule = paste(str(caught.value))
    assert len(str(rule)) < 400
    report = convert_dynamic_(model, CFG, rule)
    hit = {p for p in rule['patterns'] for row in report.rows
           if re.fullmatch(p, row.name)}  # fmt: skip
    assert hit == set(rule['patterns'])
    # The image is seen by static layers alone.
    for row in report.converted:
        assert not row.before.startswith(('1->', '3->')), row


def test_a_preset_that_hits_nothing_gives_a_hint_too():
    timm = pytest.importorskip('timm')

    class TIMMBackbone(nn.Module):
        def __init__(self):
            super().__init__()
            self.timm_model = timm.create_model('resnext26ts')

    with pytest.raises(ValueError, match='no layer of TIMM') as caught:
        convert_dynamic_(TIMMBackbone(), CFG)
    report = convert_dynamic_(TIMMBackbone(), CFG, paste(str(caught.value)))
    assert len(report.converted) > 20


def test_no_rule_is_suggested_where_warehouses_lack_names():
    class Darknet(nn.Module):
        def __init__(self):
            super().__init__()
            block = nn.Module()
            block.res0 = nn.Module()
            block.res0.conv1 = nn.Sequential()
            block.res0.conv1.add_module('conv', nn.Conv2d(8, 8, 1))
            self.conv_res_block1 = block

    with pytest.raises(ValueError, match='belongs to no warehouse') as caught:
        convert_dynamic_(Darknet(), dict(type='KWConv'))
    assert 'try ' not in str(caught.value)
    assert "say for instance warehouse_names={r'" in str(caught.value)


def test_numbers_alone_differ_within_a_pattern():
    net = nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 8, 3)),
        nn.Sequential(nn.Conv2d(8, 8, 3)),
        nn.Sequential(nn.Conv2d(8, 8, 3)),
    )
    hint = suggest_rule(net)
    assert hint == (
        r"rule=dict(patterns={r'0\.0': False, r'\d+\.\d+': True}, "
        'otherwise=False)'
    )
    report = convert_dynamic_(net, CFG, LayerRule(**paste(hint).copy()))
    assert [row.name for row in report.converted] == ['1.0', '2.0']


def test_linear_layers_where_there_are_no_convolutions():
    net = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8))
    assert r"r'\d+': True" in suggest_rule(net)


def test_offsets_of_a_deformable_convolution_are_not_suggested():
    net = nn.Module()
    net.conv = nn.Module()
    net.conv.weight = nn.Parameter(torch.zeros(8, 8, 3, 3))
    net.conv.conv_offset = nn.Conv2d(8, 18, 3)
    assert suggest_rule(net) == ''
    net.other = nn.Conv2d(8, 8, 1)
    assert suggest_rule(net) == (
        "rule=dict(patterns={r'other': True}, otherwise=False)"
    )


def test_nothing_to_suggest():
    assert suggest_rule(nn.Sequential(nn.ReLU())) == ''
    with pytest.raises(ValueError, match='; no layer of it can be dynamic$'):
        convert_dynamic_(nn.Sequential(nn.ReLU()), CFG)


def test_where_nothing_can_be_dynamic_the_message_says_why():
    class Merged(nn.Sequential):
        def fuse(self): ...

    net = nn.Sequential(nn.Linear(8, 8), Merged(nn.Conv2d(8, 8, 3)))
    net[0].extra = nn.Parameter(torch.zeros(1))
    net.append(Merged(nn.Linear(8, 8)))
    with pytest.raises(
        ValueError,
        match='; no layer of it can be dynamic: Merged merges its weight for '
        'deployment; build the model deployed$',
    ):
        convert_dynamic_(net, CFG)
