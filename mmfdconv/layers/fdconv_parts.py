"""Kernel Spatial Modulation (KSM) of FDConv: its global and local branch.

Paper: arXiv:2503.18783, Sec. 3.3. Parameters bear the published names.
"""

import math
from typing import NamedTuple, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .routers import (
    RouterBatchNorm,
    RouterConv,
    StarReLU,
    apply_heads,
    init_head_,
    normalise,
    split_heads,
)

__all__ = [
    'GlobalGates',
    'KernelSpatialModulationGlobal',
    'KernelSpatialModulationLocal',
    'apply_gate_activation',
]

_MIN_HIDDEN = 16


def apply_gate_activation(logit: Tensor, act: str, scale: float) -> Tensor:
    """Turn logits into gates.

    Args:
        logit: Any shape.
        act: ``'sigmoid'``, ``scale * sigmoid(logit)``, or ``'tanh'``,
            ``1 + tanh(logit)``.
        scale: The published ``att_multi``; 2 makes a zero logit neutral.
    """
    if act == 'sigmoid':
        return logit.sigmoid() * scale
    return 1 + logit.tanh()


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
            row = row.expand(-1, -1, -1, -1, -1, kw)
        if self.spatial is not None:
            spatial = self.spatial.view(B, 1, 1, kh, 1, kw)
            spatial = spatial.expand(-1, -1, -1, -1, I, -1)
            row = spatial if row is None else row * spatial
        return None if row is None else row.flatten(4)


class KernelSpatialModulationGlobal(nn.Module):
    """KSM, global branch: descriptor -> FC -> BN -> StarReLU -> four heads.

    Args:
        in_channels: ``C``.
        out_channels: ``O``.
        kernel_size: ``(kh, kw)``; a 1x1 kernel has no position gate.
        groups: Depthwise layers have no output-channel gate, it would repeat
            the input channels'.
        num_kernel_gates: ``R * K``; a single group has no gate.
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
        super().__init__()
        self.temperature = temperature
        self.kernel_temperature = kernel_temperature
        self.att_multi = att_multi
        self.act = act
        self.num_kernel_gates = num_kernel_gates
        kwargs = dict(device=device, dtype=dtype)
        hidden = max(int(in_channels * reduction), _MIN_HIDDEN)
        self.fc = RouterConv((hidden, in_channels, 1, 1), False, **kwargs)
        self.bn = RouterBatchNorm(hidden, **kwargs)
        self.relu = StarReLU(**kwargs)
        depthwise = groups == in_channels == out_channels
        positions = kernel_size[0] * kernel_size[1]
        widths = {
            'channel_fc': 0 if only_kernel else in_channels,
            'filter_fc': 0 if only_kernel or depthwise else out_channels,
            'spatial_fc': 0 if only_kernel or positions == 1 else positions,
            'kernel_fc': 0 if num_kernel_gates == 1 else num_kernel_gates,
        }
        for name, width in widths.items():
            head = None
            if width:
                head = RouterConv((width, hidden, 1, 1), **kwargs)
            self.add_module(name, head)

    @property
    def heads(self) -> Tuple[RouterConv, ...]:
        """The heads that exist."""
        heads = (
            self.channel_fc,
            self.filter_fc,
            self.spatial_fc,
            self.kernel_fc,
        )
        return tuple(head for head in heads if head is not None)

    def reset_parameters(self) -> None:
        """Neutral gates."""
        nn.init.kaiming_normal_(self.fc.weight, mode='fan_out')
        self.bn.reset_parameters()
        nn.init.ones_(self.relu.scale)
        nn.init.zeros_(self.relu.bias)
        for head in self.heads:
            init_head_(head)

    def start_gain(self) -> float:
        """Product of the neutral gates, the frequency groups' left out."""
        if self.act != 'sigmoid':
            return 1.0
        modulating = [h for h in self.heads if h is not self.kernel_fc]
        return (self.att_multi / 2) ** len(modulating)

    def forward(self, descriptor: Tensor) -> GlobalGates:
        """Predict the gates from ``(B, C)``."""
        hidden = normalise(self.bn, self.fc(descriptor))
        hidden = self.relu(hidden)  # (B, hidden)
        logit, kernel_logit = self._logits(hidden)
        gates = apply_gate_activation(
            _divide(logit, self.temperature), self.act, self.att_multi
        )
        modulating = (self.channel_fc, self.filter_fc, self.spatial_fc)
        return GlobalGates(
            *split_heads(gates, modulating),
            kernel=self._kernel_gate(kernel_logit),
        )

    def _logits(self, hidden: Tensor) -> Tuple[Tensor, Tensor]:
        """Of the modulating heads side by side, and of frequency groups."""
        if not self.heads:
            return hidden[:, :0], hidden[:, :0]
        logits = apply_heads(self.heads, hidden)
        last = 0 if self.kernel_fc is None else self.num_kernel_gates
        return logits.split([logits.shape[1] - last, last], dim=1)

    def _kernel_gate(self, logit: Tensor) -> Tensor:
        """Gates of the frequency groups, 1 / (R K) each at the start."""
        if self.kernel_fc is None:
            return logit.new_ones(logit.shape[0], 1)
        logit = _divide(logit, self.kernel_temperature)
        if self.act == 'softmax':
            return logit.softmax(dim=1)
        # att_multi is not for these: 2 * sigmoid, as published.
        gate = apply_gate_activation(logit, self.act, 2.0)
        return gate / self.num_kernel_gates


def _divide(logit: Tensor, temperature: float) -> Tensor:
    return logit if temperature == 1 else logit / temperature


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
        windows = [x[:, i : i + C].unflatten(1, (G, I)) for i in range(n)]
        x = torch.stack(windows, dim=2)[:, :, None, :, :, None]
        # On the diagonal of the positions, (B, G, kw, n, I, kw).
        x = x * torch.eye(kw, dtype=dtype, device=x.device).view(kw, 1, 1, kw)
        return x.reshape(-1, G, kw * n, I * kw)
