_base_ = [
    '../../../_base_/import_mmfdconv.py',
    '../../../_base_/models/unet_r18.py',
    '../../../_base_/datasets/hi_cna.py',
    '../../../_base_/schedules/cropland_50e.py',
    'mmseg::_base_/default_runtime.py',
]
custom_imports = dict(imports=['mmfdconv'], allow_failed_imports=False)
log_processor = dict(by_epoch=True)

# The pipeline has normalised the four bands.
model = dict(
    data_preprocessor=dict(bgr_to_rgb=False, size=(512, 512)),
    backbone=dict(in_channels=4),
    decode_head=dict(
        num_classes=2,
        out_channels=1,
        threshold=0.5,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=True),
    ),
)
optim_wrapper = dict(optimizer=dict(lr=3e-4))
auto_scale_lr = dict(enable=False, base_batch_size=16)
