"""MobileNetV2 for images of any number of bands."""

from typing import Any

from mmcv.cnn import ConvModule
from mmpretrain.models.backbones import MobileNetV2

from ..layers.checks import check_positive_int


class MultibandMobileNetV2(MobileNetV2):
    """mmpretrain's MobileNetV2 with a first layer that is told its bands.

    Names are the stock ones. A checkpoint of three bands fits through
    :mod:`mmfdconv.convert.input_bands`.

    Args:
        in_channels: Bands of the image. Defaults to 3.

    The other arguments are those of mmpretrain's ``MobileNetV2``.

    Raises:
        ValueError: ``in_channels`` is not a positive integer.
    """

    def __init__(
        self, *args: Any, in_channels: int = 3, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        check_positive_int('in_channels', in_channels)
        first = self.conv1.conv
        self.conv1 = ConvModule(
            in_channels,
            first.out_channels,
            first.kernel_size,
            first.stride,
            first.padding,
            conv_cfg=self.conv_cfg,
            norm_cfg=self.norm_cfg,
            act_cfg=self.act_cfg,
        )
