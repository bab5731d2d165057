_base_ = [
    '../../../_base_/recipes/cropland_gid.py',
    '../../../_base_/models/unet_mobilenetv2.py',
]
custom_imports = dict(
    imports=['mmpretrain.models', 'mmfdconv'], allow_failed_imports=False
)

model = dict(decode_head=dict(num_classes=6))
