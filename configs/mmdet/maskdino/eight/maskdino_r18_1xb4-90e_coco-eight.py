# Can the model learn at all? Eight images, from scratch, on a CPU; it is
# validated on the images that it has seen, by their places in the annotations.
_base_ = ['../maskdino_r50_8xb2-lsj-50e_coco.py']

model = dict(
    data_preprocessor=dict(batch_augments=None),
    backbone=dict(
        depth=18,
        norm_cfg=dict(requires_grad=True),
        norm_eval=False,
        init_cfg=None,
    ),
    panoptic_head=dict(
        in_channels=[64, 128, 256, 512],
        feat_channels=64,
        out_channels=64,
        num_denoising_queries=20,
        pixel_decoder=dict(num_layers=2, feedforward_channels=128),
        decoder=dict(num_queries=20, num_layers=3, feedforward_channels=128),
    ),
    train_cfg=dict(num_points=512),
)

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='Resize', scale=(128, 128), keep_ratio=True),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(128, 128), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(
        type='PackDetInputs',
        meta_keys=(
            'img_id',
            'img_path',
            'ori_shape',
            'img_shape',
            'scale_factor',
            'instances',
        ),
    ),
]
eight = [1, 2, 3, 4, 5, 10, 11, 14]
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(pipeline=train_pipeline, indices=eight),
)
val_dataloader = dict(
    batch_size=4,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        ann_file='annotations/instances_train2017.json',
        data_prefix=dict(img='train2017/'),
        pipeline=test_pipeline,
        indices=eight,
    ),
)
test_dataloader = val_dataloader
# The truth comes with the samples: the file has all other images', too.
val_evaluator = dict(ann_file=None)
test_evaluator = val_evaluator

optim_wrapper = dict(
    optimizer=dict(lr=1e-3),
    paramwise_cfg=dict(custom_keys={'backbone': dict(lr_mult=1.0)}),
)
param_scheduler = dict(
    _delete_=True,
    type='MultiStepLR',
    milestones=[80],
    gamma=0.1,
    by_epoch=True,
)
train_cfg = dict(
    _delete_=True, type='EpochBasedTrainLoop', max_epochs=90, val_interval=15
)
default_hooks = dict(
    logger=dict(interval=10),
    checkpoint=dict(
        _delete_=True, type='CheckpointHook', interval=10, max_keep_ckpts=1
    ),
)
log_processor = dict(window_size=10, by_epoch=True)
