# U-Net on MobileNetV2 (arXiv:2504.03510), mmpretrain's: mmseg's has no last
# convolution. The paper leaves the decoder's widths open; these are a choice.
_base_ = ['./unet_r18.py']
model = dict(
    backbone=dict(
        _delete_=True,
        type='mmpretrain.MobileNetV2',
        out_indices=(0, 1, 2, 4, 7),
    ),
    decode_head=dict(
        in_channels=[16, 24, 32, 96, 1280], channels=[128, 64, 32, 32, 16]
    ),
)

# Blocks, depthwise and pointwise, and the last convolution; not the stem.
dynamic_rule = 'MobileNetV2'
warehouse_names = None  # those of KernelWarehouse's authors
