# Hi-CNA, 512x512 tiles of four bands, no augmentation. The normalisation takes
# 8-bit values to -1..1, a choice; the README of the experiments tells how to
# give the mean and deviation of your tiles.
dataset_type = 'HiCNADataset'
data_root = 'data/hi_cna'
pipeline = [
    dict(type='LoadGeoTIFF', band_names=('blue', 'green', 'red', 'nir')),
    dict(type='NormalizeBands', mean=[127.5] * 4, std=[127.5] * 4),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(
    batch_size=16,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(
            img_path='img_dir/train', seg_map_path='ann_dir/train'
        ),
        pipeline=pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path='img_dir/val', seg_map_path='ann_dir/val'),
        pipeline=pipeline,
    ),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path='img_dir/test', seg_map_path='ann_dir/test'),
        pipeline=pipeline,
    ),
)
val_evaluator = dict(type='CroplandMetric', class_name='cropland')
test_evaluator = val_evaluator
custom_hooks = [dict(type='TrainingDataHook')]
