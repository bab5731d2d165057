# GID, 512x512 tiles, no augmentation. The background is a class, as in the
# label images; the scores of cropland are those of farmland.
dataset_type = 'GIDDataset'
data_root = 'data/gid'
pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(
    batch_size=24,
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
test_dataloader = val_dataloader
val_evaluator = dict(type='CroplandMetric', class_name='farmland')
test_evaluator = val_evaluator
# PNG tiles do not say how large their pixels are: GF-2's are of 4 m.
custom_hooks = [dict(type='TrainingDataHook', pixel_size=4.0)]
