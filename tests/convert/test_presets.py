"""What the presets choose in each backbone family, layer by layer."""

import re

import pytest
from mmengine.registry import MODELS, DefaultScope
from torch import nn

from mmfdconv.convert import PRESETS, preset_for, resolve_rule

pytestmark = pytest.mark.core

HRNET = dict(
    stage1=dict(
        num_modules=1,
        num_branches=1,
        block='BOTTLENECK',
        num_blocks=(1,),
        num_channels=(8,),
    ),
    **{
        f'stage{n}': dict(
            num_modules=1,
            num_branches=n,
            block='BASIC',
            num_blocks=(1,) * n,
            num_channels=tuple(8 * 2**i for i in range(n)),
        )
        for n in (2, 3, 4)
    },
)
TRANSFORMER = dict(embed_dims=16, num_layers=1, num_heads=2)
FFN = {f'layers.0.ffn.layers.{i}' for i in ('0.0', '1')}
UNET = dict(
    in_channels=3,
    base_channels=4,
    num_stages=2,
    strides=(1, 1),
    enc_num_convs=(2, 2),
    dec_num_convs=(2,),
    downsamples=(True,),
    enc_dilations=(1, 1),
    dec_dilations=(1,),
    norm_cfg=dict(type='BN'),
    act_cfg=dict(type='ReLU'),
    upsample_cfg=dict(type='InterpConv'),
)

# toolbox, config -> the preset's name and all that it chooses
CASES = {
    'deep stem': (
        'mmseg',
        dict(type='ResNetV1c', depth=18, base_channels=4),
        'ResNet',
        {f'layer{s}.{b}.conv{c}' for s in range(1, 5) for b in (0, 1)
         for c in (1, 2)},
    ),
    'avg_down': (
        'mmpretrain',
        dict(type='ResNetV1d', depth=18, base_channels=4),
        'ResNet',
        {f'layer{s}.{b}.conv{c}' for s in range(1, 5) for b in (0, 1)
         for c in (1, 2)},
    ),
    'Res2Net': (
        'mmdet',
        dict(type='Res2Net', depth=50, base_channels=16, num_stages=1,
             strides=(1,), dilations=(1,), out_indices=(0,)),
        'ResNet',
        {f'layer1.{b}.{c}' for b in range(3)
         for c in ('conv1', 'convs.0', 'convs.1', 'convs.2', 'conv3')},
    ),
    'splits': (
        'mmpretrain',
        dict(type='ResNeSt', depth=50, base_channels=16, num_stages=1,
             strides=(1,), dilations=(1,), out_indices=(0,)),
        'ResNet',
        {f'layer1.{b}.{c}' for b in range(3)
         for c in ('conv1', 'conv2.conv', 'conv3')},
    ),
    'HRNet': (
        'mmpretrain',
        dict(type='HRNet', extra=HRNET),
        'HRNet',
        {f'layer1.0.conv{i}' for i in (1, 2, 3)}
        | {f'stage{n}.0.branches.{b}.0.conv{i}'
           for n in (2, 3, 4) for b in range(n) for i in (1, 2)},
    ),
    'ConvNeXt': (
        'mmpretrain',
        dict(type='ConvNeXt', arch=dict(depths=[1, 1], channels=[8, 16])),
        'ConvNeXt',
        {f'stages.{s}.0.{c}' for s in (0, 1)
         for c in ('depthwise_conv', 'pointwise_conv1', 'pointwise_conv2')},
    ),
    'Swin': (
        'mmseg',
        dict(type='SwinTransformer', embed_dims=8, depths=(1, 1),
             num_heads=(1, 2), strides=(4, 2), out_indices=(0, 1)),
        'SwinTransformer',
        {f'stages.{s}.blocks.0.ffn.layers.{i}' for s in (0, 1)
         for i in ('0.0', '1')},
    ),
    'ViT': (
        'mmpretrain',
        dict(type='VisionTransformer', img_size=32,
             arch=dict(TRANSFORMER, feedforward_channels=32)),
        'VisionTransformer',
        FFN,
    ),
    'ViT of mmseg': (
        'mmseg',
        dict(type='VisionTransformer', img_size=32, **TRANSFORMER),
        'VisionTransformer',
        FFN,
    ),
    'BEiT': (
        'mmseg', dict(type='BEiT', img_size=32, **TRANSFORMER), 'BEiT', FFN
    ),
    'MiT': (
        'mmseg',
        dict(type='MixVisionTransformer', embed_dims=8, num_stages=1,
             num_layers=[1], num_heads=[1], patch_sizes=[7], strides=[4],
             sr_ratios=[8], out_indices=(0,)),
        'MixVisionTransformer',
        {f'layers.0.1.0.ffn.layers.{i}' for i in (0, 1, 4)},
    ),
    'MobileNetV3': (
        'mmpretrain',
        dict(type='MobileNetV3', arch='small'),
        'MobileNetV3',
        {f'layer{n}.{kind}_conv.conv' for n in range(1, 12)
         for kind in ('expand', 'depthwise', 'linear')
         if (n, kind) != (1, 'expand')} | {'layer12.conv'},
    ),
    'UNet': (
        'mmseg',
        dict(type='UNet', **UNET),
        'UNet',
        {'encoder.0.0.convs.1.conv'}
        | {f'encoder.1.1.convs.{i}.conv' for i in (0, 1)}
        | {f'decoder.0.conv_block.convs.{i}.conv' for i in (0, 1)},
    ),
}  # fmt: skip


def layers_of(model):
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, (nn.Conv2d, nn.Linear))
    }


@pytest.mark.parametrize('case', CASES)
def test_preset(case):
    toolbox, cfg, preset, expected = CASES[case]
    pytest.importorskip(toolbox)
    __import__(f'{toolbox}.models')
    with DefaultScope.overwrite_default_scope(toolbox):
        model = MODELS.build(dict(cfg, type=f'{toolbox}.{cfg["type"]}'))
    assert preset_for(model) == preset
    rule = resolve_rule(None, model)
    chosen = {
        name
        for name, layer in layers_of(model).items()
        if rule.decide(name, layer).convert
    }
    assert chosen == expected


@pytest.mark.parametrize(
    'name, expected',
    [
        ('resnet18', r'layer\d\.\d\.conv\d'),
        ('resnext26ts', None),  # other names: needs a rule
        ('convnext_atto', r'stages_\d\.blocks\.\d\.(conv_dw|mlp\.fc\d)'),
        ('vit_tiny_patch16_224', r'blocks\.\d+\.mlp\.fc\d'),
        ('mobilenetv2_050', r'blocks\.\d\.\d\.conv_(dw|pw|pwl)'),
    ],
)
def test_timm(name, expected):
    timm = pytest.importorskip('timm')
    options = dict(features_only=True) if 'vit' not in name else {}
    inner = timm.create_model(name, pretrained=False, **options)
    layers = {f'timm_model.{k}': m for k, m in layers_of(inner).items()}
    rule = PRESETS['TIMMBackbone']
    chosen = {k for k, m in layers.items() if rule.decide(k, m).convert}
    if expected is None:
        assert not chosen
        return
    assert chosen == {
        k for k in layers if re.fullmatch(rf'timm_model\.{expected}', k)
    }
    assert len(chosen) >= 8
