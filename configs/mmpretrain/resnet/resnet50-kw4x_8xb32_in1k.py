_base_ = [
    'mmpretrain::resnet/resnet50_8xb32_in1k.py',
    '../../_base_/dynamic/kw4x.py',
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

custom_hooks = [_base_.pretraining_temperature]
