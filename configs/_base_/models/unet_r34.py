_base_ = ['./unet_r18.py']
model = dict(backbone=dict(depth=34))
dynamic_rule = dict(
    _delete_=True,
    patterns={
        r'layer4\.2\.conv2': False,
        r'pooled_conv|layer\d+\.\d+\.conv\d+': True,
    },
    otherwise=False,
)
