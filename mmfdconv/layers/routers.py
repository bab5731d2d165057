"""Small parts from which routers, the predictors of gates, are built.

None of them is an ``nn.Conv2d`` or ``nn.Linear``: initialisers that go by
class name, such as MMEngine's ``dict(type='Kaiming', layer='Conv2d')``, would
redraw a router and with it the neutral start of its gates.
"""

import math
from typing import List, Optional, Sequence, Tuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

_MIN_HIDDEN = 16


def router_width(in_channels: int, reduction: float) -> int:
    """Hidden width of a router: ``reduction`` of ``C``, at least 16."""
    return max(int(in_channels * reduction), _MIN_HIDDEN)


def init_head_(head: 'RouterConv') -> None:
    """Start a router's last layer so that its gates are neutral.

    At exactly 0: in evaluation, before any training, nothing bounds what
    comes before it, and a square in a router makes 1e10 of features of 1e5.
    The layers before it get their gradient from the second step on.
    """
    nn.init.zeros_(head.weight)
    if head.bias is not None:
        nn.init.zeros_(head.bias)


class RouterConv(nn.Module):
    """Weight and bias of a convolution inside a router.

    Args:
        weight_shape: Shape of ``weight``; a 1x1 kernel's for a linear map.
        bias: Whether there is a ``bias``. Defaults to True.
    """

    def __init__(
        self,
        weight_shape: Tuple[int, ...],
        bias: bool = True,
        device=None,
        dtype=None,
    ) -> None:
        super().__init__()
        kwargs = dict(device=device, dtype=dtype)
        self.weight = nn.Parameter(torch.empty(weight_shape, **kwargs))
        if bias:
            self.bias = nn.Parameter(torch.empty(weight_shape[0], **kwargs))
        else:
            self.register_parameter('bias', None)

    def reset_parameters(self) -> None:
        """Draw as ``nn.Linear`` and ``nn.Conv2d`` do."""
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.weight[0].numel())
            nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        """Map the last dimension, ``(..., C) -> (..., O)``, in its dtype."""
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return F.linear(x, self.weight.flatten(1).to(x.dtype), bias)

    def extra_repr(self) -> str:
        """Shape of the weight."""
        bias = self.bias is not None
        return f'weight={tuple(self.weight.shape)}, bias={bias}'


def apply_heads(heads: Sequence[Optional[RouterConv]], x: Tensor) -> Tensor:
    """Several linear maps of one input in one product, side by side.

    Args:
        heads: Each with a bias; None where there is none, but not all.
        x: ``(B, C)``.

    Returns:
        ``(B, O)``, ``O`` the sum of the heads' widths, in the input's dtype.
    """
    heads = [head for head in heads if head is not None]
    weight = torch.cat([head.weight for head in heads]).flatten(1)
    bias = torch.cat([head.bias for head in heads])
    return F.linear(x, weight.to(x.dtype), bias.to(x.dtype))


def split_heads(
    y: Tensor, heads: Sequence[Optional[RouterConv]]
) -> List[Optional[Tensor]]:
    """What belongs to each head of :func:`apply_heads`, None to None."""
    widths = [0 if head is None else len(head.bias) for head in heads]
    parts = zip(y.split(widths, dim=1), heads)
    return [None if head is None else part for part, head in parts]


class RouterBatchNorm(nn.BatchNorm2d):
    """Batch normalisation of ``(B, C)`` or ``(B, C, ...)``.

    A router applies it through :func:`normalise`, which also works at any
    size and after ``SyncBatchNorm`` has replaced this layer.
    """

    def _check_input_dim(self, x: Tensor) -> None:
        if x.dim() < 2:
            raise ValueError(
                f'expected (B, C) or (B, C, ...), got shape {tuple(x.shape)}'
            )


def normalise(norm: nn.Module, x: Tensor) -> Tensor:
    """Normalise over all but the channels, at any size.

    One value has no batch statistics: its deviation from its own mean is 0,
    and PyTorch refuses it. Such a batch is normalised by the running
    statistics and leaves them as they are, so that training at batch 1 per
    GPU computes what inference will, also when gradient checkpointing runs
    the forward pass twice.

    This is not in the layer itself, because conversions put others in its
    place, to synchronised batch normalisation and back. One that spans
    processes is always asked: their values count too, and each of them must
    take part, however many it has.

    Args:
        norm: A :class:`RouterBatchNorm`, or what replaced it.
        x: ``(B, C)`` or ``(B, C, ...)``.

    Returns:
        Like ``x``, in its dtype; computed in that of the weights.
    """
    y = x.to(norm.weight.dtype)
    if norm.training and x.numel() <= x.shape[1] and not _is_spread(norm):
        y = F.batch_norm(
            y,
            norm.running_mean,
            norm.running_var,
            norm.weight,
            norm.bias,
            training=False,
            eps=norm.eps,
        )
    else:
        y = norm(y)
    return y.to(x.dtype)


def _is_spread(norm: nn.Module) -> bool:
    """Whether the values of several processes are normalised together."""
    if not isinstance(norm, nn.SyncBatchNorm):
        return getattr(norm, 'group_size', 1) > 1  # mmcv's own layer
    if not dist.is_available() or not dist.is_initialized():
        return False
    return dist.get_world_size(norm.process_group) > 1


class StarReLU(nn.Module):
    """``scale * relu(x)**2 + bias`` (arXiv:2210.13452), both learned."""

    def __init__(self, device=None, dtype=None) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1, device=device, dtype=dtype))
        self.bias = nn.Parameter(torch.zeros(1, device=device, dtype=dtype))

    def forward(self, x: Tensor) -> Tensor:
        """Activate, any shape."""
        scale, bias = self.scale.to(x.dtype), self.bias.to(x.dtype)
        return scale * F.relu(x).square() + bias


class FCRouter(nn.Sequential):
    """FC, ReLU, FC, with biases; the published names are 0 and 2."""

    def __init__(
        self, in_channels: int, hidden: int, out: int, device=None, dtype=None
    ) -> None:
        factory = dict(device=device, dtype=dtype)
        super().__init__(
            RouterConv((hidden, in_channels), **factory),
            nn.ReLU(),
            RouterConv((out, hidden), **factory),
        )

    def reset_parameters(self) -> None:
        """Draw as ``nn.Linear`` does; neutral logits."""
        self[0].reset_parameters()
        init_head_(self[2])


class SqueezeRouter(nn.Module):
    """1x1 convolution, ReLU, 1x1 convolution; the first without bias."""

    def __init__(
        self, in_channels: int, hidden: int, out: int, device=None, dtype=None
    ) -> None:
        super().__init__()
        factory = dict(device=device, dtype=dtype)
        self.fc1 = RouterConv((hidden, in_channels, 1, 1), False, **factory)
        self.fc2 = RouterConv((out, hidden, 1, 1), **factory)

    def reset_parameters(self) -> None:
        """Kaiming normal, fan out, as published; neutral logits."""
        nn.init.kaiming_normal_(self.fc1.weight, mode='fan_out')
        init_head_(self.fc2)

    def forward(self, descriptor: Tensor) -> Tensor:
        """``(B, C) -> (B, out)``."""
        return self.fc2(self.fc1(descriptor).relu())


class OmniRouter(nn.Module):
    """Descriptor -> FC -> BN -> activation -> up to four heads.

    What ODConv's attention and the global branch of FDConv's KSM share. A head
    whose gates could not act does not exist.

    Args:
        in_channels: ``C``.
        out_channels: ``O``.
        positions: ``kh * kw``; one position has no gate.
        num_kernels: Parallel kernels; one of them has no gate.
        depthwise: Such layers have no filter gate, it would repeat the
            channels'.
        reduction: Hidden width over ``C``; at least 16 wide.
        activation: After the norm.
        only_kernel: Leave out all heads but that of the parallel kernels.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        positions: int,
        num_kernels: int,
        depthwise: bool,
        reduction: float,
        activation: nn.Module,
        only_kernel: bool = False,
        device=None,
        dtype=None,
    ) -> None:
        super().__init__()
        factory = dict(device=device, dtype=dtype)
        hidden = router_width(in_channels, reduction)
        self.fc = RouterConv((hidden, in_channels, 1, 1), False, **factory)
        self.bn = RouterBatchNorm(hidden, **factory)
        self.relu = activation
        widths = {
            'channel_fc': 0 if only_kernel else in_channels,
            'filter_fc': 0 if only_kernel or depthwise else out_channels,
            'spatial_fc': 0 if only_kernel or positions == 1 else positions,
            'kernel_fc': 0 if num_kernels == 1 else num_kernels,
        }
        for name, width in widths.items():
            head = None
            if width:
                head = RouterConv((width, hidden, 1, 1), **factory)
            self.add_module(name, head)

    @property
    def heads(self) -> Tuple[Optional[RouterConv], ...]:
        """Of channels, filters, positions and kernels; or None."""
        return (*self.modulating_heads, self.kernel_fc)

    @property
    def modulating_heads(self) -> Tuple[Optional[RouterConv], ...]:
        """Of channels, filters and positions; or None."""
        return self.channel_fc, self.filter_fc, self.spatial_fc

    def reset_parameters(self) -> None:
        """Neutral gates."""
        nn.init.kaiming_normal_(self.fc.weight, mode='fan_out')
        self.bn.reset_parameters()
        for head in self.heads:
            if head is not None:
                init_head_(head)

    def hidden(self, descriptor: Tensor) -> Tensor:
        """What the heads see, ``(B, C) -> (B, hidden)``."""
        return self.relu(normalise(self.bn, self.fc(descriptor)))
