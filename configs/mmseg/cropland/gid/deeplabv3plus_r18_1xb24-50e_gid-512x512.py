_base_ = [
    '../../../_base_/recipes/cropland_gid.py',
    '../../../_base_/models/deeplabv3plus_r18.py',
]

model = dict(decode_head=dict(num_classes=6))
