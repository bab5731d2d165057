"""Small whole models of the toolboxes, exported and run elsewhere."""

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import MODELS, DefaultScope

pytest.importorskip('onnx', reason='nothing is exported without onnx')
pytest.importorskip('onnxruntime', reason='nothing runs what was exported')

from mmfdconv.deployment.exporting import export_onnx
from mmfdconv.deployment.tensor_parts import tensor_part
from mmfdconv.layers import DynamicConv2d

from .test_export_layers import differences, live_

pytestmark = pytest.mark.core

BN = dict(type='BN')
RESNET = dict(depth=18, base_channels=8)
CHANNELS = [8, 16, 32, 64]
HEAD = dict(channels=8, num_classes=3, norm_cfg=BN)


def classifier(backbone, channels, neck=None):
    return dict(
        type='ImageClassifier',
        backbone=backbone,
        neck=neck,
        head=dict(type='LinearClsHead', num_classes=5, in_channels=channels),
    )


def segmentor(backbone, **head):
    head = dict(HEAD, **head)
    return dict(type='EncoderDecoder', backbone=backbone, decode_head=head)


# toolbox, method, model
CASES = {
    'Mask R-CNN': (
        'mmdet',
        'FADConv',
        dict(
            type='MaskRCNN',
            backbone=dict(type='ResNet', **RESNET),
            neck=dict(
                type='FPN', in_channels=CHANNELS, out_channels=8, num_outs=5
            ),
            rpn_head=dict(type='RPNHead', in_channels=8, feat_channels=8),
            roi_head=None,
            train_cfg=None,
            test_cfg=ConfigDict(rpn=dict()),
        ),
    ),
    'U-Net': (
        'mmseg',
        'FADConv',
        segmentor(
            dict(
                type='UNet',
                base_channels=4,
                num_stages=2,
                strides=(1, 1),
                enc_num_convs=(2, 2),
                dec_num_convs=(2,),
                downsamples=(True,),
                enc_dilations=(1, 1),
                dec_dilations=(1,),
            ),
            type='FCNHead',
            in_channels=4,
        ),
    ),
    'UPerNet': (
        'mmseg',
        'FADConv',
        segmentor(
            dict(type='ResNetV1c', **RESNET),
            type='UPerHead',
            in_channels=CHANNELS,
            in_index=(0, 1, 2, 3),
            pool_scales=(1, 2, 3),
        ),
    ),
    'OCRNet': (
        'mmseg',
        'FADConv',
        dict(
            type='CascadeEncoderDecoder',
            num_stages=2,
            backbone=dict(type='ResNetV1c', **RESNET),
            decode_head=[
                dict(HEAD, type='FCNHead', in_channels=64, num_convs=1),
                dict(HEAD, type='OCRHead', in_channels=64, ocr_channels=4),
            ],
        ),
    ),
    'ConvNeXt': (
        'mmpretrain',
        'FADConv',
        classifier(
            dict(type='ConvNeXt', arch=dict(depths=[1] * 4, channels=[8] * 4)),
            8,
        ),
    ),
    # Norms before convolutions, not after them.
    'DenseNet': (
        'mmpretrain',
        'ODConv',
        classifier(
            dict(
                type='DenseNet',
                arch=dict(growth_rate=8, depths=[1, 1], init_channels=16),
            ),
            20,
            dict(type='GlobalAveragePooling'),
        ),
    ),
}


@pytest.mark.parametrize('case', CASES)
def test_model(case):
    toolbox, method, cfg = CASES[case]
    pytest.importorskip(toolbox)
    __import__(f'{toolbox}.models')
    cfg = dict(
        cfg,
        backbone=dict(
            type='DynamicBackbone',
            backbone=cfg['backbone'],
            conv_cfg=dict(type=method),
        ),
    )
    with DefaultScope.overwrite_default_scope(toolbox):
        model = live_(MODELS.build(cfg))
    assert sum(isinstance(m, DynamicConv2d) for m in model.modules()) > 3
    image = torch.randn(1, 3, 64, 64)
    part = tensor_part(model, image)
    # What the graph and errors name is found in the model.
    assert part.part.state_dict().keys() <= model.state_dict().keys()
    proto = export_onnx(part, image, part.output_names, torchscript=True)
    assert max(differences(part, proto, image)) < 1e-5


def test_a_head_that_needs_more_than_features_is_refused():
    pytest.importorskip('mmdet')
    import mmdet.models  # noqa: F401

    with DefaultScope.overwrite_default_scope('mmdet'):
        backbone = MODELS.build(dict(type='ResNet', **RESNET))
        proposals = MODELS.build(
            dict(type='EmbeddingRPNHead', proposal_feature_channel=8)
        )
    model = torch.nn.Module()
    model.backbone, model.rpn_head = backbone, proposals
    image = torch.randn(1, 3, 64, 64)
    with pytest.raises(ValueError, match='up to its rpn_head it does not run'):
        tensor_part(model, image)
    del model.rpn_head
    model.bbox_head = None  # as in SOLO, which has masks alone
    with pytest.raises(ValueError, match='none of a classifier'):
        tensor_part(model, image)
