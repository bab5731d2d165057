_base_ = [
    './deeplabv3plus_r18_1xb16-50e_hi-cna-512x512.py',
    '../../../_base_/dynamic/dyconv.py',
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
