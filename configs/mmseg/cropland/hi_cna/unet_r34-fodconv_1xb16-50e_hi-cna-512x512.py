_base_ = [
    './unet_r34_1xb16-50e_hi-cna-512x512.py',
    '../../../_base_/dynamic/fodconv.py',
]
model = dict(
    backbone=dict(
        _delete_=True,
        type='DynamicBackbone',
        backbone={{_base_.model.backbone}},
        conv_cfg={{_base_.dynamic_conv_cfg}},
        rule={{_base_.dynamic_rule}},
    )
)
