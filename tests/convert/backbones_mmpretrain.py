"""mmpretrain's backbones in small settings."""

from .backbones import CONVS, LAYERS, Case

_R50 = dict(depth=50, base_channels=8, stem_channels=8)
_VIT = dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64)
_VIT64 = dict(arch=_VIT, img_size=64, out_type='featmap')
_PYRAMID = dict(depths=[1, 1, 1, 1], embed_dims=[16, 16, 32, 32])
_TWINS = dict(
    _PYRAMID,
    num_heads=[1, 1, 2, 2],
    patch_sizes=[4, 2, 2, 2],
    strides=[4, 2, 2, 2],
    mlp_ratios=[2, 2, 2, 2],
    sr_ratios=[4, 2, 2, 1],
)
_ALL = (0, 1, 2, 3)


def narrow(by):
    """Return what divides the widths of CSPNet's settings."""

    def narrowed(settings):
        return {
            depth: dict(
                stock,
                in_channels=tuple(c // by for c in stock['in_channels']),
                out_channels=tuple(c // by for c in stock['out_channels']),
            )
            for depth, stock in settings.items()
        }

    return narrowed


_BRANCHES = [
    dict(
        num_modules=1,
        num_branches=n,
        block='BOTTLENECK' if n == 1 else 'BASIC',
        num_blocks=(1,) * n,
        num_channels=(16, 32, 64, 128)[:n],
    )
    for n in (1, 2, 3, 4)
]

MMPRETRAIN = {
    'AlexNet': Case(size=96, rule=CONVS),
    'BEiTViT': Case(dict(_VIT64), rule=LAYERS),
    'CSPDarkNet': Case(
        dict(depth=53, out_indices=(2, 3, 4)),
        class_attrs=dict(arch_settings=narrow(8)),
        rule=CONVS,
    ),
    'CSPResNeXt': Case(
        dict(depth=50),
        class_attrs=dict(arch_settings=narrow(2)),
        rule=CONVS,
    ),
    'CSPResNet': Case(
        dict(depth=50),
        class_attrs=dict(arch_settings=narrow(8)),
        rule=CONVS,
    ),
    'Conformer': Case(
        dict(
            arch=dict(embed_dims=32, depths=6, num_heads=2, channel_ratio=1),
            base_channels=16,
        ),
        rule=LAYERS,
    ),
    'ConvMixer': Case(
        dict(arch=dict(embed_dims=32, depth=2, patch_size=4, kernel_size=5)),
        rule=CONVS,
    ),
    'ConvNeXt': Case(
        dict(
            arch=dict(depths=[1, 1, 2, 1], channels=[16, 16, 32, 32]),
            out_indices=_ALL,
            gap_before_final_norm=False,
        ),
        core=True,
    ),
    'DaViT': Case(
        dict(
            arch=dict(
                embed_dims=16, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2]
            ),
            window_size=4,
            pad_small_map=True,
            out_indices=_ALL,
        ),
        rule=LAYERS,
    ),
    'DeiT3': Case(dict(_VIT64)),
    'DenseNet': Case(
        dict(arch=dict(growth_rate=8, depths=[1, 2, 2, 1], init_channels=16)),
        rule=CONVS,
    ),
    'DistilledVisionTransformer': Case(
        dict(arch=_VIT, img_size=64, out_type='cls_token')
    ),
    'EdgeNeXt': Case(
        dict(
            arch=dict(
                channels=[16, 16, 32, 32],
                depths=[1, 2, 2, 2],
                num_heads=[2, 2, 2, 2],
            ),
            out_indices=_ALL,
            gap_before_final_norm=False,
        ),
        rule=LAYERS,
    ),
    'EfficientFormer': Case(
        dict(
            arch=dict(
                layers=[1, 1, 1, 2],
                embed_dims=[16, 16, 32, 32],
                downsamples=[False, True, True, True],
                vit_num=1,
            ),
        ),
        size=224,
        rule=LAYERS,
    ),
    'EfficientNet': Case(dict(arch='b0'), rule=CONVS),
    'EfficientNetV2': Case(
        dict(arch='tiny'),
        class_attrs=dict(
            arch_settings={
                'tiny': [
                    [1, 3, 1, 1, 16, 16, 0, 1],
                    [1, 3, 2, 4, 16, 16, 0, 0],
                    [1, 3, 2, 4, 16, 32, 0.25, 2],
                    [1, 1, 1, 1, 32, 64, 0, -2],
                ]
            }
        ),
        rule=CONVS,
    ),
    'HRNet': Case(
        dict(
            extra={f'stage{i + 1}': s for i, s in enumerate(_BRANCHES)},
        )
    ),
    'HiViT': Case(
        dict(
            arch=dict(embed_dims=64, depths=[1, 1, 8], num_heads=2),
            img_size=64,
            out_indices=[7],
        ),
        rule=LAYERS,
    ),
    'HorNet': Case(
        dict(
            arch=dict(
                base_dim=16,
                depths=[1, 1, 1, 1],
                orders=[2, 2, 3, 3],
                dw_cfg=[
                    dict(type='DW', kernel_size=7),
                    dict(type='DW', kernel_size=7),
                    dict(type='GF', h=14, w=8),
                    dict(type='GF', h=7, w=4),
                ],
            ),
        ),
        size=224,
        rule=LAYERS,
    ),
    'InceptionV3': Case(size=112, rule=LAYERS),
    'LeNet5': Case(size=32, channels=1, rule=CONVS),
    'LeViT': Case(
        dict(arch='tiny', img_size=64),
        class_attrs=dict(
            arch_zoo=dict(
                tiny=dict(
                    embed_dims=[32, 32, 32],
                    num_heads=[2, 2, 2],
                    depths=[1, 1, 1],
                    key_dims=[8, 8, 8],
                )
            )
        ),
        rule=LAYERS,
    ),
    'MViT': Case(
        dict(
            arch=dict(
                embed_dims=32,
                num_layers=3,
                num_heads=1,
                downscale_indices=[1, 2],
            ),
            img_size=64,
        ),
        rule=LAYERS,
    ),
    'MixMIMTransformer': Case(
        dict(
            arch=dict(
                embed_dims=16, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2]
            ),
            img_size=64,
            window_size=[4, 4, 4, 2],
        ),
        rule=LAYERS,
    ),
    'MlpMixer': Case(
        dict(
            arch=dict(
                embed_dims=32,
                num_layers=2,
                tokens_mlp_dims=16,
                channels_mlp_dims=64,
            ),
            img_size=64,
        ),
        core=True,
        rule=LAYERS,
    ),
    'MobileNetV2': Case(dict(widen_factor=0.5)),
    'MobileNetV3': Case(dict(arch='small_050')),
    'MobileOne': Case(
        dict(
            arch=dict(
                num_blocks=[1, 1, 1, 1],
                width_factor=[0.25, 0.25, 0.25, 0.25],
                num_conv_branches=[2, 2, 2, 2],
                num_se_blocks=[0, 0, 1, 1],
            )
        ),
        rule=CONVS,
    ),
    'MobileViT': Case(dict(arch='xx_small'), rule=LAYERS),
    'PCPVT': Case(dict(arch=_TWINS), rule=LAYERS),
    'PoolFormer': Case(
        dict(
            arch=dict(
                layers=[1, 1, 1, 1],
                embed_dims=[16, 24, 32, 40],
                mlp_ratios=[2, 2, 2, 2],
                layer_scale_init_value=1e-5,
            ),
            out_indices=(0, 2, 4, 6),
        ),
        rule=CONVS,
    ),
    'PyramidVig': Case(
        dict(arch='small', k=4),
        class_attrs=dict(
            arch_settings=dict(
                small=dict(blocks=[1, 1, 1, 1], channels=[16, 16, 32, 32])
            )
        ),
        size=224,
        rule=CONVS,
    ),
    'RIFormer': Case(
        dict(
            arch=dict(
                layers=[1, 1, 1, 1],
                embed_dims=[16, 24, 32, 40],
                mlp_ratios=[2, 2, 2, 2],
                layer_scale_init_value=1e-5,
            ),
            out_indices=(0, 2, 4, 6),
        ),
        rule=CONVS,
    ),
    'RegNet': Case(
        dict(
            arch=dict(w0=16, wa=16.0, wm=2.0, group_w=8, depth=6, bot_mul=1.0),
            stem_channels=8,
        )
    ),
    'RepLKNet': Case(
        dict(
            arch=dict(
                large_kernel_sizes=[13, 11, 9, 7],
                layers=[1, 1, 1, 1],
                channels=[16, 16, 32, 32],
                small_kernel=3,
                dw_ratio=1,
            ),
            drop_path_rate=0.0,
        ),
        rule=CONVS,
    ),
    'RepMLPNet': Case(
        dict(
            arch=dict(
                channels=[16, 32, 32, 64],
                depths=[1, 1, 1, 1],
                sharesets_nums=[1, 4, 4, 4],
            ),
            img_size=64,
            reparam_conv_kernels=(1,),
        ),
        rule=CONVS,
    ),
    'RepVGG': Case(
        dict(
            arch=dict(
                num_blocks=[1, 1, 1, 1],
                width_factor=[0.25, 0.25, 0.25, 0.25],
                group_layer_map=None,
                se_cfg=None,
            ),
        ),
        rule=CONVS,
    ),
    'Res2Net': Case(dict(_R50, base_width=26, scales=4)),
    'ResNeSt': Case(_R50),
    'ResNeXt': Case(dict(_R50, groups=4, width_per_group=16)),
    'ResNet': Case(_R50),
    'ResNetV1c': Case(_R50),
    'ResNetV1d': Case(_R50),
    'ResNet_CIFAR': Case(
        dict(depth=18, base_channels=8, stem_channels=8), size=32
    ),
    'RevVisionTransformer': Case(dict(arch=_VIT, img_size=64), rule=LAYERS),
    'SEResNeXt': Case(dict(_R50, groups=4, width_per_group=16)),
    'SEResNet': Case(dict(_R50)),
    'SVT': Case(
        dict(arch=dict(_TWINS, window_sizes=[4, 4, 4, 4])), rule=LAYERS
    ),
    'ShuffleNetV1': Case(dict(groups=3, widen_factor=0.5), rule=CONVS),
    'ShuffleNetV2': Case(dict(widen_factor=0.5), rule=CONVS),
    'SparseConvNeXt': Case(
        absent='runs inside SparK, which says what of an image it sees',
    ),
    'SparseResNet': Case(
        dict(_R50, norm_cfg=dict(type='SparseBatchNorm2d')),
        refused='SparseConv2d computes more than a convolution',
    ),
    'SwinTransformer': Case(
        dict(
            arch=dict(
                embed_dims=32, depths=[1, 1, 2, 1], num_heads=[1, 2, 2, 4]
            ),
            img_size=64,
            window_size=4,
            pad_small_map=True,
            out_indices=_ALL,
        )
    ),
    'SwinTransformerV2': Case(
        dict(
            arch=dict(
                embed_dims=32,
                depths=[1, 1, 2, 1],
                num_heads=[1, 2, 2, 4],
                extra_norm_every_n_blocks=0,
            ),
            img_size=64,
            window_size=[4, 4, 4, 2],
        )
    ),
    'T2T_ViT': Case(
        dict(
            img_size=64,
            embed_dims=32,
            num_layers=2,
            t2t_cfg=dict(token_dims=16, use_performer=False),
            layer_cfgs=dict(num_heads=2, feedforward_channels=64),
        ),
        rule=LAYERS,
    ),
    'TIMMBackbone': Case(
        dict(model_name='resnet18', features_only=True),
        needs='timm',
    ),
    'TNT': Case(
        dict(
            arch=dict(
                embed_dims_outer=32,
                embed_dims_inner=16,
                num_layers=2,
                num_heads_outer=2,
                num_heads_inner=2,
            ),
            img_size=64,
        ),
        rule=LAYERS,
    ),
    'TinyViT': Case(
        dict(
            arch=dict(
                channels=[16, 16, 32, 32],
                num_heads=[1, 1, 2, 2],
                depths=[1, 1, 1, 1],
            ),
            img_size=(64, 64),
            window_size=[4, 4, 4, 2],
        ),
        rule=LAYERS,
    ),
    'VAN': Case(
        dict(
            arch=dict(_PYRAMID, ffn_ratios=[2, 2, 2, 2]),
            out_indices=_ALL,
        ),
        rule=CONVS,
    ),
    'VGG': Case(dict(depth=11, norm_cfg=dict(type='BN')), rule=CONVS),
    'ViTEVA02': Case(dict(_VIT64)),
    'ViTSAM': Case(
        dict(
            arch=dict(_VIT, global_attn_indexes=[1]),
            img_size=64,
            window_size=2,
            out_channels=16,
        ),
        rule=LAYERS,
    ),
    'Vig': Case(
        dict(arch='small', k=4),
        class_attrs=dict(
            arch_settings=dict(small=dict(num_blocks=2, channels=32))
        ),
        size=224,
        rule=CONVS,
    ),
    'VisionTransformer': Case(dict(_VIT64), core=True),
    'XCiT': Case(
        dict(
            img_size=64,
            embed_dims=32,
            depth=2,
            cls_attn_layers=1,
            num_heads=2,
        ),
        rule=LAYERS,
    ),
}
