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
    'SegNeXt': (
        'mmseg',
        dict(type='MSCAN', embed_dims=[8, 16], depths=[1, 1], num_stages=2,
             mlp_ratios=[2, 2], drop_path_rate=0.0, norm_cfg=dict(type='BN')),
        'MSCAN',
        {f'block{s}.0.mlp.{c}' for s in (1, 2)
         for c in ('fc1', 'dwconv', 'fc2')},
    ),
    'Twins': (
        'mmseg',
        dict(type='SVT', embed_dims=[8, 16], num_heads=[1, 2], depths=[1, 2],
             patch_sizes=[4, 2], strides=[4, 2], mlp_ratios=[2, 2],
             sr_ratios=[4, 2], windiow_sizes=[4, 4], out_indices=(0, 1)),
        'PCPVT',
        {f'layers.{s}.{b}.ffn.layers.{i}' for s, b in ((0, 0), (1, 0), (1, 1))
         for i in ('0.0', '1')},
    ),
    'around a ResNet': (
        'mmseg',
        dict(type='BiSeNetV1', spatial_channels=(8, 8, 8, 16),
             context_channels=(16, 32, 64), out_channels=32,
             backbone_cfg=dict(type='ResNet', depth=18, base_channels=8)),
        None,
        {f'context_path.backbone.layer{s}.{b}.conv{c}' for s in range(1, 5)
         for b in (0, 1) for c in (1, 2)},
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
    'EfficientNet': (
        'mmdet',
        dict(type='EfficientNet', arch='b0'),
        'EfficientNet',
        {f'layers.{s}.{b}.{kind}_conv.conv'
         for s, blocks in enumerate((1, 2, 2, 6, 5), 1) for b in range(blocks)
         for kind in ('expand', 'depthwise', 'linear')
         if (s, b, kind) != (1, 0, 'expand')} | {'layers.6.conv'},
    ),
    'EfficientNet-EdgeTPU': (
        'mmpretrain',
        dict(type='EfficientNet', arch='es', out_indices=(2,)),
        'EfficientNet',
        {f'layers.{s}.{b}.conv{c}.conv'
         for s, blocks in enumerate((1, 2, 4), 1) for b in range(blocks)
         for c in (1, 2)}
        | {f'layers.{s}.{b}.{kind}_conv.conv'
           for s, blocks in ((4, 9), (5, 2)) for b in range(blocks)
           for kind in ('expand', 'depthwise', 'linear')}
        | {'layers.6.conv'},
    ),
    'EfficientNetV2': (
        'mmpretrain',
        dict(type='EfficientNetV2', arch='s', out_indices=(3,)),
        'EfficientNetV2',
        {f'layers.1.{b}.conv' for b in range(2)}
        | {f'layers.{s}.{b}.conv{c}.conv' for s in (2, 3) for b in range(4)
           for c in (1, 2)}
        | {f'layers.{s}.{b}.{kind}_conv.conv'
           for s, blocks in ((4, 6), (5, 9), (6, 15)) for b in range(blocks)
           for kind in ('expand', 'depthwise', 'linear')}
        | {'layers.7.conv'},
    ),
    'ShuffleNetV1': (
        'mmpretrain',
        dict(type='ShuffleNetV1', widen_factor=0.5),
        'ShuffleNetV1',
        {f'layers.{s}.{b}.{c}.conv' for s, blocks in enumerate((4, 8, 4))
         for b in range(blocks)
         for c in ('g_conv_1x1_compress', 'depthwise_conv3x3_bn',
                   'g_conv_1x1_expand')},
    ),
    'ShuffleNetV2': (
        'mmpretrain',
        dict(type='ShuffleNetV2', widen_factor=0.5),
        'ShuffleNetV2',
        {f'layers.{s}.{b}.branch2.{i}.conv'
         for s, blocks in enumerate((4, 8, 4)) for b in range(blocks)
         for i in range(3)}
        | {f'layers.{s}.0.branch1.{i}.conv' for s in range(3) for i in (0, 1)}
        | {'layers.3.conv'},
    ),
    'VGG': (
        'mmpretrain',
        dict(type='VGG', depth=11),
        'VGG',
        {f'features.{i}.conv' for i in (2, 4, 5, 7, 8, 10, 11)},
    ),
    'SSDVGG': (
        'mmdet',
        dict(type='SSDVGG', depth=11, input_size=300),
        'VGG',
        {f'features.{i}' for i in (3, 6, 8, 11, 13, 16, 18, 21, 23)},
    ),
    'DenseNet': (
        'mmpretrain',
        dict(type='DenseNet', arch=dict(growth_rate=8, depths=[1, 2],
                                        init_channels=16)),
        'DenseNet',
        {f'stages.{s}.block.{b}.conv{c}'
         for s, b in ((0, 0), (1, 0), (1, 1)) for c in (1, 2)},
    ),
    'Darknet': (
        'mmdet',
        dict(type='Darknet'),
        'Darknet',
        {f'conv_res_block{s}.res{b}.conv{c}.conv'
         for s, blocks in enumerate((1, 2, 8, 8, 4), 1) for b in range(blocks)
         for c in (1, 2)},
    ),
    'CSPDarknet': (
        'mmdet',
        dict(type='CSPDarknet', deepen_factor=0.33, widen_factor=0.25),
        'CSPDarknet',
        {f'stage{s}.{i}.blocks.{b}.conv{c}.conv'
         for s, i, blocks in ((1, 1, 1), (2, 1, 3), (3, 1, 3), (4, 2, 1))
         for b in range(blocks) for c in (1, 2)},
    ),
    'CSPNeXt': (
        'mmdet',
        dict(type='CSPNeXt', deepen_factor=0.33, widen_factor=0.25),
        'CSPNeXt',
        {f'stage{s}.{i}.blocks.{b}.{c}.conv'
         for s, i, blocks in ((1, 1, 1), (2, 1, 2), (3, 1, 2), (4, 2, 1))
         for b in range(blocks)
         for c in ('conv1', 'conv2.depthwise_conv', 'conv2.pointwise_conv')},
    ),
    'CSPNet': (
        'mmpretrain',
        dict(type='CSPResNet', depth=50),
        'CSPNet',
        {f'stages.{s}.blocks.{b}.conv{c}'
         for s, blocks in enumerate((3, 3, 5, 2)) for b in range(blocks)
         for c in (1, 2, 3)},
    ),
    'RepVGG': (
        'mmpretrain',
        dict(type='RepVGG', arch='A0', deploy=True),
        'RepVGG',
        {f'stage_{s}.{b}.branch_reparam'
         for s, blocks in enumerate((2, 4, 14, 1), 1) for b in range(blocks)},
    ),
    'MobileOne': (
        'mmpretrain',
        dict(type='MobileOne', arch='s0', deploy=True),
        'MobileOne',
        {f'stage{s}.{b}.branch_reparam'
         for s, blocks in enumerate((4, 16, 20, 2), 1) for b in range(blocks)},
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
        ('efficientnet_b0', r'blocks\.\d\.\d\.conv_(dw|pw|pwl)'),
        ('tf_efficientnet_lite0', r'blocks\.\d\.\d\.conv_(dw|pw|pwl)'),
        (
            'efficientnetv2_rw_t',
            r'blocks\.\d\.\d+\.conv(_(dw|pw|pwl|exp))?',
        ),
        ('regnety_002', r's\d\.b\d+\.conv\d\.conv'),
        ('vgg11', r'features_[1-9]\d?'),
        (
            'densenet121',
            r'features_denseblock\d\.denselayer\d+\.conv\d',
        ),
        ('dla34', r'level\d\.(tree\d\.)+conv\d'),
        ('cspdarknet53', r'stages_\d\.blocks\.\d\.conv\d\.conv'),
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
    assert len(chosen) >= 7
