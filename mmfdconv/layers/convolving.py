"""How a layer convolves, once its kernels are known."""

from typing import Optional, Tuple

import torch.nn.functional as F
from torch import Tensor

from ..functional import (
    ConvOptions,
    convolve_images,
    pad_input,
    per_sample_conv2d,
)


class Convolving:
    """Mixed into a layer that has the attributes of ``nn.Conv2d``."""

    #: Whether :meth:`convolve` is given kernels, which it keeps for the
    #: backward pass, where they could be assembled anew. So it is on tokens,
    #: and while the cost of each part of a layer is counted.
    keeps_kernels: bool = False

    def convolve(
        self, x: Tensor, weight: Tensor, bias: Optional[Tensor]
    ) -> Tensor:
        """Convolve each sample with its own kernel.

        Args:
            x: ``(B, C, H, W)``.
            weight: ``(B, O, C/G, kh, kw)``.
            bias: ``(O,)``, ``(B, O)`` or None.

        Returns:
            ``(B, O, H', W')``.
        """
        x, padding = self._pad(x)
        return per_sample_conv2d(
            x,
            weight.to(x.dtype),
            bias,
            self.stride,
            padding,
            self.dilation,
            self.groups,
        )

    def convolve_images(
        self, x: Tensor, images: Tensor, want_value: bool = True
    ) -> Tensor:
        """Convolve each sample with a kernel that lies as an image.

        Args:
            x: ``(B, C, H, W)``.
            images: ``(B, O*kh, C/G*kw)``.
            want_value: See :func:`~mmfdconv.functional.per_sample_conv2d`.

        Returns:
            ``(B, O, H', W')``.
        """
        x, padding = self._pad(x)
        options = ConvOptions(self.stride, padding, self.dilation, self.groups)
        images = images.to(x.dtype)
        return convolve_images(
            x, images, self.weight_shape, options, want_value
        )

    def convolve_static(
        self, x: Tensor, weight: Tensor, bias: Optional[Tensor]
    ) -> Tensor:
        """Convolve as the stock layer, one kernel ``(O, C/G, kh, kw)``."""
        x, padding = self._pad(x)
        return F.conv2d(
            x,
            weight,
            bias,
            self.stride,
            padding,
            self.dilation,
            self.groups,
        )

    def _pad(self, x: Tensor) -> Tuple[Tensor, Tuple[int, int]]:
        return pad_input(
            x,
            self.padding,
            self.padding_mode,
            self.kernel_size,
            self.dilation,
            self.stride,
        )
