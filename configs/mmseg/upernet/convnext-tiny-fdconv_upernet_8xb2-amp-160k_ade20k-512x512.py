# The published gate would leave ConvNeXt's 7x7 depthwise kernels static; that
# they are dynamic is a choice of this project.
_base_ = [
    '../../_base_/import_mmfdconv.py',
    'mmseg::convnext/convnext-tiny_upernet_8xb2-amp-160k_ade20k-512x512.py',
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

# float16 on an accelerator, float32 (with a warning) where there is none.
optim_wrapper = dict(type='AutoAmpOptimWrapper')
