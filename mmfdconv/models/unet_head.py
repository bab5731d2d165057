"""U-Net decoder for the stages of any backbone.

Ronneberger et al., arXiv:1505.04597. FADConv's paper (arXiv:2504.03510)
decodes with one and leaves its form open. Differs from the original in:
padded convolutions, so that a skip connection needs no crop, and batch norm.
mmsegmentation has a U-Net as a backbone, whose decoder takes its own encoder
only.
"""

from typing import Any, List, Optional, Sequence, Union

import torch
from mmcv.cnn import ConvModule
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.losses import accuracy
from mmseg.models.utils import resize
from mmseg.utils import SampleList
from torch import Tensor, nn

from ..layers.checks import check_choice


class UNetHead(BaseDecodeHead):
    """Go from the coarsest map to the finest, one skip connection a level.

    A level brings what it gets to the size of its skip connection,
    concatenates both and convolves. Levels beyond the last skip connection
    only upsample and convolve, towards the size of the image.

    Sizes need not be multiples of anything: bilinear upsampling aims at the
    size of the skip connection; what a transposed convolution makes too large
    is cropped, as an odd size rounded up on the way down asks for, and what
    it leaves too small is interpolated.

    Args:
        in_channels: Channels of the maps, fine to coarse, as backbones
            return them.
        channels: Width of every level, coarse to fine: one for each map but
            the coarsest, then one for each level without a skip connection.
        in_index: Which of the backbone's maps; None for all of them, the
            first ``len(in_channels)``.
        upsample: ``'bilinear'`` or ``'transposed'``.
        scales: Factor of every level's upsampling. A bilinear one needs it
            only where there is no skip connection. Defaults to 2 everywhere.
        up_channels: Width that every level's transposed convolution gives,
            coarse to fine; None leaves it what it was.
        up_kernel_size: Of transposed convolutions, at least every factor;
            None, or a factor of 1, for the factor itself. A larger one is
            padded, so that the map grows by the factor all the same.
        skip_channels: Reduce skip connections to these widths by a 1x1
            convolution, fine to coarse; None leaves them as they are.
        num_convs: 3x3 convolutions of a level: a number for all, or one for
            each. A level without one has the width of what it joins.

    The other arguments are those of mmseg's ``BaseDecodeHead``.

    Shape:
        Input maps ``(B, C_i, H_i, W_i)``; output logits ``(B, num_classes,
        H', W')``, with ``H', W'`` those of the finest map times the factors
        of the levels beyond it.

    Raises:
        ValueError: The numbers of maps, levels, factors and skip widths do
            not fit, or an option is unknown.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: Sequence[int],
        in_index: Optional[Sequence[int]] = None,
        upsample: str = 'bilinear',
        scales: Optional[Sequence[int]] = None,
        skip_channels: Optional[Sequence[int]] = None,
        num_convs: Union[int, Sequence[int]] = 2,
        up_channels: Optional[Sequence[int]] = None,
        up_kernel_size: Optional[int] = None,
        **kwargs: Any,
    ) -> None:
        for name, value in dict(
            in_channels=in_channels, channels=channels
        ).items():
            if not isinstance(value, (list, tuple)) or not value:
                raise ValueError(
                    f'{name} must be a list of widths, got {value!r}'
                )
        if in_index is None:
            in_index = range(len(in_channels))
        scales = [2] * len(channels) if scales is None else scales
        self._check(
            len(in_channels), len(channels), in_index, scales, skip_channels
        )
        check_choice('upsample', upsample, ('bilinear', 'transposed'))
        if isinstance(num_convs, int):
            num_convs = [num_convs] * len(channels)
        if len(num_convs) != len(channels) or any(n < 0 for n in num_convs):
            raise ValueError(
                f'num_convs must be {len(channels)} numbers >= 0, one for '
                f'each of channels, or one for all, got {num_convs!r}'
            )
        self._check_up(
            upsample, len(channels), scales, up_channels, up_kernel_size
        )
        super().__init__(
            list(in_channels),
            channels[-1],
            in_index=list(in_index),
            input_transform='multiple_select',
            **kwargs,
        )
        self.scales = tuple(scales)
        self.upsample = upsample

        options = dict(
            conv_cfg=self.conv_cfg,
            norm_cfg=self.norm_cfg,
            act_cfg=self.act_cfg,
        )
        skips = list(in_channels[:-1])
        if skip_channels is not None:
            self.skips = nn.ModuleList(
                ConvModule(before, after, 1, **options)
                for before, after in zip(skips, skip_channels)
            )
            skips = list(skip_channels)
        else:
            self.skips = nn.ModuleList(nn.Identity() for _ in skips)
        # coarse to fine from here on; nothing to concatenate at the end
        skips = skips[::-1] + [0] * (len(channels) - len(skips))
        before = in_channels[-1]
        self.ups = nn.ModuleList()
        self.levels = nn.ModuleList()
        for index, (width, skip, scale) in enumerate(
            zip(channels, skips, scales)
        ):
            wide = before if up_channels is None else up_channels[index]
            self.ups.append(self._up(before, wide, scale, up_kernel_size))
            convs: List[nn.Module] = []
            before = wide + skip
            for _ in range(num_convs[index]):
                convs.append(
                    ConvModule(before, width, 3, padding=1, **options)
                )
                before = width
            if before != width:
                raise ValueError(
                    f'channels must be {before} where num_convs is 0, the '
                    f'width that a level joins, got {width} at {index}'
                )
            self.levels.append(nn.Sequential(*convs))

    @staticmethod
    def _check(
        maps: int,
        levels: int,
        in_index: Sequence[int],
        scales: Sequence[int],
        skip_channels: Optional[Sequence[int]],
    ) -> None:
        if levels < maps - 1:
            raise ValueError(
                'channels needs a width for each of the '
                f'{maps - 1} skip connections, got {levels}'
            )
        if len(in_index) != maps:
            raise ValueError(
                f'in_index must choose {maps} maps, as in_channels does, '
                f'got {list(in_index)}'
            )
        if len(scales) != levels or any(s < 1 for s in scales):
            raise ValueError(
                f'scales must be {levels} factors >= 1, one for each of '
                f'channels, got {scales!r}'
            )
        if skip_channels is not None and len(skip_channels) != maps - 1:
            raise ValueError(
                f'skip_channels must be {maps - 1} widths, got '
                f'{skip_channels!r}'
            )

    @staticmethod
    def _check_up(
        upsample: str,
        levels: int,
        scales: Sequence[int],
        up_channels: Optional[Sequence[int]],
        up_kernel_size: Optional[int],
    ) -> None:
        given = dict(up_channels=up_channels, up_kernel_size=up_kernel_size)
        for name, value in given.items():
            if value is not None and upsample != 'transposed':
                raise ValueError(
                    f"{name} is for upsample='transposed'; with {upsample!r} "
                    f'it must be None, got {value!r}'
                )
        if up_channels is not None and len(up_channels) != levels:
            raise ValueError(
                f'up_channels must be {levels} widths, one for each of '
                f'channels, got {up_channels!r}'
            )
        if up_kernel_size is not None and up_kernel_size < max(scales):
            raise ValueError(
                'up_kernel_size must be at least the largest of scales, '
                f'{max(scales)}, got {up_kernel_size}'
            )

    def _up(
        self, inputs: int, width: int, scale: int, kernel_size: Optional[int]
    ) -> nn.Module:
        if self.upsample == 'bilinear':
            return nn.Identity()
        if scale == 1 and inputs == width:
            return nn.Identity()
        if kernel_size is None or scale == 1:
            kernel_size = scale
        # (size - 1) * scale - 2 * padding + kernel_size + the rest is
        # scale * size
        padding = (kernel_size - scale + 1) // 2
        rest = 2 * padding + scale - kernel_size
        return nn.ConvTranspose2d(
            inputs, width, kernel_size, scale, padding, output_padding=rest
        )

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Logits of every class, ``(B, num_classes, H', W')``."""
        *skips, x = self._transform_inputs(inputs)
        skips = [reduce(skip) for reduce, skip in zip(self.skips, skips)]
        skips = skips[::-1]
        for index, (up, level) in enumerate(zip(self.ups, self.levels)):
            skip = skips[index] if index < len(skips) else None
            scale = self.scales[index]
            size = (
                [scale * side for side in x.shape[2:]]
                if skip is None
                else skip.shape[2:]
            )
            x = self._meet(up(x), size)
            level_input = x if skip is None else torch.cat([skip, x], dim=1)
            x = level(level_input)
        return self.cls_seg(x)

    def _meet(self, x: Tensor, size: Sequence[int]) -> Tensor:
        """Bring a map to a size."""
        height, width = size
        if self.upsample == 'transposed':
            x = x[:, :, :height, :width]
        if x.shape[2:] == (height, width):
            return x
        return resize(
            x, size=size, mode='bilinear', align_corners=self.align_corners
        )

    def loss_by_feat(
        self, seg_logits: Tensor, batch_data_samples: SampleList
    ) -> dict:
        """Losses and accuracy, by mmseg.

        With one output channel its accuracy, which looks for the largest of
        the channels, would see class 0 everywhere; here it compares with the
        threshold.
        """
        losses = super().loss_by_feat(seg_logits, batch_data_samples)
        if self.out_channels == 1:
            label = self._stack_batch_gt(batch_data_samples)
            score = resize(
                seg_logits,
                size=label.shape[2:],
                mode='bilinear',
                align_corners=self.align_corners,
            ).sigmoid()
            other = torch.full_like(score, self.threshold)
            losses['acc_seg'] = accuracy(
                torch.cat([other, score], dim=1),
                label.squeeze(1),
                ignore_index=self.ignore_index,
            )
        return losses
