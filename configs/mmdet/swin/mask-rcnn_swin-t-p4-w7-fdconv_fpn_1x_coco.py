_base_ = [
    'mmdet::swin/mask-rcnn_swin-t-p4-w7_fpn_1x_coco.py',
    '../../_base_/dynamic/fdconv.py',
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

# The stock recipe spares what is called `norm`, as one of FDConv's two norms
# is; this is the other.
optim_wrapper = dict(
    paramwise_cfg=dict(custom_keys={'KSM_Global.bn': dict(decay_mult=0.0)})
)
