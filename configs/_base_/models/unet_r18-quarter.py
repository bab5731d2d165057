# A quarter of the width in the stages; the stem keeps its 64 channels.
_base_ = ['./unet_r18.py']
model = dict(
    backbone=dict(stem_channels=64, base_channels=16),
    decode_head=dict(
        in_channels=[64, 16, 32, 64, 128],
        channels=[128, 64, 32, 16, 16],
        up_channels=[64, 32, 16, 64, 16],
    ),
)
