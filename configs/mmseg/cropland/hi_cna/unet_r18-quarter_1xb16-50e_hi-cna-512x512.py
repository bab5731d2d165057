_base_ = [
    '../../../_base_/recipes/cropland_hi_cna.py',
    '../../../_base_/models/unet_r18-quarter.py',
]

# The pipeline has normalised the four bands.
model = dict(
    data_preprocessor=dict(mean=None, std=None, bgr_to_rgb=False),
    backbone=dict(in_channels=4),
    decode_head=dict(
        num_classes=2,
        out_channels=1,
        threshold=0.5,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=True),
    ),
)
