"""ODConv: omni-dimensional dynamic convolution.

Paper: Li et al., ICLR 2022, arXiv:2209.07947, Eq. (2). Checkpoints of
github.com/OSVAI/ODConv load as they are.

Differs from the published code in: the bias, which it does not have; the
start. Channel, filter and position gates start at 0.5 each and the experts
carry what makes up for it, so that a stock convolution is kept; so does the
attention, and the experts part by noise that cancels in their sum. Published,
all of them start random.
"""

from typing import NamedTuple, Optional, Union

from torch import Tensor, nn

from ..functional import no_autocast
from .base import IntOrPair
from .checks import check_positive
from .descriptors import DescriptorCfg, build_descriptor
from .expert_conv import ExpertConv2d
from .routers import OmniRouter, apply_heads, split_heads


class Attentions(NamedTuple):
    """What an :class:`OmniAttention` predicts; None without a head."""

    channel: Optional[Tensor]  # (B, C), input channels
    filter: Optional[Tensor]  # (B, O), output channels
    spatial: Optional[Tensor]  # (B, kh * kw), kernel positions
    kernel: Optional[Tensor]  # (B, K), experts


class OmniAttention(OmniRouter):
    """The four gates from one descriptor, after a ReLU."""

    def forward(self, descriptor: Tensor, temperature: Tensor) -> Attentions:
        """Predict the gates from ``(B, C)``."""
        hidden = self.hidden(descriptor)
        heads = self.modulating_heads
        gates = (apply_heads(heads, hidden) / temperature).sigmoid()
        experts = None
        if self.kernel_fc is not None:
            experts = (self.kernel_fc(hidden) / temperature).softmax(dim=1)
        return Attentions(*split_heads(gates, heads), experts)


class ODConv(ExpertConv2d):
    r"""Mix ``K`` kernels with gates for positions and channels, too.

    .. math:: y = \Big(\sum_k \alpha^w_k \, \alpha^f \odot \alpha^c \odot
              \alpha^s \odot W_k\Big) * x + b

    Args:
        num_experts: ``K``, number of kernels. With one kernel of 1x1, its two
            gates act on the features instead. Defaults to 4.
        reduction: Hidden width of the router as a share of ``in_channels``; at
            least 16.
        temperature: Divides the logits of all four gates.
        descriptor: ``'gap'``, ``'fat'`` (FODConv), or a dict with options, see
            :func:`~mmfdconv.layers.descriptors.build_descriptor`.

    The other arguments are those of ``nn.Conv2d``.

    Shape:
        Input ``(B, C, H, W)``, output ``(B, O, H', W')`` as in ``nn.Conv2d``.

    Raises:
        ValueError: An argument is out of range.
    """

    router_names = ('descriptor', 'attention')

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
        reduction: float = 0.0625,
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
        self.attention = OmniAttention(
            in_channels,
            out_channels,
            self.kernel_size[0] * self.kernel_size[1],
            num_experts,
            depthwise=groups == in_channels == out_channels,
            reduction=reduction,
            activation=nn.ReLU(),
            **factory,
        )
        self.reset_parameters()

    def start_sum(self) -> float:
        """Product of the gates that exist, 0.5 each."""
        heads = self.attention.modulating_heads
        return 0.5 ** sum(head is not None for head in heads)

    def forward_batch(self, x: Tensor) -> Tensor:
        """Convolve, ``(B, C, H, W) -> (B, O, H', W')``."""
        with no_autocast(x):
            channel, filter_, spatial, experts = self.attention(
                self.descriptor(x), self.temperature
            )
            weight = self.experts[0]
            if experts is not None:
                weight = self.mix(experts, self.experts, spatial)
            elif spatial is not None:
                weight = weight * spatial.view(-1, 1, 1, *self.kernel_size)
        # Gates of channels act on the features, as published: smaller there
        # than on the kernels of a batch.
        x = x * channel.to(x.dtype)[..., None, None]
        if weight.dim() == 4:
            y = self.convolve_static(x, weight, None)
        else:
            y = self.convolve(x, weight, None)
        if filter_ is not None:
            y = y * filter_.to(y.dtype)[..., None, None]
        if self.bias is not None:
            y = y + self.bias.to(y.dtype).view(-1, 1, 1)
        return y
