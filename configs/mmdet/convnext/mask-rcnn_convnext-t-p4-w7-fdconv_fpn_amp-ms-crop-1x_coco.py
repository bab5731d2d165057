# The published gate would leave ConvNeXt's 7x7 depthwise kernels static; that
# they are dynamic is a choice of this project.
_base_ = [
    './mask-rcnn_convnext-t-p4-w7_fpn_amp-ms-crop-1x_coco.py',
    '../../_base_/dynamic/fdconv.py',
]
custom_imports = dict(
    imports=['mmpretrain.models', 'mmfdconv'], allow_failed_imports=False
)

model = dict(
    backbone=dict(
        _delete_=True,
        type='DynamicBackbone',
        backbone={{_base_.model.backbone}},
        conv_cfg=dict(_base_.dynamic_conv_cfg, use_fdconv_if_k_in=[1, 3, 7]),
    )
)
