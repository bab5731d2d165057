_base_ = ['./unet_r18-fadconv-p16_1xb16-50e_hi-cna-512x512.py']
model = dict(backbone=dict(conv_cfg=dict(pool_size=32)))
