"""Dynamic layers on tokens, in the place of ``nn.Linear``.

A linear layer is a 1x1 convolution whose channels come last. Each class here
is the dynamic convolution of the same method, with the same parameters, that
takes and gives tokens.
"""

from types import SimpleNamespace
from typing import Any, Dict, Optional, Type

from torch import Tensor, nn

from .base import DynamicConv2d
from .condconv import CondConv
from .dcd import DCDConv
from .dyconv import DYConv
from .fadconv import FADConv
from .fdconv import FDConv
from .kernel_warehouse import KWConv
from .odconv import ODConv
from .parameternet import ParameterNetConv


class OnTokens:
    """Mixed into a dynamic convolution: be an ``nn.Linear`` from outside.

    Every sample of the batch has its own kernel, predicted from all its
    tokens; ``(N, C)`` is one sample of ``N`` tokens, with one kernel. A
    descriptor that looks at positions, FAT, needs to know where a token lies:
    ``(B, H, W, C)`` says so. ``(B, N, C)`` does not, and FAT then takes the
    tokens for one column of ``N`` pixels, so that its DCT runs along the
    sequence alone.

    Args:
        in_features, out_features, bias, device, dtype: As in ``nn.Linear``.
        options: The convolution's own keyword arguments.

    Shape:
        Input ``(B, N, C)``, ``(B, H, W, C)`` or with more dimensions between
        the first and the last, or one sample, ``(N, C)`` or ``(C,)``; output
        the same with ``O`` in place of ``C``.

    Raises:
        ValueError: An argument is out of range.
    """

    keeps_kernels = True

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device=None,
        dtype=None,
        **options: Any,
    ) -> None:
        super().__init__(
            in_features,
            out_features,
            1,
            bias=bias,
            device=device,
            dtype=dtype,
            **options,
        )
        self.in_features = in_features
        self.out_features = out_features

    @classmethod
    def static_reason(cls, conv: nn.Linear, **options: Any) -> Optional[str]:
        """See the base class; ``conv`` is an ``nn.Linear``."""
        return super().static_reason(
            SimpleNamespace(
                in_channels=conv.in_features,
                out_channels=conv.out_features,
                kernel_size=(1, 1),
            ),
            **options,
        )

    @classmethod
    def build_like(cls, stock: nn.Linear, **options: Any) -> DynamicConv2d:
        """Build the layer with the shape, device and dtype of ``stock``."""
        return cls(
            stock.in_features,
            stock.out_features,
            stock.bias is not None,
            device=stock.weight.device,
            dtype=stock.weight.dtype,
            **options,
        )

    def forward(self, x: Tensor) -> Tensor:
        """``(B, ..., C) -> (B, ..., O)``, or one sample ``(..., C)``.

        Raises:
            ValueError: ``x`` is not what an ``nn.Linear`` takes.
        """
        C = self.in_features
        self.check_input(x, x.dim() > 0, -1, f'tokens (B, N, {C})')
        if x.numel() == 0:  # no token to predict a kernel from
            tokens = x.reshape(0, 1, 1, C)
        elif x.dim() == 4:
            tokens = x
        else:
            B = x.shape[0] if x.dim() > 2 else 1
            tokens = x.reshape(B, -1, 1, C)  # (B, N, 1, C)
        y = self.run_batch(tokens.permute(0, 3, 1, 2))  # (B, O, H, W)
        # Contiguous as nn.Linear's: a backbone may view it.
        y = y.permute(0, 2, 3, 1).contiguous()
        return y.view(*x.shape[:-1], self.out_features)

    def convolve(
        self, x: Tensor, weight: Tensor, bias: Optional[Tensor]
    ) -> Tensor:
        """See the base class; a product whose result has channels last."""
        if x.shape[0] == 0:
            return super().convolve(x, weight, bias)
        weight = weight.flatten(2).to(x.dtype)  # (B, O, C)
        y = x.flatten(2).transpose(1, 2) @ weight.transpose(1, 2)  # (B, N, O)
        if bias is not None:
            y = y + bias.to(y.dtype).view(-1, 1, self.out_features)
        return y.transpose(1, 2).unflatten(2, x.shape[2:])

    def convolve_images(
        self, x: Tensor, images: Tensor, want_value: bool = True
    ) -> Tensor:
        """See the base class."""
        return self.convolve(x, images[..., None, None], None)

    def convolve_static(
        self, x: Tensor, weight: Tensor, bias: Optional[Tensor]
    ) -> Tensor:
        """See the base class; ``nn.Linear``'s own product."""
        weight = weight.flatten(1)  # (O, C)
        y = nn.functional.linear(x.permute(0, 2, 3, 1), weight, bias)
        return y.permute(0, 3, 1, 2)

    def extra_repr(self) -> str:
        """The features first, as ``nn.Linear`` does; then what is own."""
        return f'on tokens, {super().extra_repr()}'


class CondLinear(OnTokens, CondConv):
    """:class:`CondConv` on tokens."""


class DCDLinear(OnTokens, DCDConv):
    """:class:`DCDConv` on tokens."""


class DYLinear(OnTokens, DYConv):
    """:class:`DYConv` on tokens."""


class FADLinear(OnTokens, FADConv):
    """:class:`FADConv` on tokens."""


class FDLinear(OnTokens, FDConv):
    """:class:`FDConv` on tokens."""


class KWLinear(OnTokens, KWConv):
    """:class:`KWConv` on tokens."""


class ODLinear(OnTokens, ODConv):
    """:class:`ODConv` on tokens."""


class ParameterNetLinear(OnTokens, ParameterNetConv):
    """:class:`ParameterNetConv` on tokens."""


_CLASSES: Dict[Type[DynamicConv2d], Type[DynamicConv2d]] = {
    cls.__bases__[1]: cls
    for cls in (
        CondLinear,
        DCDLinear,
        DYLinear,
        FADLinear,
        FDLinear,
        KWLinear,
        ODLinear,
        ParameterNetLinear,
    )
}


def linear_class(layer_type: Type[DynamicConv2d]) -> Type[DynamicConv2d]:
    """Return the layer for tokens that belongs to a convolution.

    Args:
        layer_type: One of this package's convolutions, such as ``FDConv``.

    Raises:
        ValueError: There is none.
    """
    if layer_type not in _CLASSES:
        raise ValueError(
            f'layer_type must be one of {sorted(c.__name__ for c in _CLASSES)}'
            f' to stand in for an nn.Linear, got {layer_type.__name__}'
        )
    return _CLASSES[layer_type]
