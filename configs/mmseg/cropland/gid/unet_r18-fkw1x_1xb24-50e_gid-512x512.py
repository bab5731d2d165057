_base_ = [
    './unet_r18_1xb24-50e_gid-512x512.py',
    '../../../_base_/dynamic/fkw1x.py',
]
model = dict(
    backbone=dict(
        _delete_=True,
        type='DynamicBackbone',
        backbone={{_base_.model.backbone}},
        conv_cfg=dict(
            _base_.dynamic_conv_cfg, warehouse_names=_base_.warehouse_names
        ),
        rule={{_base_.dynamic_rule}},
    )
)

custom_hooks = [_base_.dynamic_temperature]
