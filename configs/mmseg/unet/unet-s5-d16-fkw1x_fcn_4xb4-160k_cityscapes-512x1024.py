# KernelWarehouse's authors have no U-Net; here the convolutions of a level, on
# both sides of the U, share one warehouse.
_base_ = [
    '../../_base_/import_mmfdconv.py',
    'mmseg::unet/unet-s5-d16_fcn_4xb4-160k_cityscapes-512x1024.py',
    '../../_base_/dynamic/fkw1x.py',
]
custom_imports = dict(imports=['mmfdconv'], allow_failed_imports=False)

model = dict(
    backbone=dict(
        _delete_=True,
        type='DynamicBackbone',
        backbone={{_base_.model.backbone}},
        conv_cfg=dict(
            _base_.dynamic_conv_cfg,
            warehouse_names={
                r'encoder\.(\d+)\.\d+\.convs\.(\d+)\.conv': (
                    r'stage\1_layerenc_conv\2'
                ),
                r'decoder\.(\d+)\.conv_block\.convs\.(\d+)\.conv': (
                    r'stage\1_layerdec_conv\2'
                ),
            },
        ),
    )
)

custom_hooks = [_base_.dynamic_temperature]
