# Can the model learn at all? Eight images, from scratch, on a CPU; it is
# validated on the images that it has seen.
_base_ = ['../maskdino_r50_8xb2-160k_ade20k-512x512.py']

crop_size = (128, 128)
model = dict(
    data_preprocessor=dict(size=crop_size),
    backbone=dict(
        depth=18,
        norm_cfg=dict(requires_grad=True),
        norm_eval=False,
        init_cfg=None,
    ),
    decode_head=dict(
        in_channels=[64, 128, 256, 512],
        feat_channels=64,
        out_channels=64,
        num_denoising_queries=20,
        pixel_decoder=dict(num_layers=2, feedforward_channels=128),
        decoder=dict(num_queries=30, num_layers=3, feedforward_channels=128),
        train_cfg=dict(num_points=512),
    ),
)

load = dict(type='LoadImageFromFile')
labels = dict(type='LoadAnnotations', reduce_zero_label=True)
resize = dict(type='Resize', scale=crop_size, keep_ratio=False)
pack = dict(type='PackSegInputs')
eight = list(range(8))
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(pipeline=[load, labels, resize, pack], indices=eight),
)
val_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        data_prefix=dict(
            img_path='images/training', seg_map_path='annotations/training'
        ),
        # labels stay as large as they are
        pipeline=[load, resize, labels, pack],
        indices=eight,
    ),
)
test_dataloader = val_dataloader

optim_wrapper = dict(
    optimizer=dict(lr=1e-3),
    paramwise_cfg=dict(custom_keys={'backbone': dict(lr_mult=1.0)}),
)
param_scheduler = [
    dict(type='MultiStepLR', milestones=[55], gamma=0.1, by_epoch=True)
]
train_cfg = dict(
    _delete_=True, type='EpochBasedTrainLoop', max_epochs=65, val_interval=15
)
default_hooks = dict(
    logger=dict(interval=10, log_metric_by_epoch=True),
    checkpoint=dict(
        _delete_=True, type='CheckpointHook', interval=10, max_keep_ckpts=1
    ),
)
log_processor = dict(window_size=10, by_epoch=True)
