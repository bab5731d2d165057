_base_ = [
    'mmpretrain::resnet/resnet50_8xb32_in1k.py',
    '../../_base_/dynamic/fkw1x.py',
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

# As KernelWarehouse's authors train it: from the assigned cells to learned
# mixtures over the first 20 epochs, in steps of one iteration. 1,281,167
# images in batches of 256 are 5005 iterations.
custom_hooks = [
    dict(
        type='TemperatureHook', start=1.0, end=0.0, by='iter', length=20 * 5005
    )
]
