"""Descriptors: from a feature map ``(B, C, H, W)`` to a vector ``(B, C)``.

Global average pooling (GAP), or FADConv's frequency attention (FAT, Shu &
Shen, JAG 2026, arXiv:2504.03510). Any router takes either: ODConv with FAT is
the paper's FODConv, KernelWarehouse with FAT its FKW.
"""

from typing import Any, Mapping, Optional, Union

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..functional import (
    dct_basis,
    dct_descriptor,
    is_exported,
    pool_exported,
    wide,
)
from .checks import check_choice, check_positive_int
from .routers import RouterConv

DescriptorCfg = Union[str, Mapping[str, Any]]

_FAT_OPTIONS = ('pool_size', 'low_freq', 'high_freq', 'fusion')
_FUSION_HIDDEN = 32


class Descriptor(nn.Module):
    """What a layer's gates see of its input, one vector for each image.

    Routers see nothing else: a model whose descriptors are given has fixed
    gates, see :mod:`.fixed_gates`.
    """


class GlobalAveragePool(Descriptor):
    """Mean over the map, in float32 at least."""

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, H, W) -> (B, C)``."""
        dtype = wide(x.dtype)
        return x.mean(dim=(2, 3), dtype=dtype)

    def reset_parameters(self) -> None:
        """Nothing to draw."""


class PooledGrid(Descriptor):
    """Means over the cells of an ``s x s`` grid, in float32 at least."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, H, W) -> (B, C s^2)``."""
        x = x.to(wide(x.dtype))
        pool = pool_exported if is_exported() else F.adaptive_avg_pool2d
        return pool(x, self.size).flatten(1)

    def extra_repr(self) -> str:
        """Side of the grid."""
        return f'size={self.size}'


class FrequencyAttention(Descriptor):
    """FAT: pool to ``P x P``, 2-D DCT, fuse the lowest coefficients.

    Args:
        in_channels: ``C``.
        pool_size: ``P``. Defaults to 16.
        low_freq: ``n``: the ``n x n`` lowest coefficients. Defaults to 4.
        high_freq: ``h``: also the ``h x h`` highest ones, as the published
            code can. Defaults to 0.
        fusion: How the coefficients of a channel become one number (the
            paper's Table 6). ``'net'``: a small net shared by all channels,
            ``n*n + h*h -> 32 -> 1``, sigmoid. ``'add'``: their sum.
            ``'add_abs'``: the sum of their magnitudes. ``'fca'``: as in
            FcaNet (arXiv:2012.11879), the channels are cut into as many parts
            as there are coefficients and each part takes its own. The paper
            names the last three without formulas; these are our reading.

    Raises:
        ValueError: An argument is out of range.
    """

    def __init__(
        self,
        in_channels: int,
        pool_size: int = 16,
        low_freq: int = 4,
        high_freq: int = 0,
        fusion: str = 'net',
        device=None,
        dtype=None,
    ) -> None:
        super().__init__()
        check_positive_int('pool_size', pool_size)
        check_positive_int('low_freq', low_freq)
        if high_freq:
            check_positive_int('high_freq', high_freq)
        for name, value in (('low_freq', low_freq), ('high_freq', high_freq)):
            if value > pool_size:
                raise ValueError(
                    f'{name} must be at most pool_size, the side of the DCT, '
                    f'got {name}={value} and pool_size={pool_size}'
                )
        check_choice('fusion', fusion, ('net', 'fca', 'add', 'add_abs'))
        self.in_channels = in_channels
        self.pool_size = pool_size
        self.low_freq = low_freq
        self.high_freq = high_freq
        self.fusion_mode = fusion
        self._place_basis(device)
        self.fusion = None
        if fusion == 'net':
            kwargs = dict(device=device, dtype=dtype)
            count = low_freq**2 + high_freq**2
            # Positions 0 and 2 of a Sequential are the published names.
            self.fusion = nn.Sequential(
                RouterConv((_FUSION_HIDDEN, count), **kwargs),
                nn.ReLU(),
                RouterConv((1, _FUSION_HIDDEN), **kwargs),
            )

    def _place_basis(self, device: Optional[torch.device]) -> None:
        # Not in checkpoints: it follows from pool_size.
        basis = dct_basis(self.pool_size, device, torch.float32)
        self.register_buffer('basis', basis, persistent=False)

    def _apply(self, *args: Any, **kwargs: Any) -> 'FrequencyAttention':
        """Move or cast; the basis is constant and put there anew.

        ``to_empty()`` leaves any values in it, and ``half()`` would round it.
        """
        super()._apply(*args, **kwargs)
        self._place_basis(self.basis.device)
        return self

    def reset_parameters(self) -> None:
        """Draw the fusion net as ``nn.Linear`` does."""
        for layer in self.fusion or ():
            if isinstance(layer, RouterConv):
                layer.reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, H, W) -> (B, C)``, in float32 at least."""
        dtype = wide(x.dtype)
        basis = self.basis
        # In double precision, or off the meta device by assignment.
        if basis.dtype != dtype or basis.device != x.device:
            basis = dct_basis(self.pool_size, x.device, dtype)
        coefficients = dct_descriptor(
            x, basis, self.low_freq, self.high_freq
        )  # (B, C, n*n + h*h)
        if self.fusion_mode == 'net':
            return self.fusion(coefficients).squeeze(-1).sigmoid()
        if self.fusion_mode == 'add':
            return coefficients.sum(dim=2)
        if self.fusion_mode == 'add_abs':
            return coefficients.abs().sum(dim=2)
        C, count = coefficients.shape[1:]
        part = torch.arange(C, device=x.device) * count // C
        one_hot = F.one_hot(part, count).to(dtype)  # (C, count)
        return (coefficients * one_hot).sum(dim=2)

    def extra_repr(self) -> str:
        """Size of the DCT and what is kept of it."""
        return (
            f'pool_size={self.pool_size}, low_freq={self.low_freq}, '
            f'high_freq={self.high_freq}, fusion={self.fusion_mode!r}'
        )


_KINDS = {'gap': GlobalAveragePool, 'fat': FrequencyAttention}


def build_descriptor(
    cfg: DescriptorCfg, in_channels: int, device=None, dtype=None
) -> nn.Module:
    """Build a descriptor.

    Args:
        cfg: ``'gap'``, ``'fat'``, or a dict with ``type`` and options, such
            as ``dict(type='fat', pool_size=32)``.
        in_channels: ``C``.
        device: Where to create parameters.
        dtype: Of the parameters.

    Raises:
        ValueError: The kind does not exist, or an option is wrong.
    """
    options = dict(cfg) if isinstance(cfg, Mapping) else dict(type=cfg)
    kind = options.pop('type', None)
    check_choice('descriptor', kind, tuple(_KINDS))
    if kind == 'gap':
        if options:
            raise ValueError(
                f"descriptor='gap' has no options, got {sorted(options)}"
            )
        return GlobalAveragePool()
    unknown = [name for name in options if name not in _FAT_OPTIONS]
    if unknown:
        raise ValueError(
            f"descriptor='fat' has the options {', '.join(_FAT_OPTIONS)}, "
            f'got {", ".join(map(str, unknown))}'
        )
    return FrequencyAttention(
        in_channels, **options, device=device, dtype=dtype
    )
