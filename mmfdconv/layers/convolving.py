"""How a layer convolves, once its kernels are known."""

from typing import Any, Optional, Tuple

import torch.nn.functional as F
from torch import Tensor

from ..functional import (
    InputParts,
    ModulatedInput,
    Stage,
    Tensors,
    apply_stage,
    pad_input,
    pad_zeros,
    per_sample_conv2d,
    recomputed_conv2d,
)

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

    def convolve_recomputed(
        self,
        input: ModulatedInput,
        input_parts: InputParts,
        kernel: Stage,
        kernel_parts: Tensors,
    ) -> Tensor:
        """Convolve each sample with its kernel, neither kept for backward.

        Args:
            input: Makes what is convolved.
            input_parts: Of what.
            kernel: Makes the kernels; see
                :func:`~mmfdconv.functional.recomputed_conv2d`.
            kernel_parts: Of what.

        Returns:
            ``(B, O, H', W')``, without bias.
        """
        padding = self.padding
        if self.padding_mode != 'zeros' or isinstance(padding, str):
            # It stands between the two, and is not among the stages.
            x, padding = self._pad(apply_stage(input, *input_parts))
            if isinstance(padding, str):
                x, padding = pad_zeros(
                    x, padding, self.kernel_size, self.dilation
                )
            input, input_parts = ModulatedInput(None), InputParts(x)
        return recomputed_conv2d(
            input,
            kernel,
            input_parts,
            kernel_parts,
            self.weight_shape,
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
            self.stride,
        )
