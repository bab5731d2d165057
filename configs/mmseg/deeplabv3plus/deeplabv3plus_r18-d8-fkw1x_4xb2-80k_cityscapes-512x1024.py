_base_ = [
    '../../_base_/import_mmfdconv.py',
    'mmseg::deeplabv3plus/deeplabv3plus_r18-d8_4xb2-80k_cityscapes-512x1024.py',
    '../../_base_/dynamic/fkw1x.py',
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

# From the assigned cells to learned mixtures over a tenth of the schedule;
# a choice of this project.
custom_hooks = [
    dict(type='TemperatureHook', start=1.0, end=0.0, by='iter', length=8000)
]
