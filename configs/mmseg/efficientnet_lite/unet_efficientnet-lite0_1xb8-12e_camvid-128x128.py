# CamVid at half its size, 240x180, and half the epochs: a model trains on one
# CPU core in minutes. Scores are those of the labels at full size.
_base_ = ['./unet_efficientnet-lite0_1xb8-24e_camvid-256x256.py']

crop_size = (128, 128)
half = dict(type='Resize', scale=(240, 180), keep_ratio=True)
# Poles, signs and people are few pixels. Without weights five classes are
# never predicted, so a class weighs the median of the classes' frequencies
# over its own, as in SegNet, in the 367 training labels.
model = dict(
    data_preprocessor=dict(size=crop_size),
    decode_head=dict(
        loss_decode=dict(
            class_weight=[
                *[0.279, 0.202, 4.789, 0.149, 1.0, 0.424],
                *[3.846, 1.98, 0.789, 6.385, 8.819],
            ]
        )
    ),
)
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations'),
            half,
            dict(type='RandomCrop', crop_size=crop_size, cat_max_ratio=0.75),
            dict(type='RandomFlip', prob=0.5),
            dict(type='PhotoMetricDistortion'),
            dict(type='PackSegInputs'),
        ],
    )
)
val_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='LoadImageFromFile'),
            half,
            dict(type='LoadAnnotations'),
            dict(type='PackSegInputs'),
        ],
    )
)
test_dataloader = val_dataloader
optim_wrapper = dict(optimizer=dict(lr=4e-3))
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=0.01,
        begin=0,
        end=1,
        convert_to_iter_based=True,
    ),
    dict(
        type='CosineAnnealingLR',
        begin=1,
        end=12,
        eta_min=0.0,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(max_epochs=12, val_interval=6)
