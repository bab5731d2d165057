_base_ = ['./unet_r18-quarter-fadconv-p16_1xb24-50e_gid-512x512.py']
model = dict(backbone=dict(conv_cfg=dict(pool_size=32)))
