_base_ = [
    './deeplabv3plus_r18_1xb16-50e_hi-cna-512x512.py',
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
