_base_ = [
    'mmpretrain::resnet/resnet50_8xb32_in1k.py',
    '../../_base_/dynamic/fodconv.py',
]
custom_imports = dict(imports=['mmfdconv'], allow_failed_imports=False)

model = dict(
    backbone=dict(
        _delete_=True,
        type='DynamicBackbone',
        backbone={{_base_.model.backbone}},
        conv_cfg={{_base_.dynamic_conv_cfg}},
    )
)

# As ODConv's authors train it: from nearly equal shares of the kernels to
# learned ones over the first 10 epochs, in steps of one iteration. 1,281,167
# images in batches of 256 are 5005 iterations.
custom_hooks = [
    dict(
        type='TemperatureHook',
        start=30.0,
        end=1.0,
        by='iter',
        length=10 * 5005,
    )
]
