"""How a layer convolves, once its kernels are known."""

from typing import Any, Optional, Tuple

import torch.nn.functional as F
from torch import Tensor

from ..functional import pad_input, per_sample_conv2d

__all__ = ['Convolving']


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

    def _pad(self, x: Tensor) -> Tuple[Tensor, Any]:
        return pad_input(
            x,
            self.padding,
            self.padding_mode,
            self.kernel_size,
            self.dilation,
        )
