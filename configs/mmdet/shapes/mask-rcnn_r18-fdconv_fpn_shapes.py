# mmdet's Mask R-CNN on COCO, with the sizes brought down to what two CPU
# cores train in minutes, on the dataset of tools/demo/make_data.py.
_base_ = [
    'mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py',
    '../../_base_/dynamic/fdconv.py',
]
custom_imports = dict(imports=['mmfdconv'], allow_failed_imports=False)

classes = ('disc', 'square', 'triangle', 'star', 'ring', 'cross')
# Okabe and Ito's colours, which colour-blind readers tell apart, too.
palette = [
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (213, 94, 0),
    (204, 121, 167),
]
channels = 64  # of the pyramid and the heads, 256 in the stock config
extractor = dict(
    out_channels=channels,
    featmap_strides=[4, 8, 16],
    # one sample per bin: regions are small here
    roi_layer=dict(sampling_ratio=1),
)

model = dict(
    backbone=dict(
        _delete_=True,
        type='DynamicBackbone',
        # Trained from scratch: nothing is frozen, batch norm learns its
        # statistics, and residual branches start open, because there is no
        # time for them to open by themselves.
        backbone=dict(
            type='ResNet',
            depth=18,
            base_channels=24,
            num_stages=3,
            strides=(1, 2, 2),
            dilations=(1, 1, 1),
            out_indices=(0, 1, 2),
            norm_cfg=dict(type='BN', requires_grad=True),
            norm_eval=False,
            zero_init_residual=False,
            style='pytorch',
        ),
        conv_cfg={{_base_.dynamic_conv_cfg}},
    ),
    neck=dict(in_channels=[24, 48, 96], out_channels=channels),
    rpn_head=dict(in_channels=channels, feat_channels=channels),
    roi_head=dict(
        bbox_roi_extractor=extractor,
        bbox_head=dict(
            in_channels=channels,
            fc_out_channels=256,
            num_classes=len(classes),
        ),
        mask_roi_extractor=extractor,
        mask_head=dict(
            num_convs=2,
            in_channels=channels,
            conv_out_channels=channels // 2,
            num_classes=len(classes),
        ),
    ),
    train_cfg=dict(
        rpn=dict(sampler=dict(num=128)),
        rpn_proposal=dict(nms_pre=300, max_per_img=100),
        rcnn=dict(sampler=dict(num=48, pos_fraction=0.5)),
    ),
    test_cfg=dict(
        rpn=dict(nms_pre=300, max_per_img=100),
        rcnn=dict(max_per_img=50),
    ),
)

data_root = 'data/shapes/'
scale = (128, 128)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='Resize', scale=scale, keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=scale, keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(
        type='PackDetInputs',
        meta_keys=(
            'img_id',
            'img_path',
            'ori_shape',
            'img_shape',
            'scale_factor',
        ),
    ),
]
# Images are small: the main process loads them in less time than it would
# take to share the two cores with workers.
loading = dict(num_workers=0, persistent_workers=False)
train_dataloader = dict(
    **loading,
    batch_size=4,
    dataset=dict(
        data_root=data_root,
        metainfo=dict(classes=classes, palette=palette),
        ann_file='annotations/instances_train.json',
        data_prefix=dict(img='train/'),
        filter_cfg=dict(min_size=8),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    **loading,
    batch_size=8,
    dataset=dict(
        data_root=data_root,
        metainfo=dict(classes=classes, palette=palette),
        ann_file='annotations/instances_val.json',
        data_prefix=dict(img='val/'),
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/instances_val.json')
test_evaluator = val_evaluator

epochs = 3
train_cfg = dict(max_epochs=epochs, val_interval=1)
optim_wrapper = dict(
    # Spectra move slowly at the step that suits the other parameters, which
    # matters where there is no trained backbone to start from.
    paramwise_cfg=dict(custom_keys=dict(dft_weight=dict(lr_mult=10))),
    optimizer=dict(_delete_=True, type='AdamW', lr=2e-3, weight_decay=0.05),
    clip_grad=dict(max_norm=10),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(
        type='CosineAnnealingLR',
        T_max=epochs,
        eta_min=1e-5,
        begin=0,
        end=epochs,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
default_hooks = dict(
    logger=dict(interval=10), checkpoint=dict(max_keep_ckpts=1)
)
randomness = dict(seed=0)
