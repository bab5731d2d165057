"""The U-Net decoder: shapes, sizes that do not meet, gradients, options."""

import copy

import pytest
import torch
import torch.nn.functional as F

pytest.importorskip('mmseg')

from mmengine.config import ConfigDict
from mmengine.registry import MODELS as ROOT
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from mmfdconv.layers import DynamicConv2d
from mmfdconv.models import UNetHead

NORM = dict(type='BN')
WIDTHS = [16, 8, 16, 32, 64]
RESNET = dict(type='UNetResNet', depth=18, stem_channels=16, base_channels=8)
# Sizes that are multiples of 32, that are not, and odd ones.
SIZES = [(64, 96), (72, 40), (65, 47), (33, 31)]


@pytest.fixture(autouse=True)
def _scope():
    import mmseg.models  # noqa: F401

    init_default_scope('mmseg')


def _head(**options):
    options = {
        **dict(
            type='UNetHead',
            in_channels=WIDTHS,
            channels=[32, 16, 16, 8, 8],
            num_classes=3,
            norm_cfg=NORM,
        ),
        **options,
    }
    return MODELS.build(options)


@pytest.mark.core
@pytest.mark.parametrize('upsample', ['bilinear', 'transposed'])
@pytest.mark.parametrize('size', SIZES)
def test_any_size(size, upsample):
    backbone = MODELS.build(RESNET)
    backbone.eval()  # mmseg's ResNet returns nothing here
    head = _head(upsample=upsample).eval()
    assert isinstance(head, UNetHead)
    with torch.no_grad():
        maps = backbone(torch.randn(2, 3, *size))
        logits = head(maps)
    # beyond the stem's map the last level doubles, so odd sizes round up
    assert logits.shape == (2, 3, *(2 * side for side in maps[0].shape[2:]))
    assert tuple(logits.shape[2:]) == tuple(s + s % 2 for s in size)


@pytest.mark.parametrize('upsample', ['bilinear', 'transposed'])
@pytest.mark.parametrize(
    ('backbone', 'options'),
    [
        (
            dict(type='ResNet', depth=50, base_channels=8, stem_channels=8),
            dict(in_channels=[32, 64, 128, 256], channels=[32, 16, 8]),
        ),
        (  # the last two stages have one size
            dict(
                type='ResNet',
                depth=18,
                base_channels=8,
                stem_channels=8,
                strides=(1, 2, 1, 1),
                dilations=(1, 1, 2, 4),
            ),
            dict(
                in_channels=[8, 16, 32, 64],
                channels=[16, 16, 8],
                scales=[1, 1, 2],
            ),
        ),
        (
            dict(
                type='MobileNetV2', widen_factor=0.5, out_indices=(0, 1, 2, 6)
            ),
            dict(in_channels=[8, 16, 16, 160], channels=[16, 8, 8, 8]),
        ),
        (  # a skip over two stages, reduced
            dict(type='ResNet', depth=18, base_channels=8, stem_channels=8),
            dict(
                in_channels=[8, 64],
                in_index=[0, 3],
                channels=[16],
                skip_channels=[4],
                scales=[8],
            ),
        ),
    ],
    ids=['resnet50', 'dilated', 'mobilenet', 'skip'],
)
def test_any_backbone(backbone, options, upsample):
    backbone = MODELS.build(backbone)
    backbone.eval()
    head = _head(upsample=upsample, **options).eval()
    with torch.no_grad():
        maps = backbone(torch.randn(1, 3, 57, 83))
        logits = head(maps)
    levels = len(options['channels']) - len(options['in_channels']) + 1
    finest = maps[head.in_index[0]].shape[2:]
    assert tuple(logits.shape[2:]) == tuple(s * 2**levels for s in finest)


def test_a_level_is_upsample_concatenate_convolve():
    """One level, written out with plain functions."""
    torch.manual_seed(0)
    head = _head(
        in_channels=[4, 6], channels=[5], norm_cfg=None, dropout_ratio=0.0
    ).eval()
    fine, coarse = torch.randn(2, 4, 7, 9), torch.randn(2, 6, 4, 5)
    x = F.interpolate(coarse, (7, 9), mode='bilinear', align_corners=False)
    x = torch.cat([fine, x], 1)
    for conv in head.levels[0]:
        x = F.conv2d(x, conv.conv.weight, conv.conv.bias, padding=1).relu()
    x = F.conv2d(x, head.conv_seg.weight, head.conv_seg.bias)
    torch.testing.assert_close(head([fine, coarse]), x)


def test_transposed_crops_what_was_rounded_up():
    torch.manual_seed(0)
    head = _head(
        in_channels=[4, 6], channels=[5], upsample='transposed', norm_cfg=None
    ).eval()
    coarse = torch.randn(1, 6, 4, 5)
    seen = []
    head.levels[0].register_forward_pre_hook(lambda m, x: seen.append(x[0]))
    head([torch.randn(1, 4, 7, 9), coarse])
    torch.testing.assert_close(
        seen[0][:, 4:], head.ups[0](coarse)[:, :, :7, :9]
    )
    # and interpolates what is too small
    head([torch.randn(1, 4, 9, 11), coarse])
    expected = F.interpolate(
        head.ups[0](coarse)[:, :, :9, :11],
        (9, 11),
        mode='bilinear',
        align_corners=False,
    )
    torch.testing.assert_close(seen[1][:, 4:], expected)


@pytest.mark.core
@pytest.mark.parametrize('scale', [1, 2, 3])
@pytest.mark.parametrize('kernel_size', [3, 4, 5])
def test_a_larger_kernel_grows_the_map_by_the_factor(kernel_size, scale):
    head = _head(
        in_channels=[4],
        channels=[3],
        scales=[scale],
        num_convs=0,
        upsample='transposed',
        up_channels=[3],
        up_kernel_size=kernel_size,
    )
    (up,) = head.ups
    assert up(torch.randn(1, 4, 5, 6)).shape == (1, 3, 5 * scale, 6 * scale)
    size = kernel_size if scale > 1 else 1
    assert up.weight.shape == (4, 3, size, size)


def test_convolutions_level_by_level():
    head = _head(
        in_channels=[4, 6],
        channels=[5, 7, 7],
        upsample='transposed',
        up_channels=[4, 3, 7],
        num_convs=[1, 2, 0],
    )
    assert [up.out_channels for up in head.ups] == [4, 3, 7]
    assert [
        [conv.conv.weight.shape[:2] for conv in level] for level in head.levels
    ] == [[(5, 8)], [(7, 3), (7, 7)], []]
    maps = [torch.randn(1, 4, 8, 8), torch.randn(1, 6, 4, 4)]
    assert head(maps).shape == (1, 3, 32, 32)


@pytest.mark.parametrize('upsample', ['bilinear', 'transposed'])
def test_every_parameter_learns(upsample):
    torch.manual_seed(0)
    head = _head(
        in_channels=[4, 6, 8],
        channels=[6, 5, 4],
        skip_channels=[3, 2],
        upsample=upsample,
    )
    maps = [torch.randn(2, c, s, s) for c, s in ((4, 15), (6, 8), (8, 4))]
    head(maps).square().sum().backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_takes_dynamic_convolutions():
    conv_cfg = dict(type='FADConv', num_experts=2, pool_size=8)
    head = _head(in_channels=[4, 6], channels=[5], conv_cfg=conv_cfg)
    layers = [m for m in head.modules() if isinstance(m, DynamicConv2d)]
    assert len(layers) == 2
    out = head([torch.randn(2, 4, 8, 8), torch.randn(2, 6, 4, 4)])
    assert out.shape == (2, 3, 8, 8)


@pytest.mark.parametrize(
    ('options', 'match'),
    [
        (dict(in_channels=8), 'in_channels must be a list'),
        (dict(channels=8), 'channels must be a list'),
        (dict(channels=[8, 8]), '4 skip connections, got 2'),
        (dict(in_index=[0, 1]), 'in_index must choose 5 maps'),
        (dict(scales=[2, 2]), 'scales must be 5 factors'),
        (dict(scales=[2, 2, 2, 2, 0]), 'scales must be 5 factors'),
        (dict(skip_channels=[8]), 'skip_channels must be 4 widths'),
        (dict(upsample='nearest'), "'bilinear', 'transposed'.*'nearest'"),
        (dict(num_convs=-1), 'num_convs must be 5 numbers >= 0'),
        (dict(num_convs=[2, 2]), 'num_convs must be 5 numbers >= 0'),
        (dict(num_convs=0), 'channels must be 96 where num_convs is 0'),
        (dict(up_channels=[8] * 5), "up_channels is for .*'bilinear'"),
        (dict(up_kernel_size=4), "up_kernel_size is for .*'bilinear'"),
        (
            dict(upsample='transposed', up_channels=[8]),
            'up_channels must be 5 widths',
        ),
        (
            dict(upsample='transposed', up_kernel_size=1),
            'up_kernel_size must be at least .* 2, got 1',
        ),
    ],
)
def test_wrong_options(options, match):
    with pytest.raises(ValueError, match=match):
        _head(**options)


def test_wrong_options_reach_the_caller_through_a_segmentor():
    with pytest.raises(ValueError, match='4 skip connections'):
        MODELS.build(_segmentor(channels=[8]))


def _segmentor(**options):
    head = dict(
        type='UNetHead',
        in_channels=WIDTHS,
        channels=[16, 16, 8, 8, 8],
        num_classes=2,
        norm_cfg=NORM,
    )
    head.update(options)
    return ConfigDict(
        type='EncoderDecoder',
        data_preprocessor=dict(type='SegDataPreProcessor'),
        backbone=dict(
            type='DynamicBackbone',
            backbone=RESNET,
            conv_cfg=dict(type='FADConv', num_experts=2, pool_size=8),
        ),
        decode_head=head,
        test_cfg=dict(mode='whole'),
    )


def _sample(label):
    sample = SegDataSample()
    size = tuple(label.shape[-2:])
    sample.set_metainfo(dict(img_shape=size, ori_shape=size, pad_shape=size))
    sample.gt_sem_seg = PixelData(data=label)
    return sample


def test_one_output_and_binary_cross_entropy():
    """Loss, accuracy and prediction with a threshold, by hand."""
    torch.manual_seed(0)
    model = MODELS.build(
        _segmentor(
            out_channels=1,
            threshold=0.5,
            loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=True),
        )
    ).eval()
    image = torch.randn(2, 3, 64, 64)
    labels = torch.randint(0, 2, (2, 1, 64, 64))
    samples = [_sample(label) for label in labels]
    with torch.no_grad():
        (logits,) = model.decode_head(model.extract_feat(image)).split(1, 1)
        losses = model.loss(image, samples)
        predicted = model.predict(image, copy.deepcopy(samples))
    assert logits.shape == (2, 1, 64, 64)
    expected = F.binary_cross_entropy_with_logits(logits, labels.float())
    torch.testing.assert_close(losses['decode.loss_ce'], expected)
    found = torch.stack([p.pred_sem_seg.data for p in predicted])
    assert found.eq(logits > 0).all()
    right = 100 * found.eq(labels).float().mean()
    torch.testing.assert_close(
        losses['decode.acc_seg'].squeeze(), right, rtol=1e-4, atol=1e-3
    )


def test_the_registry_is_the_root():
    assert ROOT.get('UNetHead') is not None
    assert MODELS.get('UNetHead') is ROOT.get('UNetHead')
