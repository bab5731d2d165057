"""What every dynamic convolution has in common.

From outside a dynamic layer is an ``nn.Conv2d``; inside, its kernel depends
on the input. ``DynamicConv2d`` holds the contract, a method adds parameters
and one equation.
"""

from typing import Any, Dict, Iterator, Optional, Tuple, Union

import torch
from torch import Tensor, nn
from torch.nn.modules.utils import _pair

from .checks import check_choice, check_int_or_pair, check_positive_int
from .compiling import Compiling
from .convolving import Convolving
from .declaring import Declaring
from .tracing import LeafOfTraces

IntOrPair = Union[int, Tuple[int, int]]
_PADDING_MODES = ('zeros', 'reflect', 'replicate', 'circular')


class DynamicConv2d(Compiling, Convolving, LeafOfTraces, Declaring, nn.Module):
    """Base of all dynamic convolutions.

    It is not a subclass of ``nn.Conv2d``: tools that look for one, such as
    ``fuse_conv_bn``, would take its kernel for a constant.

    A subclass

    * registers its parameters and calls :meth:`reset_parameters`,
    * names in ``router_names`` the modules that predict gates,
    * turns a stock kernel into its own parameters in :meth:`load_stock_`,
    * declares what else conversion must know of it, see
      :class:`~mmfdconv.layers.declaring.Declaring`,
    * computes in :meth:`forward_batch`.

    Args:
        in_channels: As in ``nn.Conv2d``, like all the following.
        out_channels: ...
        kernel_size: ...
        stride: Defaults to 1.
        padding: Pixels, ``'same'`` or ``'valid'``. Defaults to 0. With a
            stride, which ``nn.Conv2d`` refuses, ``'same'`` is TensorFlow's:
            by the input's size, so that the output has that over the stride,
            rounded up.
        dilation: Defaults to 1.
        groups: Defaults to 1.
        bias: Defaults to True.
        padding_mode: ``'zeros'``, ``'reflect'``, ``'replicate'`` or
            ``'circular'``. Defaults to ``'zeros'``.
        device: Where to create the parameters.
        dtype: Of the parameters.

    Raises:
        ValueError: An argument is out of range.
    """

    #: Names of the submodules that predict gates from the input.
    router_names: Tuple[str, ...] = ()

    #: Why this instance is a stock convolution after all, or None.
    static: Optional[str] = None

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
    ) -> None:
        super().__init__()
        for name, value in (
            ('in_channels', in_channels),
            ('out_channels', out_channels),
            ('groups', groups),
        ):
            check_positive_int(name, value)
        for name, value in (
            ('in_channels', in_channels),
            ('out_channels', out_channels),
        ):
            if value % groups:
                raise ValueError(
                    f'{name} must be divisible by groups, got '
                    f'{name}={value} and groups={groups}'
                )
        for name, value in (
            ('kernel_size', kernel_size),
            ('stride', stride),
            ('dilation', dilation),
        ):
            check_int_or_pair(name, value)
        check_choice('padding_mode', padding_mode, _PADDING_MODES)
        if isinstance(padding, str):
            check_choice('padding', padding, ('same', 'valid'))
        else:
            check_int_or_pair('padding', padding, least=0)

        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = _pair(kernel_size)
        self.stride = _pair(stride)
        self.padding = padding if isinstance(padding, str) else _pair(padding)
        self.dilation = _pair(dilation)
        self.groups = groups
        self.padding_mode = padding_mode
        # mmcv's ConvModule reads these two off any convolution.
        self.transposed = False
        self.output_padding = (0, 0)
        if bias:
            self.bias = nn.Parameter(
                torch.empty(out_channels, device=device, dtype=dtype)
            )
        else:
            self.register_parameter('bias', None)

    # ------------------------------------------------------------- subclass

    def reset_parameters(self) -> None:
        """Draw the weights anew and put the gates at their neutral start."""
        raise NotImplementedError

    def reset_router(self) -> None:
        """Put the gates at their neutral start, leave the weights alone."""
        for router in self.routers():
            router.reset_parameters()

    def load_stock_(self, weight: Tensor) -> None:
        """Take over a stock kernel ``(O, C/G, kh, kw)``, in place."""
        raise NotImplementedError

    @torch.no_grad()
    def load_stock_bias_(self, bias: Tensor) -> None:
        """Take over a stock bias ``(O,)``, in place."""
        self.bias.copy_(bias)

    def forward_batch(self, x: Tensor) -> Tensor:
        """Convolve, ``(B, C, H, W) -> (B, O, H', W')``, what was checked."""
        raise NotImplementedError

    # --------------------------------------------------------------- forward

    def forward(self, x: Tensor) -> Tensor:
        """Convolve a batch, or one map ``(C, H, W) -> (O, H', W')``.

        Raises:
            ValueError: ``x`` is not what an ``nn.Conv2d`` takes.
        """
        C = self.in_channels
        self.check_input(x, x.dim() in (3, 4), -3, f'(B, {C}, H, W)')
        if x.dim() == 3:
            return self.run_batch(x[None])[0]
        return self.run_batch(x)

    def check_input(
        self, x: Tensor, fits: bool, channel_dim: int, shape: str
    ) -> None:
        """Raise ``ValueError`` where a router would fail, or compute nonsense.

        Args:
            x: The input.
            fits: Whether it has as many dimensions as it should.
            channel_dim: Which of them counts the channels.
            shape: What the input should look like.
        """
        # A tracer has seen the first input; its sizes are tensors.
        if fits and not torch.jit.is_tracing():
            fits = x.shape[channel_dim] == self.in_channels
        if not fits:
            raise ValueError(
                f'{type(self).__name__} of {self.in_channels} input channels '
                f'takes {shape}, or one sample without B, got a tensor of '
                f'shape {tuple(x.shape)}'
            )
        if not x.is_floating_point():
            raise ValueError(
                f'{type(self).__name__} takes floating point numbers, got a '
                f'tensor of {x.dtype}: convert it, for example with .float()'
            )

    # -------------------------------------------------------------- contract

    @property
    def weight_shape(self) -> Tuple[int, int, int, int]:
        """Shape of the stock kernel, ``(O, C/G, kh, kw)``."""
        return (
            self.out_channels,
            self.in_channels // self.groups,
            *self.kernel_size,
        )

    @classmethod
    def build_like(cls, stock: nn.Module, **options: Any) -> 'DynamicConv2d':
        """Build the layer with the shape, device and dtype of ``stock``."""
        return cls(
            stock.in_channels,
            stock.out_channels,
            stock.kernel_size,
            stock.stride,
            stock.padding,
            stock.dilation,
            stock.groups,
            stock.bias is not None,
            stock.padding_mode,
            device=stock.weight.device,
            dtype=stock.weight.dtype,
            **options,
        )

    @classmethod
    def from_conv(cls, conv: nn.Module, **options: Any) -> 'DynamicConv2d':
        """Build the layer that starts as ``conv``.

        The bias is shared, the kernel is carried over, ``training``, device
        and dtype stay. A frozen kernel stays frozen; the gates are alive.

        Args:
            conv: The stock layer: an ``nn.Conv2d``, or for a class on tokens
                an ``nn.Linear``.
            options: The layer's own keyword arguments.
        """
        layer = cls.build_like(conv, **options)
        if not conv.weight.is_meta:
            kernel = conv.weight.detach().reshape(layer.weight_shape)
            layer.load_stock_(kernel)
        layer.bias = conv.bias
        for parameter in layer.weight_parameters():
            if parameter is not conv.bias:
                parameter.requires_grad_(conv.weight.requires_grad)
        return layer.train(conv.training)

    def routers(self) -> Iterator[nn.Module]:
        """Submodules that predict gates from the input."""
        for name in self.router_names:
            router = getattr(self, name, None)
            if router is not None:
                yield router

    def router_parameters(self) -> Iterator[nn.Parameter]:
        """Parameters that predict gates from the input."""
        for router in self.routers():
            yield from router.parameters()

    def weight_parameters(self) -> Iterator[nn.Parameter]:
        """Parameters that stand for the stock layer's weight and bias."""
        routers = {id(p) for p in self.router_parameters()}
        return (p for p in self.parameters() if id(p) not in routers)

    def init_weights(self) -> None:
        """Answer the call of MMEngine and mmcv: start as the stock layer.

        The kernel is kept as it was built, converted or loaded; without this
        method mmcv's ``ConvModule`` would redraw it by shape alone.
        """
        self.reset_router()

    # ------------------------------------------------------------ checkpoint

    def _load_from_state_dict(
        self,
        state_dict: Dict[str, Tensor],
        prefix: str,
        local_metadata: Dict[str, Any],
        strict: bool,
        missing_keys: list,
        unexpected_keys: list,
        error_msgs: list,
    ) -> None:
        """Accept a stock checkpoint, key ``weight``, beside the own one."""
        weight = state_dict.get(prefix + 'weight')
        if weight is not None and self._is_stock(state_dict, prefix):
            self._take_stock(state_dict, prefix, weight, error_msgs)
        super()._load_from_state_dict(
            state_dict,
            prefix,
            local_metadata,
            strict,
            missing_keys,
            unexpected_keys,
            error_msgs,
        )

    def _is_stock(self, state_dict: Dict[str, Tensor], prefix: str) -> bool:
        """Whether the keys below ``prefix`` are those of a stock layer."""
        own = {prefix + k for k in self.state_dict()}
        stock = {prefix + 'weight', prefix + 'bias'}
        return bool(own - stock) and own.isdisjoint(set(state_dict) - stock)

    def _take_stock(
        self,
        state_dict: Dict[str, Tensor],
        prefix: str,
        weight: Tensor,
        error_msgs: list,
    ) -> None:
        if weight.dim() == 2 and self.kernel_size == (1, 1):
            weight = weight[..., None, None]  # an nn.Linear's
        if tuple(weight.shape) != self.weight_shape:
            error_msgs.append(
                f'{prefix}weight: a stock kernel of shape '
                f'{tuple(weight.shape)} does not fit '
                f'{type(self).__name__}, which needs {self.weight_shape} '
                '(out_channels, in_channels / groups, kernel height, kernel '
                'width)'
            )
        elif any(p.is_meta for p in self.parameters()):
            error_msgs.append(
                f'{prefix}weight: {type(self).__name__} was built on the meta '
                'device, where a stock kernel cannot be turned into its '
                'parameters; build the model on a real device to load a '
                'stock checkpoint'
            )
        else:
            self.reset_router()
            self.load_stock_(weight)
        # What the stock layer does not have starts neutral; what it has is
        # now in our parameters. Handing these back as "loaded" keeps the
        # framework's list of missing and unexpected keys honest.
        del state_dict[prefix + 'weight']
        for name, value in self.state_dict().items():
            if name != 'bias':
                state_dict[prefix + name] = value

    def extra_repr(self) -> str:
        """Like ``nn.Conv2d``'s."""
        text = (
            f'{self.in_channels}, {self.out_channels}, '
            f'kernel_size={self.kernel_size}, stride={self.stride}'
        )
        for name, default in (
            ('padding', (0, 0)),
            ('dilation', (1, 1)),
            ('groups', 1),
            ('padding_mode', 'zeros'),
        ):
            value = getattr(self, name)
            if value != default:
                text += f', {name}={value!r}'
        return text + ('' if self.bias is not None else ', bias=False')
