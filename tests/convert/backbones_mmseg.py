"""mmseg's backbones in small settings."""

from .backbones import CONVS, HRNET, LAYERS, ONE_BLOCK, Case

_R50 = dict(depth=50, base_channels=8, stem_channels=8)
_TINY = dict(
    img_size=64,
    patch_size=16,
    embed_dims=32,
    num_layers=2,
    num_heads=2,
)
_BN = dict(type='BN')
_STDC = dict(
    type='mmseg.STDCNet',
    stdc_type='STDCNet1',
    in_channels=3,
    channels=(8, 16, 32, 64, 128),
    bottleneck_type='cat',
    num_convs=4,
    norm_cfg=_BN,
    act_cfg=dict(type='ReLU'),
)

MMSEG = {
    'BEiT': Case(dict(_TINY)),
    'BiSeNetV1': Case(
        dict(
            backbone_cfg=dict(type='mmseg.ResNet', depth=18, base_channels=16),
            spatial_channels=(16, 16, 16, 32),
            context_channels=(32, 64, 128),
            out_channels=64,
        ),
    ),
    'BiSeNetV2': Case(
        dict(
            detail_channels=(16, 16, 32),
            semantic_channels=(8, 16, 16, 32),
            bga_channels=32,
        ),
        size=128,
        rule=CONVS,
    ),
    'CGNet': Case(
        dict(num_channels=(16, 32, 64), num_blocks=(2, 2)), rule=LAYERS
    ),
    'DDRNet': Case(dict(channels=8, ppm_channels=16), size=128, rule=CONVS),
    'DeconvModule': Case(
        absent='an upsampling module of UNet, not a backbone',
    ),
    'ERFNet': Case(
        dict(
            enc_downsample_channels=(8, 16, 32),
            enc_stage_non_bottlenecks=(1, 2),
            enc_non_bottleneck_dilations=(2, 4),
            enc_non_bottleneck_channels=(16, 32),
            dec_upsample_channels=(16, 8),
            dec_stages_non_bottleneck=(1, 1),
            dec_non_bottleneck_channels=(16, 8),
        ),
        rule=CONVS,
    ),
    'FastSCNN': Case(
        dict(
            downsample_dw_channels=(16, 16),
            global_in_channels=16,
            global_block_channels=(16, 16, 32),
            global_out_channels=32,
            higher_in_channels=16,
            lower_in_channels=32,
            fusion_out_channels=32,
        ),
        size=128,
        rule=CONVS,
    ),
    'HRNet': Case(dict(extra=HRNET)),
    'ICNet': Case(
        dict(
            backbone_cfg=dict(
                type='mmseg.ResNetV1c',
                depth=50,
                base_channels=8,
                stem_channels=8,
                dilations=(1, 1, 2, 4),
                strides=(1, 2, 1, 1),
                contract_dilation=True,
            ),
            layer_channels=(64, 256),
            light_branch_middle_channels=16,
            psp_out_channels=32,
            out_channels=(16, 32, 32),
        ),
        size=128,
    ),
    'InterpConv': Case(
        absent='an upsampling module of UNet, not a backbone',
    ),
    'MAE': Case(dict(_TINY)),
    'MSCAN': Case(
        dict(embed_dims=[16, 16, 32, 32], depths=[1, 1, 1, 1], norm_cfg=_BN),
    ),
    'MixVisionTransformer': Case(
        dict(embed_dims=16, num_layers=[1, 1, 1, 1], num_heads=[1, 1, 2, 2]),
        core=True,
    ),
    'MobileNetV2': Case(dict(widen_factor=0.5)),
    'MobileNetV3': Case(dict(arch='small')),
    'PCPVT': Case(dict(embed_dims=[16, 16, 32, 32], depths=[1, 1, 1, 1])),
    'PIDNet': Case(
        dict(channels=8, ppm_channels=16, num_branch_blocks=1),
        size=128,
        rule=CONVS,
    ),
    'ResNeSt': Case(
        dict(_R50, groups=1, base_width=4, radix=2), class_attrs=ONE_BLOCK
    ),
    'ResNeXt': Case(dict(_R50, groups=4, base_width=4), class_attrs=ONE_BLOCK),
    'ResNet': Case(dict(_R50), class_attrs=ONE_BLOCK),
    'ResNetV1c': Case(
        dict(_R50, dilations=(1, 1, 2, 4), strides=(1, 2, 1, 1)),
        class_attrs=ONE_BLOCK,
    ),
    'ResNetV1d': Case(dict(_R50), class_attrs=ONE_BLOCK),
    'STDCContextPathNet': Case(
        dict(
            backbone_cfg=_STDC,
            last_in_channels=(128, 64),
            out_channels=32,
            ffm_cfg=dict(in_channels=64, out_channels=32, scale_factor=4),
        ),
        rule=CONVS,
    ),
    'STDCNet': Case(
        {k: v for k, v in _STDC.items() if k != 'type'}, rule=CONVS
    ),
    'SVT': Case(
        dict(
            embed_dims=[16, 32, 32],
            num_heads=[1, 2, 2],
            depths=[2, 2, 2],
            windiow_sizes=[4, 4, 4],
        ),
    ),
    'SwinTransformer': Case(
        dict(
            embed_dims=32,
            depths=(1, 1, 2, 1),
            num_heads=(1, 2, 2, 4),
            window_size=4,
        )
    ),
    'TIMMBackbone': Case(
        dict(model_name='test_efficientnet', pretrained=False),
        needs='timm',
    ),
    'UNet': Case(
        dict(
            base_channels=16,
            num_stages=3,
            strides=(1, 1, 1),
            enc_num_convs=(2, 2, 2),
            dec_num_convs=(2, 2),
            downsamples=(True, True),
            enc_dilations=(1, 1, 1),
            dec_dilations=(1, 1),
        )
    ),
    'VPD': Case(
        absent='wraps a Stable Diffusion model, which is downloaded',
    ),
    'VisionTransformer': Case(dict(_TINY)),
}
