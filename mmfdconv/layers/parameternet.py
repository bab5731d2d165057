"""ParameterNet's dynamic convolution.

Paper: Han et al., "ParameterNet: Parameters Are All You Need for Large-scale
Visual Pretraining of Mobile Networks", CVPR 2024, arXiv:2306.14525: a network
of few FLOPs gets parameters by mixing experts, whose weights are a softmax of
a two-layer MLP of the pooled input.

Differs from code of the authors that is found in public, which has one linear
layer and a sigmoid: that is CondConv with four experts. Chosen here: as many
hidden units as input channels, and the start from a stock convolution. The MLP
starts neutral, the experts at the stock kernel plus noise that cancels in
their mean and lets them part. No weights of the authors were at hand.
"""

from typing import Union

from torch import Tensor

from .base import IntOrPair
from .checks import check_positive
from .descriptors import DescriptorCfg, build_descriptor
from .expert_conv import ExpertConv2d
from .routers import FCRouter


class ParameterNetConv(ExpertConv2d):
    r"""Mix ``K`` kernels with the softmax of an MLP of the pooled input.

    .. math:: W = \sum_k \alpha_k W_k, \quad
              \alpha = \mathrm{softmax}(\mathrm{MLP}(\mathrm{GAP}(x)))

    The paper uses it for the 1x1 convolutions of GhostNet's modules.

    Args:
        num_experts: ``K``, number of kernels. Defaults to 4.
        reduction: Hidden width of the MLP as a share of ``in_channels``.
            Defaults to 1, as wide as the input.
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
        num_experts: int = 4,
        reduction: float = 1.0,
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
        check_positive('reduction', reduction)
        self.create_experts(num_experts, **factory)
        self.descriptor = build_descriptor(descriptor, in_channels, **factory)
        hidden = max(int(in_channels * reduction), 1)
        self.routing = FCRouter(in_channels, hidden, num_experts, **factory)
        self.reset_parameters()

    def mixture(self, x: Tensor) -> Tensor:
        """The MLP's softmax, ``(B, C, H, W) -> (B, K)``."""
        return self.routing(self.descriptor(x)).softmax(dim=1)
