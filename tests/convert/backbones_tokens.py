"""mmpretrain's backbones that work on tokens, in small settings."""

from .backbones import LAYERS, Case

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

TOKENS = {
    'BEiTViT': Case(dict(_VIT64)),
    'Conformer': Case(
        dict(
            arch=dict(embed_dims=32, depths=6, num_heads=2, channel_ratio=1),
            base_channels=16,
        ),
        rule=LAYERS,
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
    'HiViT': Case(
        dict(
            arch=dict(embed_dims=64, depths=[1, 1, 8], num_heads=2),
            img_size=64,
            out_indices=[7],
        ),
        rule=LAYERS,
    ),
    'LeViT': Case(
        # Undeployed, all of its layers are merged with a batch norm.
        dict(arch='tiny', img_size=64, deploy=True),
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
    'MobileViT': Case(
        dict(
            arch=[
                ['mobilenetv2', 16, 1, 1, 2],
                ['mobilenetv2', 24, 2, 1, 2],
                ['mobilevit', 48, 2, 32, 64, 2, 2],
                ['mobilenetv2', 48, 2, 1, 2],
                ['mobilevit', 64, 2, 32, 64, 2, 2],
            ]
        ),
        rule=LAYERS,
    ),
    'PCPVT': Case(dict(arch=_TWINS)),
    'RevVisionTransformer': Case(dict(arch=_VIT, img_size=64)),
    'SVT': Case(dict(arch=dict(_TWINS, window_sizes=[4, 4, 4, 4]))),
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
    'ViTEVA02': Case(dict(_VIT64)),
    'ViTSAM': Case(
        dict(
            arch=dict(_VIT, global_attn_indexes=[1]),
            img_size=64,
            window_size=2,
            out_channels=16,
        ),
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
