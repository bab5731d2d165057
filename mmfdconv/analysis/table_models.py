"""The networks of the papers' tables, from torchvision."""

from typing import Any, Callable, Mapping, Optional, Tuple

import torch
from torch import nn

from ..convert import ConversionReport, LayerRule, convert_dynamic_

__all__ = [
    'convert',
    'cropland_resnet',
    'deeplab',
    'mobilenet_v2',
    'on_meta',
    'resnet',
]


def on_meta(build: Callable[[], nn.Module]) -> nn.Module:
    """Build without memory for the weights."""
    with torch.device('meta'):
        return build()


def convert(
    build: Callable[[], nn.Module],
    conv_cfg: Mapping[str, Any],
    rule: Optional[LayerRule] = None,
) -> Tuple[nn.Module, ConversionReport]:
    """Build without memory, and make the convolutions dynamic."""
    model = on_meta(build)
    return model, convert_dynamic_(model, conv_cfg, rule)


def resnet(depth: int) -> nn.Module:
    """Build torchvision's ResNet."""
    from torchvision.models import resnet as zoo

    return getattr(zoo, f'resnet{depth}')(weights=None)


def cropland_resnet(depth: int, width: int = 64) -> nn.Module:
    """Build the paper's U-Net encoder: ResNet with a second stem convolution.

    ``width`` is that of the first stage; the stem keeps 64 channels.
    """
    from torchvision.models.resnet import BasicBlock, ResNet

    blocks = {18: [2, 2, 2, 2], 34: [3, 4, 6, 3]}[depth]

    class Encoder(ResNet):
        def _make_layer(self, block, planes, blocks, stride=1, dilate=False):
            planes = planes * width // 64
            return super()._make_layer(block, planes, blocks, stride, dilate)

    encoder = Encoder(BasicBlock, blocks)
    del encoder.fc
    return nn.ModuleDict(
        dict(
            stem=nn.Conv2d(64, 64, 3, padding=1, bias=False),
            encoder=encoder,
        )
    )


def deeplab() -> nn.Module:
    """Build what the paper converts of DeepLabV3+."""
    from torchvision.models.segmentation.deeplabv3 import ASPP

    encoder = resnet(18)
    del encoder.fc
    return nn.ModuleDict(dict(encoder=encoder, aspp=ASPP(512, [6, 12, 18])))


def mobilenet_v2() -> nn.Module:
    """Build torchvision's MobileNetV2 without its classifier."""
    from torchvision import models

    return models.mobilenet_v2(weights=None).features
