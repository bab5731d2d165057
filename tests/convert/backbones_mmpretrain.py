"""mmpretrain's backbones in small settings."""

from .backbones import CONVS, HRNET, LAYERS, ONE_BLOCK, Case

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


def narrow(by, stages=None):
    """Return what makes CSPNet's settings narrow, with one block a stage."""

    def narrowed(settings):
        small = {}
        for depth, stock in settings.items():
            small[depth] = dict(
                stock,
                in_channels=tuple(c // by for c in stock['in_channels']),
                out_channels=tuple(c // by for c in stock['out_channels']),
                num_blocks=(1,) * len(stock['num_blocks']),
            )
            for key, value in small[depth].items():
                if isinstance(value, (tuple, list)):
                    small[depth][key] = value[:stages]
        return small

    return narrowed


MMPRETRAIN = {
    'AlexNet': Case(size=96, rule=CONVS),
    'CSPDarkNet': Case(
        dict(depth=53, out_indices=(2, 3, 4)),
        class_attrs=dict(arch_settings=narrow(8)),
    ),
    'CSPResNeXt': Case(
        dict(depth=50, out_indices=(0, 1)),
        class_attrs=dict(arch_settings=narrow(1, stages=2)),
    ),
    'CSPResNet': Case(
        dict(depth=50),
        class_attrs=dict(arch_settings=narrow(8)),
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
    'DenseNet': Case(
        dict(arch=dict(growth_rate=8, depths=[1, 2, 2, 1], init_channels=16)),
    ),
    'EfficientNet': Case(dict(arch='b0')),
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
    ),
    'HRNet': Case(dict(extra=HRNET)),
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
    # The widths of these and of VGG are fixed; a few layers will do.
    'InceptionV3': Case(
        size=112,
        rule=dict(patterns={r'Mixed_(5b|6b)\..*': True}, otherwise=False),
        costly='its widths are fixed',
    ),
    'LeNet5': Case(size=32, channels=1, rule=CONVS),
    'MobileNetV2': Case(dict(widen_factor=0.5)),
    'MobileNetV3': Case(dict(arch='small_050')),
    'MobileOne': Case(
        dict(
            arch=dict(
                num_blocks=[1, 1, 1, 1],
                width_factor=[0.25, 0.25, 0.25, 0.25],
                num_conv_branches=[2, 2, 2, 2],
                num_se_blocks=[0, 0, 1, 1],
            ),
            deploy=True,  # what is trained is merged, and stays
        ),
    ),
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
            deploy=True,  # what is trained is merged, and stays
        ),
    ),
    'Res2Net': Case(dict(_R50, base_width=8, scales=4), class_attrs=ONE_BLOCK),
    'ResNeSt': Case(_R50, class_attrs=ONE_BLOCK),
    'ResNeXt': Case(
        dict(_R50, groups=4, width_per_group=16), class_attrs=ONE_BLOCK
    ),
    'ResNet': Case(_R50, class_attrs=ONE_BLOCK),
    'ResNetV1c': Case(_R50, class_attrs=ONE_BLOCK),
    'ResNetV1d': Case(_R50, class_attrs=ONE_BLOCK),
    'ResNet_CIFAR': Case(
        dict(depth=18, base_channels=8, stem_channels=8), size=32
    ),
    'SEResNeXt': Case(
        dict(_R50, groups=4, width_per_group=16), class_attrs=ONE_BLOCK
    ),
    'SEResNet': Case(dict(_R50), class_attrs=ONE_BLOCK),
    'ShuffleNetV1': Case(dict(groups=3, widen_factor=0.5)),
    'ShuffleNetV2': Case(dict(widen_factor=0.5)),
    'SparseConvNeXt': Case(
        absent='runs inside SparK, which says what of an image it sees',
    ),
    'SparseResNet': Case(
        dict(_R50, norm_cfg=dict(type='SparseBatchNorm2d')),
        refused='SparseConv2d computes more than a convolution',
    ),
    'TIMMBackbone': Case(
        dict(model_name='test_vit', img_size=64),
        needs='timm',
    ),
    'VAN': Case(
        dict(
            arch=dict(_PYRAMID, ffn_ratios=[2, 2, 2, 2]),
            out_indices=_ALL,
        ),
        rule=CONVS,
    ),
    'VGG': Case(
        dict(depth=11, norm_cfg=dict(type='BN')),
        rule=dict(patterns={r'features\.[3-9]\.conv': True}, otherwise=False),
        costly='its widths are fixed',
    ),
    'Vig': Case(
        dict(arch='small', k=4),
        class_attrs=dict(
            arch_settings=dict(small=dict(num_blocks=2, channels=32))
        ),
        size=224,
        rule=CONVS,
    ),
}
