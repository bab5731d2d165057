# U-Net on MobileNetV2 (arXiv:2504.03510), mmpretrain's: mmseg's has no last
# convolution. The paper gives its size alone. This decoder meets it to 1 %:
# 3x3 transposed convolutions and two 3x3 ones, all as wide as the skip
# connection.
_base_ = ['./unet_r18.py']
model = dict(
    backbone=dict(
        _delete_=True,
        type='mmpretrain.MobileNetV2',
        out_indices=(0, 1, 2, 4, 7),
    ),
    decode_head=dict(
        in_channels=[16, 24, 32, 96, 1280],
        channels=[96, 32, 24, 16, 16],
        up_channels=[96, 32, 24, 16, 16],
        up_kernel_size=3,
        num_convs=[2, 2, 2, 2, 0],
    ),
)

# Blocks, depthwise and pointwise, and the last convolution; not the stem.
dynamic_rule = 'MobileNetV2'
warehouse_names = None  # those of KernelWarehouse's authors
