"""CondConv: conditionally parameterised convolution.

Paper: Yang et al., NeurIPS 2019, arXiv:1904.04971, Eq. (1)-(2). The router is
the paper's, a linear map of the pooled input under a sigmoid.

Left open by the paper, chosen here: the start from a stock convolution. The
router starts at 0, every weight at 0.5; experts are the stock kernel over half
their number, plus noise that cancels in their sum and lets them part.
"""

from typing import Union

from torch import Tensor

from .base import IntOrPair
from .descriptors import DescriptorCfg, build_descriptor
from .expert_conv import ExpertConv2d
from .routers import RouterConv, init_head_


class CondConv(ExpertConv2d):
    r"""Mix ``K`` kernels with sigmoid weights, which need not sum to 1.

    .. math:: W = \sum_k \alpha_k W_k, \quad
              \alpha = \sigma(R \, \mathrm{GAP}(x))

    Args:
        num_experts: ``K``, number of kernels. Defaults to 8.
        descriptor: ``'gap'``, ``'fat'``, or a dict with options, see
            :func:`~mmfdconv.layers.descriptors.build_descriptor`.

    The other arguments are those of ``nn.Conv2d``.

    Shape:
        Input ``(B, C, H, W)``, output ``(B, O, H', W')`` as in ``nn.Conv2d``.

    Raises:
        ValueError: An argument is out of range.
    """

    router_names = ('descriptor', 'routing')

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
        num_experts: int = 8,
        descriptor: DescriptorCfg = 'gap',
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
        self.create_experts(num_experts, **factory)
        self.descriptor = build_descriptor(descriptor, in_channels, **factory)
        self.routing = RouterConv((num_experts, in_channels), **factory)
        self.reset_parameters()

    def start_sum(self) -> float:
        """Half the number of experts: every sigmoid starts at 0.5."""
        return self.num_experts / 2

    def reset_router(self) -> None:
        """Weights of 0.5."""
        self.descriptor.reset_parameters()
        init_head_(self.routing)

    def mixture(self, x: Tensor) -> Tensor:
        """Eq. (2), ``(B, C, H, W) -> (B, K)``."""
        return self.routing(self.descriptor(x)).sigmoid()
