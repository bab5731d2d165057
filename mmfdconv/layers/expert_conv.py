"""What the methods that mix whole kernels have in common.

CondConv, DY-Conv, ODConv and FADConv keep ``K`` expert kernels and sum them
with weights predicted from the input; they differ in the router.
"""

from typing import Any, Callable, Dict, Mapping, Optional

import torch
from torch import Tensor, nn

from ..functional import mix_experts, no_autocast, wide
from .base import DynamicConv2d
from .checks import check_positive, check_positive_int
from .memory_format import flat_in_five_dimensions

#: Spread of experts around the stock kernel, relative to its own spread. Were
#: they equal, the router would have no gradient, and the experts no reason to
#: part.
_SPREAD = 0.1


class ExpertConv2d(DynamicConv2d):
    r"""A convolution by a weighted sum of expert kernels.

    .. math:: W_b = \sum_k \alpha_{b,k} W_k, \quad
              c_b = \sum_k \alpha_{b,k} c_k

    Parameters are ``experts`` ``(K, O, C/G, kh, kw)`` and, where the method
    mixes biases too, ``bias`` ``(K, O)``, else ``(O,)``.
    """

    #: Whether ``bias`` is mixed like the kernels.
    mixes_bias = False

    #: Published name of a parameter or its prefix -> the name here.
    published_keys: Mapping[str, str] = {}

    def create_experts(
        self, num_experts: int, device=None, dtype=None
    ) -> None:
        """Register the experts, and a bias each where biases are mixed."""
        check_positive_int('num_experts', num_experts)
        self.num_experts = num_experts
        factory = dict(device=device, dtype=dtype)
        shape = (num_experts, *self.weight_shape)
        self.experts = nn.Parameter(torch.empty(shape, **factory))
        if self.bias is not None and self.mixes_bias:
            self.bias = nn.Parameter(
                torch.empty(num_experts, self.out_channels, **factory)
            )

    def create_temperature(self, temperature: float, device=None) -> None:
        """Register the temperature, a buffer: saved, resumed, averaged."""
        check_positive('temperature', temperature)
        value = torch.tensor(
            float(temperature), device=device, dtype=torch.float32
        )
        self.register_buffer('temperature', value)

    def _apply(self, fn: Callable, **kwargs: Any) -> 'ExpertConv2d':
        """Move or cast; experts stay contiguous, as mixing wants them.

        ``to(memory_format=torch.channels_last)`` fails on five dimensions.
        """
        return super()._apply(flat_in_five_dimensions(fn), **kwargs)

    def mix(
        self,
        routing: Tensor,
        experts: Tensor,
        spatial: Optional[Tensor] = None,
    ) -> Tensor:
        """Sum of experts ``(K, ...)`` weighted by ``(B, K)``, in its dtype.

        With gates of a kernel's positions, ``(B, kh * kw)``, if there are
        any.
        """
        return mix_experts(routing, experts.to(routing.dtype), spatial)

    def mixture(self, x: Tensor) -> Tensor:
        """Predict the experts' weights, ``(B, C, H, W) -> (B, K)``."""
        raise NotImplementedError

    def forward_batch(self, x: Tensor) -> Tensor:
        """Convolve, ``(B, C, H, W) -> (B, O, H', W')``."""
        with no_autocast(x):
            alpha = self.mixture(x)
            weight, bias = self.mix(alpha, self.experts), self.bias
            if self.mixes_bias and bias is not None:
                bias = self.mix(alpha, bias)
        return self.convolve(x, weight, bias)

    def start_sum(self) -> float:
        """What the weights of equal experts, gates included, sum to.

        At the neutral start of the router.
        """
        return 1.0

    def reset_parameters(self) -> None:
        """Draw the experts as ``nn.Conv2d`` does, each anew."""
        self.reset_router()
        fan_in = self.experts[0, 0].numel()
        bound = fan_in**-0.5  # kaiming_uniform_ with a=sqrt(5)
        nn.init.uniform_(self.experts, -bound, bound)
        with torch.no_grad():
            self.experts /= self.start_sum()
        if self.bias is not None:
            nn.init.uniform_(self.bias, -bound, bound)
            if self.mixes_bias:
                with torch.no_grad():
                    self.bias /= self.start_sum()

    @torch.no_grad()
    def load_stock_(self, weight: Tensor) -> None:
        """Make the neutral mixture of the experts the stock kernel.

        Routers start neutral, the same for all experts.
        """
        weight = weight.to(self.experts.device, wide(self.experts.dtype))
        experts = weight.expand(self.experts.shape) / self.start_sum()
        if self.num_experts > 1:
            noise = torch.randn_like(experts)
            noise -= noise.mean(dim=0)  # cancels in the neutral mixture
            experts = experts + noise * (_SPREAD * experts.std())
        self.experts.copy_(experts)

    @torch.no_grad()
    def load_stock_bias_(self, bias: Tensor) -> None:
        """Make the neutral mixture of the biases the stock one."""
        share = self.start_sum() if self.mixes_bias else 1
        self.bias.copy_(bias / share)

    # ------------------------------------------------------------ checkpoint

    @classmethod
    def from_conv(cls, conv: nn.Module, **options: Any) -> 'ExpertConv2d':
        """See the base class; a mixed bias is copied, not shared."""
        layer = super().from_conv(conv, **options)
        if cls.mixes_bias and conv.bias is not None:
            num_experts = layer.num_experts
            share = conv.bias.detach() / layer.start_sum()
            layer.bias = nn.Parameter(
                share.expand(num_experts, -1).clone(),
                requires_grad=conv.bias.requires_grad,
            )
        return layer

    def _load_from_state_dict(
        self, state_dict, prefix, local_metadata, strict, *messages
    ) -> None:
        self._rename_published(state_dict, prefix)
        bias = state_dict.get(prefix + 'bias')
        if self.mixes_bias and bias is not None and bias.dim() == 1:
            share = bias / self.start_sum()
            state_dict[prefix + 'bias'] = share.expand(self.num_experts, -1)
        if hasattr(self, 'temperature') and f'{prefix}experts' in state_dict:
            # Published code keeps it outside of checkpoints.
            state_dict.setdefault(f'{prefix}temperature', self.temperature)
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, *messages
        )

    def _rename_published(
        self, state_dict: Dict[str, Tensor], prefix: str
    ) -> None:
        """Move published keys to the names here, drop derived buffers."""
        weight = state_dict.get(prefix + 'weight')
        if weight is not None and weight.dim() == 5:
            state_dict[prefix + 'experts'] = state_dict.pop(prefix + 'weight')
        for old, new in self.published_keys.items():
            start = f'{prefix}{old}'
            for key in [k for k in state_dict if k.startswith(start)]:
                value = state_dict.pop(key)
                if new:
                    state_dict[f'{prefix}{new}{key[len(start) :]}'] = value

    def extra_repr(self) -> str:
        """Like ``nn.Conv2d``'s, with the number of experts."""
        return f'{super().extra_repr()}, num_experts={self.num_experts}'
