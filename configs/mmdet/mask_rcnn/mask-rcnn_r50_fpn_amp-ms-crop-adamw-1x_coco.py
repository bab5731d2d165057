_base_ = ['mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py']
custom_imports = dict(imports=['mmfdconv'], allow_failed_imports=False)

# Multi-scale resize, half of the time after a crop, as in DETR and
# Sparse R-CNN.
resize = dict(
    type='RandomChoiceResize',
    scales=[(short, 1333) for short in range(480, 801, 32)],
    keep_ratio=True,
)
resize_before_crop = dict(
    type='RandomChoiceResize',
    scales=[(400, 1333), (500, 1333), (600, 1333)],
    keep_ratio=True,
)
crop = dict(
    type='RandomCrop',
    crop_type='absolute_range',
    crop_size=(384, 600),
    allow_negative_crop=True,
)
train_pipeline = [
    dict(type='LoadImageFromFile', backend_args={{_base_.backend_args}}),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='RandomFlip', prob=0.5),
    dict(
        type='RandomChoice',
        transforms=[[resize], [resize_before_crop, crop, resize]],
    ),
    dict(type='PackDetInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

# float16 with dynamic loss scale on an accelerator, float32 (with a warning)
# on a machine without one.
optim_wrapper = dict(
    type='AutoAmpOptimWrapper',
    loss_scale='dynamic',
    paramwise_cfg=dict(norm_decay_mult=0.0),
    optimizer=dict(
        _delete_=True,
        type='AdamW',
        lr=1e-4,
        betas=(0.9, 0.999),
        weight_decay=0.05,
    ),
)
param_scheduler = [
    _base_.param_scheduler[0],  # the stock linear warm-up
    dict(
        type='MultiStepLR',
        begin=0,
        end=12,
        by_epoch=True,
        milestones=[10, 11],
        gamma=0.1,
    ),
]
