"""DY-Conv: dynamic convolution, attention over convolution kernels.

Paper: Chen et al., CVPR 2020, arXiv:1912.03458, Eq. (2)-(4). Parameters of
checkpoints of github.com/kaijieshi7/Dynamic-convolution-Pytorch, on which the
papers' comparisons rest, load as they are.

Differs from that code in: the temperature, 34 there at construction and
lowered by 3 per epoch by hand, is a buffer here, 1 unless set, and moved by a
hook; the start. The attention starts neutral, and the experts of a stock
convolution at its kernel, plus noise that cancels in their sum: equal ones
would give the attention nothing to learn.
"""

from typing import Union

from torch import Tensor

from .base import IntOrPair
from .checks import check_positive
from .descriptors import DescriptorCfg, build_descriptor
from .expert_conv import ExpertConv2d
from .routers import SqueezeRouter


class DYConv(ExpertConv2d):
    r"""Mix ``K`` kernels and biases with softmax attention.

    .. math:: W = \sum_k \pi_k W_k, \quad b = \sum_k \pi_k b_k, \quad
              \pi = \mathrm{softmax}(z(x) / \tau)

    Args:
        num_experts: ``K``, number of kernels. Defaults to 4.
        reduction: Hidden width of the router as a share of ``in_channels``.
        temperature: ``tau``; large values make the attention nearly uniform,
            as the paper recommends early in the training.
        descriptor: ``'gap'``, ``'fat'``, or a dict with options, see
            :func:`~mmfdconv.layers.descriptors.build_descriptor`.

    The other arguments are those of ``nn.Conv2d``.

    Shape:
        Input ``(B, C, H, W)``, output ``(B, O, H', W')`` as in ``nn.Conv2d``.

    Raises:
        ValueError: An argument is out of range.
    """

    router_names = ('descriptor', 'attention')
    mixes_bias = True

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
        reduction: float = 0.25,
        temperature: float = 1.0,
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
        self.create_temperature(temperature, device)
        self.descriptor = build_descriptor(descriptor, in_channels, **factory)
        # As in that code: an RGB image is squeezed to K, not to a quarter.
        hidden = int(in_channels * reduction) + 1
        hidden = num_experts if in_channels == 3 else hidden
        self.attention = SqueezeRouter(
            in_channels, hidden, num_experts, **factory
        )
        self.reset_parameters()

    def mixture(self, x: Tensor) -> Tensor:
        """Attention over the kernels, ``(B, C, H, W) -> (B, K)``."""
        logit = self.attention(self.descriptor(x))
        return (logit / self.temperature).softmax(dim=1)
