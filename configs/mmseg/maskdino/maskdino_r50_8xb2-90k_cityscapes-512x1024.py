# Data and optimizer are Mask2Former's; the learning rate falls in steps.
_base_ = [
    '../../_base_/import_mmfdconv.py',
    'mmseg::mask2former/mask2former_r50_8xb2-90k_cityscapes-512x1024.py',
]
custom_imports = dict(imports=['mmfdconv'], allow_failed_imports=False)

model = dict(
    # published: batch norms as they come from ImageNet
    backbone=dict(
        norm_cfg=dict(type='BN', requires_grad=False), norm_eval=True
    ),
    decode_head=dict(
        _delete_=True,
        type='MaskDINOSegHead',
        in_channels=[256, 512, 1024, 2048],
        num_classes=19,
    ),
)

embedding = dict(lr_mult=1.0, decay_mult=0.0)
optim_wrapper = dict(
    paramwise_cfg=dict(custom_keys={'label_embedding': embedding})
)
param_scheduler = [
    dict(
        type='MultiStepLR',
        milestones=[80000, 87000],
        gamma=0.1,
        by_epoch=False,
    )
]
