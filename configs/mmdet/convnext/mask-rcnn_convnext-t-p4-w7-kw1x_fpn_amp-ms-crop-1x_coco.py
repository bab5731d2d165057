_base_ = [
    './mask-rcnn_convnext-t-p4-w7_fpn_amp-ms-crop-1x_coco.py',
    '../../_base_/dynamic/kw1x.py',
]
custom_imports = dict(
    imports=['mmpretrain.models', 'mmfdconv'], allow_failed_imports=False
)

model = dict(
    backbone=dict(
        _delete_=True,
        type='DynamicBackbone',
        backbone={{_base_.model.backbone}},
        conv_cfg={{_base_.dynamic_conv_cfg}},
    )
)

custom_hooks = [_base_.dynamic_temperature]

# The learning rate decays layer by layer; cells that layers share get that of
# the first of them.
optim_wrapper = dict(
    constructor='DynamicOptimConstructor',
    paramwise_cfg=dict(constructor='LearningRateDecayOptimizerConstructor'),
)
