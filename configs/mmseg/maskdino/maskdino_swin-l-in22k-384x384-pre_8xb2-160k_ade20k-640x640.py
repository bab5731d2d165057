# No such config was published. The backbone, crops and learning rates are
# those of Mask2Former with Swin-L, the head and steps those of ResNet-50.
_base_ = [
    '../../_base_/import_mmfdconv.py',
    'mmseg::mask2former/mask2former_swin-l-in22k-384x384-pre_8xb2-160k_ade20k-640x640.py',
]
custom_imports = dict(imports=['mmfdconv'], allow_failed_imports=False)

model = dict(
    decode_head=dict(
        _delete_=True,
        type='MaskDINOSegHead',
        in_channels=[192, 384, 768, 1536],
        num_classes=150,
    ),
)

embedding = dict(lr_mult=1.0, decay_mult=0.0)
optim_wrapper = dict(
    paramwise_cfg=dict(custom_keys={'label_embedding': embedding})
)
param_scheduler = [
    dict(
        type='MultiStepLR',
        milestones=[135000, 150000],
        gamma=0.1,
        by_epoch=False,
    )
]
