"""Precedence and messages of LayerRule."""

import pytest
from torch import nn

from mmfdconv.convert import PRESETS, LayerRule, preset_for, resolve_rule

pytestmark = pytest.mark.core

CONV3 = nn.Conv2d(32, 64, 3)
CONV1 = nn.Conv2d(32, 64, 1)


def test_exact_name_beats_pattern():
    rule = LayerRule(
        names={'layer1.0.conv2': False}, patterns={r'layer1.*': True}
    )
    assert not rule.decide('layer1.0.conv2', CONV3).convert
    assert rule.decide('layer1.0.conv1', CONV1).convert


def test_pattern_beats_conditions():
    rule = LayerRule(patterns={r'.*conv1': True}, kernel_sizes=[3])
    assert rule.decide('layer1.0.conv1', CONV1).convert
    assert not rule.decide('layer1.0.conv3', CONV1).convert


def test_first_matching_pattern_decides():
    rule = LayerRule(patterns={r'.*\.conv1': False, r'layer1.*': True})
    assert not rule.decide('layer1.0.conv1', CONV1).convert
    assert rule.decide('layer1.0.conv2', CONV3).convert


def test_a_pattern_must_match_the_whole_name():
    rule = LayerRule(patterns={r'conv1': True}, otherwise=False)
    assert rule.decide('conv1', CONV1).convert
    assert not rule.decide('layer1.0.conv1', CONV1).convert


@pytest.mark.parametrize(
    'conditions, name, conv, expected',
    [
        (dict(kernel_sizes=[3]), 'a', CONV3, True),
        (dict(kernel_sizes=[3]), 'a', CONV1, False),
        (dict(kernel_sizes=[1, 3]), 'a', nn.Conv2d(8, 8, (1, 3)), True),
        (dict(kernel_sizes=[3]), 'a', nn.Conv2d(8, 8, (1, 3)), False),
        (dict(min_channels=32), 'a', CONV3, True),
        (dict(min_channels=33), 'a', CONV3, False),
        (dict(stages=[1]), 'layer1.0.conv1', CONV3, True),
        (dict(stages=[1]), 'layer2.0.conv1', CONV3, False),
        (dict(stages=[0]), 'stages.0.1.depthwise_conv', CONV3, True),
        (dict(stages=[2]), 'stage_2.0.branch_reparam', CONV3, True),
        (dict(stages=[0]), 'stem.conv', CONV3, False),
        (dict(kernel_sizes=[3], min_channels=33), 'a', CONV3, False),
        (dict(), 'a', CONV3, True),
        (dict(otherwise=False), 'a', CONV3, False),
    ],
)
def test_conditions(conditions, name, conv, expected):
    decision = LayerRule(**conditions).decide(name, conv)
    assert decision.convert is expected
    assert decision.reason


def test_options_come_from_the_verdict():
    rule = LayerRule(patterns={r'layer4.*': dict(kernel_num=128)})
    assert rule.decide('layer4.0.conv1', CONV1).options == dict(kernel_num=128)
    assert rule.decide('layer3.0.conv1', CONV1).options == {}


@pytest.mark.parametrize(
    'arguments, words',
    [
        (dict(patterns={'(': True}), ["'('", 'regular expression']),
        (dict(names={'a': 3}), ["names['a']", '3', 'True, False or a dict']),
        (dict(names=['a']), ['names', "['a']"]),
        (dict(kernel_sizes=3), ['kernel_sizes', '3', 'list']),
        (dict(stages=[]), ['stages', '[]']),
    ],
)
def test_wrong_arguments_are_told(arguments, words):
    with pytest.raises(ValueError) as caught:
        LayerRule(**arguments)
    for word in words:
        assert word in str(caught.value)


def test_resnet_preset_takes_blocks_only():
    rule = PRESETS['ResNet']
    for name in ('layer1.0.conv1', 'layer4.22.conv3', 'layer2.1.convs.0'):
        assert rule.decide(name, CONV1).convert, name
    for name in (
        'conv1',
        'stem.0',
        'layer1.0.downsample.0',
        'layer2.0.conv2.conv_offset',
        'neck.layer1.0.conv1',
    ):
        assert not rule.decide(name, CONV1).convert, name


class ResNet(nn.Module):
    """Stands for a toolbox's ResNet: the preset goes by class name."""


class ResNetV1d(ResNet):
    """A variant inherits the preset."""


def test_preset_goes_by_class_and_bases():
    assert preset_for(ResNetV1d()) == 'ResNet'
    assert preset_for(nn.Linear(1, 1)) is None
    assert resolve_rule(None, ResNetV1d()) is PRESETS['ResNet']


def test_what_is_around_a_backbone_takes_its_preset():
    detector = nn.Module()
    detector.backbone = ResNetV1d()
    rule = resolve_rule(None, detector, 'CondConv')
    conv = nn.Conv2d(1, 1, 1)
    assert rule.decide('backbone.layer4.0.conv1', conv).convert
    for name in ('backbone.layer3.0.conv1', 'layer4.0.conv1', 'neck.conv1'):
        assert not rule.decide(name, conv).convert
    # A teacher and its student must not share KernelWarehouse's cells.
    pair = nn.ModuleDict(dict(teacher=detector, student=nn.Module()))
    pair.student.backbone = ResNet()
    with pytest.raises(ValueError, match='no preset for ModuleDict'):
        resolve_rule(None, pair)


@pytest.mark.parametrize('rule', [None, 'resnet', 3, dict(kernels=[3])])
def test_unusable_rule_is_told(rule):
    with pytest.raises(ValueError, match='rule'):
        resolve_rule(rule, nn.Sequential())
