"""How a layer convolves, once its kernels are known."""

from typing import Any, Optional, Tuple

import torch.nn.functional as F
from torch import Tensor

from ..functional import pad_input, per_sample_conv2d

__all__ = ['Convolving']


class Convolving:
    """Mixed into a layer that has the attributes of ``nn.Conv2d``."""

    #: Whether kernels that could be assembled anew are kept for the backward
    #: pass after all: faster by one assembly, for a kernel's memory a sample.
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
