# DeepLabV3+ on ResNet-18 at output stride 16. ASPP is part of the encoder, so
# that its convolutions become dynamic with the others (arXiv:2504.03510). One
# 3x3 convolution decodes: that gives the paper's multiply-adds, and with the
# 0.513 M of a classifier of 1000 classes, which is not here, its parameters.
_base_ = ['./unet_r18.py']
model = dict(
    backbone=dict(
        type='DeepLabResNet',
        out_indices=(0, 3),
        strides=(1, 2, 2, 1),
        dilations=(1, 1, 1, 2),
        aspp_channels=256,
        aspp_dilations=(6, 12, 18),
    ),
    decode_head=dict(
        in_channels=[64, 256],
        channels=[256],
        skip_channels=[48],
        scales=[4],
        upsample='bilinear',
        up_channels=None,
        up_kernel_size=None,
        num_convs=1,
    ),
)

# The paper's placement, read off its parameter column: everything but the
# branch of the pooled image, which sees one pixel.
dynamic_rule = dict(
    _delete_=True, patterns={r'image_pool\..*': False}, otherwise=True
)
warehouse_names = dict(
    _delete_=True,
    **{
        r'conv1': 'stagestem_conv0',
        r'layer1\.0\.conv1': 'stage0_layernext_conv0',
        r'layer([234])\.0\.downsample\.\d': r'stageshortcut\1_conv0',
        r'layer2\.0\.conv1': 'stage1_layernext_conv0',
        r'layer3\.0\.conv1': 'stage2_layernext_conv0',
        r'layer4\.0\.conv1': 'stage3_layernext_conv0',
        r'layer(\d)\.(\d+)\.conv(\d)': r'stage\1_layer\2_conv\3',
        r'aspp\.(\d)\.conv': r'stageaspp_layer\1_conv0',
        r'aspp_project\.conv': 'stageproject_conv0',
    },
)
