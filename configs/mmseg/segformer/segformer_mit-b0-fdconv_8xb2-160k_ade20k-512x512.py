_base_ = [
    '../../_base_/import_mmfdconv.py',
    'mmseg::segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py',
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
