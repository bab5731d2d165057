_base_ = [
    '../../../_base_/recipes/cropland_gid.py',
    '../../../_base_/models/unet_r18-quarter.py',
]

model = dict(decode_head=dict(num_classes=6))
