_base_ = [
    '../../../_base_/recipes/cropland_hi_cna.py',
    '../../../_base_/models/unet_mobilenetv2.py',
]
custom_imports = dict(
    imports=['mmpretrain.models', 'mmfdconv'], allow_failed_imports=False
)

# The pipeline has normalised the four bands.
model = dict(
    data_preprocessor=dict(mean=None, std=None, bgr_to_rgb=False),
    backbone=dict(type='MultibandMobileNetV2', in_channels=4),
    decode_head=dict(
        num_classes=2,
        out_channels=1,
        threshold=0.5,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=True),
    ),
)
