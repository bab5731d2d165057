_base_ = [
    '../../_base_/import_mmfdconv.py',
    'mmseg::mask2former/mask2former_swin-b-in22k-384x384-pre_8xb2-160k_ade20k-640x640.py',
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

# The stock recipe decays no norm, nor shall it those of gates.
optim_wrapper = dict(constructor='DynamicOptimConstructor')
