# CamVid, the public 367 training and 101 validation images of 480x360, with
# the eleven classes of SegNet (arXiv:1511.00561).
_base_ = ['./unet_efficientnet-lite0_1xb8-24e_gid-112x112.py']

crop_size = (256, 256)
model = dict(
    data_preprocessor=dict(size=crop_size),
    decode_head=dict(num_classes=11),
)
dataset_type = 'CamVidDataset'
data_root = 'data/camvid'
data = dict(type=dataset_type, data_root=data_root)
train_dataloader = dict(
    dataset=dict(
        **data,
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations'),
            dict(type='RandomCrop', crop_size=crop_size, cat_max_ratio=0.75),
            dict(type='RandomFlip', prob=0.5),
            dict(type='PhotoMetricDistortion'),
            dict(type='PackSegInputs'),
        ],
    )
)
val_dataloader = dict(dataset=data)
test_dataloader = val_dataloader
val_evaluator = dict(_delete_=True, type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
custom_hooks = []  # which had GID's size of a pixel
