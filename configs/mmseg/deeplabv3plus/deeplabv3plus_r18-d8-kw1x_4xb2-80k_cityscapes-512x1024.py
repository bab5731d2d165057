_base_ = [
    '../../_base_/import_mmfdconv.py',
    'mmseg::deeplabv3plus/deeplabv3plus_r18-d8_4xb2-80k_cityscapes-512x1024.py',
    '../../_base_/dynamic/kw1x.py',
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

custom_hooks = [_base_.dynamic_temperature]
