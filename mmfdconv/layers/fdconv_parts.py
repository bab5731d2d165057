"""Kernel Spatial Modulation (KSM) of FDConv: its global and local branch.

Paper: arXiv:2503.18783, Sec. 3.3. Parameters bear the published names.
"""

import math
from typing import NamedTuple, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..functional import constant_table, is_exported
from .routers import (
    OmniRouter,
    RouterConv,
    StarReLU,
    apply_heads,
    init_head_,
    split_heads,
)


class GlobalGates(NamedTuple):
    """What the global branch predicts; None where a head does not exist."""

    channel: Optional[Tensor]  # (B, C), input channels
    filter: Optional[Tensor]  # (B, O), output channels
    spatial: Optional[Tensor]  # (B, kh * kw), kernel positions
    kernel: Tensor  # (B, R * K), frequency groups

    def rows(
        self, weight_shape: Tuple[int, int, int, int], groups: int
    ) -> Optional[Tensor]:
        """Those of input channels and of positions, as rows of the kernel.

        Args:
            weight_shape: ``(O, C/G, kh, kw)``.
            groups: ``G``.

        Returns:
            ``(B, G or 1, 1, kh or 1, C/G * kw)``; None where there are none.
        """
        _, I, kh, kw = weight_shape  # noqa: E741
        B, row = self.kernel.shape[0], None
        if self.channel is not None:
            row = self.channel.view(B, groups, 1, 1, I, 1)
        if self.spatial is not None:
            spatial = self.spatial.view(B, 1, 1, kh, 1, kw)
            row = spatial if row is None else row * spatial
        if row is None:
            return None
        return row.expand(-1, -1, -1, -1, I, kw).flatten(4)


class KernelSpatialModulationGlobal(OmniRouter):
    """KSM, global branch: descriptor -> FC -> BN -> StarReLU -> four heads.

    Args:
        in_channels: ``C``.
        out_channels: ``O``.
        kernel_size: ``(kh, kw)``.
        groups: ``G``.
        num_kernel_gates: ``R * K``.
        reduction: Hidden width over ``C``; at least 16 wide.
        temperature: Divides the logits of channels, filters and positions.
        kernel_temperature: Divides the logits of the frequency groups.
        att_multi: Scale of the sigmoid.
        only_kernel: Predict the frequency groups' gates alone.
        act: ``'sigmoid'``, ``'tanh'``, or, with ``only_kernel``,
            ``'softmax'``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Tuple[int, int],
        groups: int,
        num_kernel_gates: int,
        reduction: float,
        temperature: float,
        kernel_temperature: float,
        att_multi: float,
        only_kernel: bool,
        act: str,
        device=None,
        dtype=None,
    ) -> None:
        factory = dict(device=device, dtype=dtype)
        super().__init__(
            in_channels,
            out_channels,
            kernel_size[0] * kernel_size[1],
            num_kernel_gates,
            groups == in_channels == out_channels,
            reduction,
            StarReLU(**factory),
            only_kernel,
            **factory,
        )
        self.temperature = temperature
        self.kernel_temperature = kernel_temperature
        self.att_multi = att_multi
        self.act = act
        self.num_kernel_gates = num_kernel_gates
        self._num_modulating = sum(
            head.weight.shape[0]
            for head in self.modulating_heads
            if head is not None
        )

    def reset_parameters(self) -> None:
        """Neutral gates."""
        super().reset_parameters()
        nn.init.ones_(self.relu.scale)
        nn.init.zeros_(self.relu.bias)

    def start_gain(self) -> float:
        """Product of the neutral gates, the frequency groups' left out."""
        if self.act != 'sigmoid':
            return 1.0
        number = sum(head is not None for head in self.modulating_heads)
        return (self.att_multi / 2) ** number

    def forward(self, descriptor: Tensor) -> GlobalGates:
        """Predict the gates from ``(B, C)``."""
        hidden = self.hidden(descriptor)
        gates = self._activate(apply_heads(self.heads, hidden))
        *modulating, kernel = split_heads(gates, self.heads)
        if kernel is None:
            kernel = hidden.new_ones(hidden.shape[0], 1)
        return GlobalGates(*modulating, kernel)

    def _activate(self, logits: Tensor) -> Tensor:
        """Turn the logits of all heads into gates.

        Those of frequency groups are 1 / (R K) each at the start, and
        ``att_multi`` is not for them: 2 * sigmoid, as published.
        """
        K = self.num_kernel_gates
        logits = self._scale(
            logits, 1 / self.temperature, 1 / self.kernel_temperature
        )
        if self.act == 'softmax':
            return logits.softmax(dim=1)
        if self.act == 'tanh':
            return self._scale(1 + logits.tanh(), 1.0, 1 / K)
        return self._scale(logits.sigmoid(), self.att_multi, 2 / K)

    def _scale(self, x: Tensor, modulating: float, kernel: float) -> Tensor:
        """Multiply the frequency groups by another number than the rest."""
        if modulating == kernel == 1:
            return x
        last = 0 if self.kernel_fc is None else self.num_kernel_gates
        numbers = (self._num_modulating, modulating), (last, kernel)
        return x * _repeat(*numbers, x.device, x.dtype)


@constant_table
def _repeat(
    first: Tuple[int, float],
    last: Tuple[int, float],
    device: torch.device,
    dtype: torch.dtype,
) -> Tensor:
    """Two numbers, each as often as it says, in a row."""
    places = torch.arange(first[0] + last[0], device=device)
    table = torch.full_like(places, last[1], dtype=dtype)
    return table.masked_fill(places < first[0], first[1])


@constant_table
def _diagonal(size: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    return torch.eye(size, device=device, dtype=dtype)


class KernelSpatialModulationLocal(nn.Module):
    """KSM, local branch: a gate for every element of the kernel.

    The descriptor, normalised over its channels, is convolved along them; an
    input channel's gates come from its neighbours in channel order (ECA-Net,
    arXiv:1910.03151, gives the width of the neighbourhood).

    Args:
        in_channels: ``C``.
        out_channels: ``O``.
        kernel_size: ``(kh, kw)``.
        groups: ``G``. An output channel looks at the input channels of its
            own group.
        act: ``'sigmoid'`` or ``'tanh'``.
        att_multi: Scale of the sigmoid.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Tuple[int, int],
        groups: int,
        act: str,
        att_multi: float,
        device=None,
        dtype=None,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = kernel_size
        self.groups = groups
        self.act = act
        self.att_multi = att_multi
        kwargs = dict(device=device, dtype=dtype)
        self.window = round(math.log2(in_channels) / 2 + 0.5) // 2 * 2 + 1
        num_gates = out_channels * kernel_size[0] * kernel_size[1]
        self.conv = RouterConv((num_gates, 1, self.window), False, **kwargs)
        self.norm = nn.LayerNorm(in_channels, **kwargs)

    def reset_parameters(self) -> None:
        """Neutral gates."""
        init_head_(self.conv)
        self.norm.reset_parameters()

    def start_gain(self) -> float:
        """The neutral gate."""
        return self.scale / 2

    @property
    def scale(self) -> float:
        """Of the gate, ``scale * sigmoid(taps @ neighbours)``."""
        return self.att_multi if self.act == 'sigmoid' else 2.0

    def forward(self, descriptor: Tensor) -> Tensor:
        """Predict ``(B, O*kh, C/G*kw)``, laid out as FDW, from ``(B, C)``."""
        neighbours = self.neighbours(descriptor)
        logit = self.taps(descriptor.dtype) @ neighbours
        return self.scale * logit.sigmoid().flatten(1, 2)

    def taps(self, dtype: torch.dtype) -> Tensor:
        """Weights of the convolution, for a product with the neighbours.

        Returns:
            ``(G, O/G*kh, kw * n)`` for a window of ``n`` channels.
        """
        weight = self.conv.weight.to(dtype)  # (O * kh * kw, 1, n)
        if self.act == 'tanh':
            weight = 2 * weight  # 1 + tanh(z) = 2 sigmoid(2 z)
        return weight.view(self.groups, -1, self.kernel_size[1] * self.window)

    def neighbours(self, descriptor: Tensor) -> Tensor:
        """What the 1-D convolution sees, laid out for a matrix product.

        Args:
            descriptor: ``(B, C)``.

        Returns:
            ``(B, G, kw * n, C/G * kw)`` for a window of ``n`` channels. The
            columns are those of the kernel's image: position q of the kernel
            takes the taps of position q.
        """
        C, G, n = self.in_channels, self.groups, self.window
        I = C // G  # noqa: E741
        kw = self.kernel_size[1]
        norm, dtype = self.norm, descriptor.dtype
        x = F.layer_norm(
            descriptor,
            (C,),
            norm.weight.to(dtype),
            norm.bias.to(dtype),
            norm.eps,
        )
        # The zero-padded neighbours of every channel, (B, G, n, I).
        x = F.pad(x, (n // 2, n // 2))
        if is_exported():  # to where overlapping views are not known
            x = torch.stack([x[:, i : i + C] for i in range(n)], dim=1)
        else:
            x = x.unfold(1, C, 1)
        x = x.unflatten(2, (G, I)).transpose(1, 2)
        if kw == 1:
            return x
        # On the diagonal of the positions, (B, G, kw, n, I, kw).
        x = x.contiguous()
        places = _diagonal(kw, x.device, dtype).view(kw, 1, 1, kw)
        x = x[:, :, None, :, :, None] * places
        return x.reshape(-1, G, kw * n, I * kw)
