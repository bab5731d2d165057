_base_ = [
    '../../_base_/import_mmfdconv.py',
    '../../_base_/datasets/gid.py',
    '../../_base_/models/unet_efficientnet-lite0.py',
    '../../_base_/schedules/finetune_24e.py',
    'mmseg::_base_/default_runtime.py',
]
custom_imports = dict(
    imports=['mmpretrain.models', 'mmfdconv'], allow_failed_imports=False
)
log_processor = dict(by_epoch=True)

# Crops of small tiles, 224x224; those of 512x512 take larger ones.
crop_size = (112, 112)
model = dict(
    data_preprocessor=dict(size=crop_size),
    decode_head=dict(num_classes=6),
)
train_dataloader = dict(
    batch_size=8,
    dataset=dict(
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations'),
            dict(type='RandomCrop', crop_size=crop_size),
            dict(type='RandomFlip', prob=0.5, direction='horizontal'),
            dict(type='RandomFlip', prob=0.5, direction='vertical'),
            dict(type='PackSegInputs'),
        ],
    ),
)
auto_scale_lr = dict(enable=False, base_batch_size=8)
