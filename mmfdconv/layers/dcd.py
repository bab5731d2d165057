"""DCD: dynamic convolution decomposition.

Paper: Li et al., "Revisiting Dynamic Convolution via Matrix Decomposition",
ICLR 2021, arXiv:2103.08756, Eq. (8). Checkpoints of
github.com/liyunsheng13/dcd load as they are.

Differs from the published code in: the start, where ``P`` is random; any
kernel, padding, dilation and groups of the static part.
"""

import math
from typing import Any, Dict, Mapping, Union

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..functional import no_autocast
from .base import DynamicConv2d, IntOrPair
from .checks import check_positive_int
from .descriptors import PooledGrid
from .routers import RouterBatchNorm, RouterConv, init_head_, normalise

_REDUCTION = 16
_MIN_SQUEEZE = 4
_BASIC_BLOCK_DEPTHS = (10, 18, 34)  # of ResNets


def _hard_sigmoid_2(x: Tensor) -> Tensor:
    """``relu6(x + 3) / 3``: between 0 and 2, 1 at 0."""
    return F.relu6(x + 3) / 3


class _SelfGate(nn.Module):
    """``y * hard_sigmoid(FC(y))``; ``fc.0`` is the published name."""

    def __init__(self, width: int, device=None, dtype=None) -> None:
        super().__init__()
        factory = dict(device=device, dtype=dtype)
        self.fc = nn.Sequential(RouterConv((width, width), False, **factory))

    def forward(self, y: Tensor) -> Tensor:
        return y * _hard_sigmoid_2(self.fc(y))


class DCDConv(DynamicConv2d):
    r"""A static kernel with scaled output channels, plus a low-rank path.

    .. math:: y = \Lambda(x) W_0 * x + P \, \Phi(x) \, Q^T x

    ``Lambda`` is the diagonal channel scale, ``Phi`` an ``L x L`` matrix in
    the latent space of ``L = floor(sqrt(C s^2))`` channels; ``Phi`` and
    ``Lambda`` come from one squeezed descriptor.

    ``Lambda = 1`` and ``P = 0`` at the start, so the layer starts as its stock
    convolution. No stock weight enters the dynamic path ``P Phi Q^T``, a 1x1
    convolution in parallel to the static one.

    Args:
        squeeze_size: ``s``: the input is pooled to ``s x s`` for the
            descriptor. The authors use 1 (pointwise form) in bottlenecks and 2
            (spatial form) in basic blocks. Defaults to 1.

    The other arguments are those of ``nn.Conv2d``.

    Shape:
        Input ``(B, C, H, W)``, output ``(B, O, H', W')`` as in ``nn.Conv2d``.

    Raises:
        ValueError: An argument is out of range.
    """

    # The whole dynamic path: none of it stands in a stock checkpoint.
    router_names = ('fc', 'fc_phi', 'fc_scale', 'q', 'p', 'bn1', 'bn2')

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntOrPair,
        stride: IntOrPair = 1,
        padding: Union[str, IntOrPair] = 0,
        dilation: IntOrPair = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = 'zeros',
        device=None,
        dtype=None,
        *,
        squeeze_size: int = 1,
    ) -> None:
        factory = dict(device=device, dtype=dtype)
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            groups,
            bias,
            padding_mode,
            **factory,
        )
        check_positive_int('squeeze_size', squeeze_size)
        self.squeeze_size = squeeze_size
        width = in_channels * squeeze_size**2
        self.dim = math.isqrt(width)
        squeeze = max(max(width, self.dim**2) // _REDUCTION, _MIN_SQUEEZE)
        self.descriptor = PooledGrid(squeeze_size)
        self.weight = nn.Parameter(torch.empty(self.weight_shape, **factory))
        self.q = RouterConv((self.dim, in_channels, 1, 1), False, **factory)
        self.p = RouterConv((out_channels, self.dim, 1, 1), False, **factory)
        self.bn1 = RouterBatchNorm(self.dim, **factory)
        self.bn2 = RouterBatchNorm(self.dim, **factory)
        self.fc = nn.Sequential(
            RouterConv((squeeze, width), False, **factory),
            _SelfGate(squeeze, **factory),
        )
        self.fc_phi = RouterConv((self.dim**2, squeeze), False, **factory)
        self.fc_scale = RouterConv((out_channels, squeeze), False, **factory)
        self.reset_parameters()

    @classmethod
    def suited_options(
        cls, backbone: str, settings: Mapping[str, Any]
    ) -> Dict[str, Any]:
        """The spatial form, the authors' in blocks of 3x3 kernels."""
        timm = str(settings.get('model_name', '')).rstrip('d')
        spatial = (
            backbone in ('UNet', 'VGG')
            or settings.get('depth') in _BASIC_BLOCK_DEPTHS
            or timm in ('resnet10t', 'resnet18', 'resnet34')
        )
        return dict(squeeze_size=2) if spatial else {}

    def reset_parameters(self) -> None:
        """Draw the kernel as ``nn.Conv2d`` does; neutral gates."""
        bound = self.weight[0].numel() ** -0.5
        nn.init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            nn.init.uniform_(self.bias, -bound, bound)
        self.reset_router()

    def reset_router(self) -> None:
        """``Lambda = 1`` and no dynamic path."""
        for router in (*self.fc.modules(), self.fc_phi, self.q):
            if isinstance(router, RouterConv):
                router.reset_parameters()
        init_head_(self.fc_scale)
        init_head_(self.p)
        self.bn1.reset_parameters()
        self.bn2.reset_parameters()

    @torch.no_grad()
    def load_stock_(self, weight: Tensor) -> None:
        """Take over a stock kernel ``(O, C/G, kh, kw)``, in place."""
        self.weight.copy_(weight)

    def _at_output(self, x: Tensor) -> Tensor:
        """The padded input under the centre of the kernel at every output."""
        x, padding = self._pad(x)
        sides = []
        for axis in (1, 0):  # F.pad counts from the last dimension
            extent = self.dilation[axis] * (self.kernel_size[axis] - 1)
            if padding == 'same':
                near, total = extent // 2, extent
            elif padding == 'valid':
                near, total = 0, 0
            else:
                near = padding[axis]
                total = 2 * near
            near -= extent // 2
            sides += [near, total - extent - near]
        if any(sides):
            x = F.pad(x, sides)  # negative sides cut
        return x[..., :: self.stride[0], :: self.stride[1]]

    def forward_batch(self, x: Tensor) -> Tensor:
        """Convolve, ``(B, C, H, W) -> (B, O, H', W')``."""
        B = x.shape[0]
        with no_autocast(x):
            y = self.fc(self.descriptor(x))
            phi = self.fc_phi(y).view(B, self.dim, self.dim)
            scale = _hard_sigmoid_2(self.fc_scale(y))  # (B, O)
        static = self.convolve_static(x, self.weight, None)
        static = static * scale.to(static.dtype)[..., None, None]
        latent = normalise(
            self.bn1, F.conv2d(self._at_output(x), self.q.weight)
        )
        flat = latent.flatten(2)  # (B, L, H' * W')
        flat = normalise(self.bn2, phi.to(flat.dtype) @ flat) + flat
        dynamic = F.conv2d(flat.view_as(latent), self.p.weight)
        out = dynamic + static
        if self.bias is not None:
            out = out + self.bias.to(out.dtype).view(-1, 1, 1)
        return out

    # ------------------------------------------------------------ checkpoint

    def _load_from_state_dict(
        self, state_dict, prefix, local_metadata, strict, *messages
    ) -> None:
        # Published name of the static kernel.
        published = state_dict.pop(f'{prefix}conv.weight', None)
        if published is not None:
            state_dict[f'{prefix}weight'] = published
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, *messages
        )
