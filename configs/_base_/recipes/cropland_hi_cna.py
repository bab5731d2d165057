# All of a Hi-CNA experiment but its model: GID's with other data, tiles of
# four bands. The normalisation takes 8-bit values to -1..1, a choice; the
# README of the experiments tells how to give the mean and deviation of your
# tiles.
_base_ = ['./cropland_gid.py']
dataset_type = 'HiCNADataset'
data_root = 'data/hi_cna'
data = dict(type=dataset_type, data_root=data_root)
pipeline = [
    dict(type='LoadGeoTIFF', band_names=('blue', 'green', 'red', 'nir')),
    dict(type='NormalizeBands', mean=[127.5] * 4, std=[127.5] * 4),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(batch_size=16, dataset=dict(**data, pipeline=pipeline))
val_dataloader = dict(dataset=dict(**data, pipeline=pipeline))
test_dataloader = dict(
    dataset=dict(
        **data,
        data_prefix=dict(img_path='img_dir/test', seg_map_path='ann_dir/test'),
        pipeline=pipeline,
    )
)
val_evaluator = dict(class_name='cropland')
test_evaluator = val_evaluator
custom_hooks = [dict(type='TrainingDataHook')]
optim_wrapper = dict(optimizer=dict(lr=3e-4))
auto_scale_lr = dict(base_batch_size=16)
