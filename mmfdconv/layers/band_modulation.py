"""Frequency Band Modulation (FBM) of FDConv, arXiv:2503.18783, Sec. 3.4.

Parameters bear the published names.
"""

from typing import Optional, Sequence

import torch
from torch import Tensor, nn

from ..functional import (
    MASK_RULES,
    convolve_to_few,
    low_pass_coefficients,
    modulate_bands,
    no_autocast,
    passes_by_products,
    wide,
)
from .checks import check_choice, check_numbers, check_positive_int
from .routers import RouterConv, init_head_


class FrequencyBandModulation(nn.Module):
    r"""FBM: weigh the frequency bands of the input, each by a spatial map.

    .. math:: Y = \sum_b A_b(X) \odot X_b

    Args:
        in_channels: ``C``.
        k_list: The bands' upper bounds as divisors of the Nyquist frequency,
            growing. Defaults to octaves.
        lowfreq_att: Whether the lowest band has a map too.
        act: ``'sigmoid'`` (times 2), ``'tanh'`` (plus 1) or ``'softmax'``
            (over the spatial groups, times their number).
        spatial_group: Number of maps per band; more than 64 stand for one per
            channel, as published.
        spatial_kernel: Size of the convolution that predicts the maps, odd.
        init: ``'zero'``: every map is 1 at the start; ``'default'``: PyTorch's
            initialisation of a convolution, so the layer does not start as
            the stock one.
        mask: ``'exact'``, the paper's low-pass, or ``'nearest64'``, the
            published code's, made at 64x64 and resized.
    """

    def __init__(
        self,
        in_channels: int,
        k_list: Sequence[int] = (2, 4, 8),
        lowfreq_att: bool = False,
        act: str = 'sigmoid',
        spatial_group: int = 1,
        spatial_kernel: int = 3,
        init: str = 'zero',
        mask: str = 'exact',
        device=None,
        dtype=None,
    ) -> None:
        super().__init__()
        check_numbers("fbm_cfg['k_list']", k_list)
        k_list = list(k_list)
        if not k_list or k_list != sorted(set(k_list)) or k_list[0] < 1:
            raise ValueError(
                "fbm_cfg['k_list'] must be growing divisors of the Nyquist "
                f'frequency >= 1, such as [2, 4, 8], got {k_list!r}'
            )
        check_choice("fbm_cfg['act']", act, ('sigmoid', 'tanh', 'softmax'))
        check_choice("fbm_cfg['init']", init, ('zero', 'default'))
        check_choice("fbm_cfg['mask']", mask, MASK_RULES)
        check_positive_int("fbm_cfg['spatial_group']", spatial_group)
        check_positive_int("fbm_cfg['spatial_kernel']", spatial_kernel)
        if spatial_kernel % 2 == 0:
            raise ValueError(
                "fbm_cfg['spatial_kernel'] must be odd, so that the maps are "
                f'as large as the input, got {spatial_kernel}'
            )
        if spatial_group > 64:
            spatial_group = in_channels
        if in_channels % spatial_group:
            raise ValueError(
                "fbm_cfg['spatial_group'] must divide in_channels="
                f'{in_channels}, got {spatial_group}'
            )
        self.k_list = k_list
        self.lowfreq_att = lowfreq_att
        self.act = act
        self.spatial_group = spatial_group
        self.init = init
        self.mask = mask
        shape = (spatial_group, in_channels // spatial_group)
        shape += (spatial_kernel, spatial_kernel)
        self.freq_weight_conv_list = nn.ModuleList(
            RouterConv(shape, device=device, dtype=dtype)
            for _ in range(len(k_list) + lowfreq_att)
        )

    def reset_parameters(self) -> None:
        """Maps of 1, or PyTorch's initialisation."""
        for conv in self.freq_weight_conv_list:
            if self.init == 'zero':
                init_head_(conv)
            else:
                conv.reset_parameters()

    def logits(self, x: Tensor) -> Tensor:
        """What :meth:`modulate` makes the maps of all bands of.

        Returns:
            ``(B, S * bands, H, W)`` for ``S = spatial_group``, in the input's
            dtype.
        """
        convs = self.freq_weight_conv_list
        # (S, bands, C/S, k, k) -> (S * bands, C/S, k, k), grouped by S
        weight = torch.stack([c.weight for c in convs], dim=1).flatten(0, 1)
        bias = torch.stack([c.bias for c in convs], dim=1).flatten()
        weight, bias = weight.to(x.dtype), bias.to(x.dtype)
        return convolve_to_few(x, weight, bias, self.spatial_group)

    def coefficients(self, x: Tensor) -> Optional[Tensor]:
        """What spares :meth:`modulate` some work, a quarter of the input."""
        if not passes_by_products(x, self.mask):
            return None
        return low_pass_coefficients(x.to(wide(x.dtype)), self.k_list)

    def modulate(
        self, x: Tensor, logits: Tensor, coefficients: Optional[Tensor] = None
    ) -> Tensor:
        """Weigh the bands by the maps, ``(B, C, H, W)``, in the input's dtype.

        The bands are computed in float32 at least: cuFFT's half precision
        knows powers of two only.
        """
        y = modulate_bands(
            x.to(wide(x.dtype)),
            self.activate(logits),
            self.k_list,
            self.mask,
            coefficients,
        )
        return y.to(x.dtype)

    def activate(self, logits: Tensor) -> Tensor:
        """Turn :meth:`logits` into maps, ``(B, S, bands, H, W)``."""
        groups, bands = self.spatial_group, len(self.freq_weight_conv_list)
        logits = logits.to(wide(logits.dtype)).unflatten(1, (groups, bands))
        if self.act == 'softmax':
            return logits.softmax(dim=1) * groups
        if self.act == 'tanh':
            return 1 + logits.tanh()
        return logits.sigmoid() * 2

    def maps(self, x: Tensor) -> Tensor:
        """Spatial maps of all bands, ``(B, C, H, W) -> (B, S, bands, H, W)``.

        ``S`` is ``spatial_group``; float32 at least.
        """
        return self.activate(self.logits(x))

    def forward(self, x: Tensor) -> Tensor:
        """Modulate, ``(B, C, H, W) -> (B, C, H, W)``, in the input's dtype."""
        with no_autocast(x):
            return self.modulate(x, self.logits(x))

    def extra_repr(self) -> str:
        """What the bands are."""
        return (
            f'k_list={self.k_list}, lowfreq_att={self.lowfreq_att}, '
            f'act={self.act!r}, spatial_group={self.spatial_group}, '
            f'mask={self.mask!r}'
        )
