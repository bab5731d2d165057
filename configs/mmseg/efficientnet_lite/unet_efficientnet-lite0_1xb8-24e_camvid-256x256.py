_base_ = [
    '../../_base_/import_mmfdconv.py',
    '../../_base_/datasets/camvid.py',
    '../../_base_/models/unet_efficientnet-lite0.py',
    '../../_base_/schedules/finetune_24e.py',
    'mmseg::_base_/default_runtime.py',
]
custom_imports = dict(
    imports=['mmpretrain.models', 'mmfdconv'], allow_failed_imports=False
)
log_processor = dict(by_epoch=True)

model = dict(
    data_preprocessor=dict(size=(256, 256)),
    decode_head=dict(num_classes=11),
)
auto_scale_lr = dict(enable=False, base_batch_size=8)
