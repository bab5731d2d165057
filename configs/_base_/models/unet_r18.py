# U-Net on ResNet-18 with a second convolution up front (arXiv:2504.03510).
# The paper gives its size alone. This decoder meets it to 1 %, at full and at
# quarter width: 4x4 transposed convolutions to the width of the skip
# connection, and one 3x3 convolution of what both are together.
norm_cfg = dict(type='BN', requires_grad=True)
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size=(512, 512),
    ),
    backbone=dict(
        type='UNetResNet',
        depth=18,
        in_channels=3,
        out_indices=(0, 1, 2, 3),
        norm_cfg=norm_cfg,
        norm_eval=False,
    ),
    decode_head=dict(
        type='UNetHead',
        in_channels=[64, 64, 128, 256, 512],
        channels=[512, 256, 128, 64, 64],  # the last at full resolution
        upsample='transposed',
        up_channels=[256, 128, 64, 64, 64],
        up_kernel_size=4,
        num_convs=[1, 1, 1, 1, 2],
        dropout_ratio=0.0,
        num_classes=2,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)

# The paper's placement, read off its parameter column: the second convolution
# of the stem and every 3x3 of the stages but the very last.
dynamic_rule = dict(
    patterns={
        r'layer4\.1\.conv2': False,
        r'pooled_conv|layer\d+\.\d+\.conv\d+': True,
    },
    otherwise=False,
)
# KernelWarehouse: a warehouse per stage; what sees the width of the stage
# before belongs to that one's, as in its authors' ResNets.
warehouse_names = {
    r'pooled_conv': 'stage0_layerstem_conv0',
    r'layer1\.0\.conv1': 'stage0_layernext_conv0',
    r'layer2\.0\.conv1': 'stage1_layernext_conv0',
    r'layer3\.0\.conv1': 'stage2_layernext_conv0',
    r'layer4\.0\.conv1': 'stage3_layernext_conv0',
    r'layer(\d)\.(\d+)\.conv(\d)': r'stage\1_layer\2_conv\3',
}
