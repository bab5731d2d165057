"""Encoders of FADConv's paper that mmsegmentation's options do not give.

Paper: arXiv:2504.03510. It names ResNet-18 and -34 as encoders of a U-Net and
DeepLabV3+ with ResNet-18, and counts what dynamic convolutions add to them.
Those counts say what the encoders are: the U-Net's have a second convolution,
as wide as the first, before the stages; DeepLabV3+'s includes its ASPP of full
(not separable) convolutions with a 1x1 projection. That the second convolution
follows the pooling is what the sizes of the whole models ask for, full and
quarter width together; so do strides, those of the stock ResNet and, for
DeepLabV3+, of output stride 16. Its dilations are those of its authors.
"""

from typing import Any, Sequence, Tuple

import torch
from mmcv.cnn import ConvModule, build_conv_layer, build_norm_layer
from mmseg.models.backbones import ResNet
from mmseg.models.decode_heads.aspp_head import ASPPModule
from mmseg.models.utils import resize
from torch import Tensor, nn


class UNetResNet(ResNet):
    """ResNet with a second convolution up front, whose map is an output too.

    Between the stem's pooling and the stages stands a 3x3 convolution
    (``pooled_conv``) with a norm and ReLU. All other names are the stock ones,
    so that checkpoints of stock ResNets load. It once stood before the
    pooling, as ``stem_conv2``; checkpoints of that time do not fit, rather
    than compute something else.

    The arguments are those of mmseg's ``ResNet``; ``stem_channels`` is the
    width of both first convolutions, whatever ``base_channels``.

    Shape:
        Input ``(B, C, H, W)``; output a tuple: the stem's map at ``H / 2``
        with ``stem_channels``, then the stages of ``out_indices``.

    Raises:
        ValueError: ``deep_stem``, which has its own first convolutions.
    """

    def _make_stem_layer(self, in_channels: int, stem_channels: int) -> None:
        if self.deep_stem:
            raise ValueError(
                'deep_stem must be False: UNetResNet adds a convolution to '
                'the 7x7 stem'
            )
        super()._make_stem_layer(in_channels, stem_channels)
        self.pooled_conv = build_conv_layer(
            self.conv_cfg,
            stem_channels,
            stem_channels,
            kernel_size=3,
            padding=1,
            bias=False,
        )
        self.pooled_norm = build_norm_layer(self.norm_cfg, stem_channels)[1]

    def _freeze_stages(self) -> None:
        super()._freeze_stages()
        if self.frozen_stages >= 0:
            self.pooled_norm.eval()
            for module in (self.pooled_conv, self.pooled_norm):
                for parameter in module.parameters():
                    parameter.requires_grad = False

    def forward(self, x: Tensor) -> Tuple[Tensor, ...]:
        """Maps of the stem and of the stages, fine to coarse."""
        x = self.relu(self.norm1(self.conv1(x)))
        outs = [x]
        x = self.maxpool(x)
        x = self.relu(self.pooled_norm(self.pooled_conv(x)))
        for index, name in enumerate(self.res_layers):
            x = getattr(self, name)(x)
            if index in self.out_indices:
                outs.append(x)
        return tuple(outs)


class DeepLabResNet(ResNet):
    """ResNet and ASPP: the encoder of DeepLabV3+.

    As part of the backbone, ASPP takes dynamic convolutions like any other
    layer, also those that share a warehouse.

    Args:
        aspp_channels: Width of ASPP's branches and of its output.
        aspp_dilations: Dilations of its 3x3 convolutions.

    The other arguments are those of mmseg's ``ResNet``. Batch norms of the
    pooled branch see one number per image: train with at least two images.

    Shape:
        Input ``(B, C, H, W)``; output a tuple: the stages of ``out_indices``,
        where ASPP's map ``(B, aspp_channels, ...)`` replaces the last stage's.

    Raises:
        ValueError: The last stage is not among ``out_indices``.
    """

    def __init__(
        self,
        *args: Any,
        aspp_channels: int = 256,
        aspp_dilations: Sequence[int] = (6, 12, 18),
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        if self.num_stages - 1 not in self.out_indices:
            raise ValueError(
                'out_indices must hold the last stage, which ASPP sees: '
                f'{self.num_stages - 1}, got {self.out_indices}'
            )
        options = dict(
            conv_cfg=self.conv_cfg,
            norm_cfg=self.norm_cfg,
            act_cfg=dict(type='ReLU'),
        )
        self.image_pool = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            ConvModule(self.feat_dim, aspp_channels, 1, **options),
        )
        # a dilation of 1 is the 1x1 branch
        self.aspp = ASPPModule(
            (1, *aspp_dilations), self.feat_dim, aspp_channels, **options
        )
        branches = len(self.aspp) + 1
        self.aspp_project = ConvModule(
            branches * aspp_channels, aspp_channels, 1, **options
        )

    def forward(self, x: Tensor) -> Tuple[Tensor, ...]:
        """Maps of the stages, the last of them through ASPP."""
        *outs, x = super().forward(x)
        pooled = resize(self.image_pool(x), size=x.shape[2:], mode='bilinear')
        x = torch.cat([pooled, *self.aspp(x)], dim=1)
        return (*outs, self.aspp_project(x))
