"""mmdet's backbones in small settings."""

from .backbones import CONVS, HRNET, ONE_BLOCK, Case

_R50 = dict(depth=50, base_channels=8, stem_channels=8)
_PVT = dict(embed_dims=16, num_layers=[1, 1, 1, 1], num_heads=[1, 1, 2, 2])

MMDET = {
    'CSPDarknet': Case(
        dict(deepen_factor=0.33, widen_factor=0.25),
    ),
    'CSPNeXt': Case(dict(deepen_factor=0.33, widen_factor=0.25)),
    'Darknet': Case(
        dict(depth=53),
        class_attrs=dict(
            arch_settings={
                53: (
                    (1, 1, 1, 1, 1),
                    ((32, 16), (16, 16), (16, 32), (32, 32), (32, 64)),
                )
            }
        ),
    ),
    'DetectoRS_ResNeXt': Case(
        dict(
            _R50,
            groups=4,
            base_width=4,
            conv_cfg=dict(type='ConvAWS'),
            sac=dict(type='SAC', use_deform=False),
            stage_with_sac=(False, True, True, True),
            output_img=True,
        ),
        size=128,
        refused='ConvAWS2d computes more than a convolution',
        class_attrs=ONE_BLOCK,
    ),
    'DetectoRS_ResNet': Case(
        dict(_R50, output_img=True), class_attrs=ONE_BLOCK
    ),
    'EfficientNet': Case(dict(arch='b0', out_indices=(3, 4, 5))),
    'HRNet': Case(dict(extra=HRNET)),
    'HourglassNet': Case(
        dict(
            downsample_times=2,
            num_stacks=2,
            stage_channels=(16, 16, 24),
            stage_blocks=(1, 1, 1),
            feat_channel=16,
        ),
        rule=CONVS,
    ),
    'MobileNetV2': Case(dict(widen_factor=0.5)),
    'PyramidVisionTransformer': Case(_PVT),
    'PyramidVisionTransformerV2': Case(_PVT),
    'RegNet': Case(
        dict(
            arch=dict(w0=16, wa=16.0, wm=2.0, group_w=8, depth=6, bot_mul=1.0),
            stem_channels=8,
        )
    ),
    'Res2Net': Case(
        dict(_R50, base_width=26, scales=4), class_attrs=ONE_BLOCK
    ),
    'ResNeSt': Case(
        dict(_R50, groups=1, base_width=4, radix=2), class_attrs=ONE_BLOCK
    ),
    'ResNeXt': Case(dict(_R50, groups=4, base_width=4), class_attrs=ONE_BLOCK),
    'ResNet': Case(
        dict(_R50, frozen_stages=1), core=True, class_attrs=ONE_BLOCK
    ),
    'ResNetV1d': Case(_R50, class_attrs=ONE_BLOCK),
    # Its widths are fixed; a few layers will do.
    'SSDVGG': Case(
        dict(depth=11, input_size=300),
        size=96,
        rule=dict(patterns={r'features\.[3-9]': True}, otherwise=False),
        costly='its widths are fixed',
    ),
    'SwinTransformer': Case(
        dict(
            embed_dims=32,
            depths=(1, 1, 2, 1),
            num_heads=(1, 2, 2, 4),
            window_size=4,
        ),
        core=True,
    ),
    'TridentResNet': Case(
        dict(
            _R50,
            num_stages=3,
            strides=(1, 2, 2),
            dilations=(1, 1, 1),
            trident_dilations=(1, 2, 3),
            num_branch=3,
            test_branch_idx=1,
            out_indices=(2,),
        ),
        redraw=r'layer3\.\d+\.conv2\.weight',
        class_attrs=ONE_BLOCK,
    ),
}
