_base_ = [
    '../../../_base_/import_mmfdconv.py',
    '../../../_base_/models/unet_mobilenetv2.py',
    '../../../_base_/datasets/gid.py',
    '../../../_base_/schedules/cropland_50e.py',
    'mmseg::_base_/default_runtime.py',
]
custom_imports = dict(
    imports=['mmpretrain.models', 'mmfdconv'], allow_failed_imports=False
)
log_processor = dict(by_epoch=True)

model = dict(
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        size=(512, 512),
    ),
    decode_head=dict(num_classes=6),
)
auto_scale_lr = dict(enable=False, base_batch_size=24)
