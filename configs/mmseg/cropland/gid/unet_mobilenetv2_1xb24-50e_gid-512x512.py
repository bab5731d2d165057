_base_ = [
    '../../../_base_/recipes/cropland_gid.py',
    '../../../_base_/models/unet_mobilenetv2.py',
]
custom_imports = dict(
    imports=['mmpretrain.models', 'mmfdconv'], allow_failed_imports=False
)

model = dict(
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        size=(512, 512),
    ),
    decode_head=dict(num_classes=6),
)
