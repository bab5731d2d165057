_base_ = [
    'mmdet::convnext/mask-rcnn_convnext-t-p4-w7_fpn_amp-ms-crop-3x_coco.py'
]
custom_imports = dict(
    imports=['mmpretrain.models', 'mmfdconv'], allow_failed_imports=False
)

# float16 on an accelerator, float32 (with a warning) where there is none.
optim_wrapper = dict(type='AutoAmpOptimWrapper')
# 12 of the stock config's 36 epochs, with KernelWarehouse's steps.
train_cfg = dict(max_epochs=12)
param_scheduler = [
    _base_.param_scheduler[0],  # the stock linear warm-up
    dict(
        type='MultiStepLR',
        begin=0,
        end=12,
        by_epoch=True,
        milestones=[9, 11],
        gamma=0.1,
    ),
]
