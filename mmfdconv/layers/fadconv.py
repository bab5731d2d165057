"""FADConv: Frequency-Aware Dynamic Convolution.

Paper: Shu & Shen, "FADConv: A Frequency-Aware Dynamic Convolution for
Cropland Non-agriculturalization Identification and Segmentation", JAG 2026,
arXiv:2504.03510. Option and parameter names are those of the published code
(github.com/er-go-proxy/FADConv), whose checkpoints load as they are.

Differs from the published code in: the bias, which Eq. (3) mixes like the
kernels and the code does not have; ``pool_size``, fixed at 16 there; the other
fusions of the paper's Table 6; the start, which is random there. Here
the router starts neutral and the experts of a stock convolution at its kernel,
plus noise that cancels in their sum: equal ones would give the router nothing
to learn.
"""

from typing import Union

from torch import Tensor

from .base import IntOrPair
from .checks import check_positive
from .descriptors import FrequencyAttention
from .expert_conv import ExpertConv2d
from .routers import FCRouter

_MIN_HIDDEN = 32


class FADConv(ExpertConv2d):
    r"""Mix ``K`` kernels and biases with frequency attention, Eq. (2)-(3).

    .. math:: W = \sum_e \alpha_e W_e, \quad b = \sum_e \alpha_e b_e, \quad
              \alpha = \mathrm{softmax}(\mathrm{FC}(\mathrm{ReLU}(
              \mathrm{FC}(\mathrm{FAT}(x)))))

    Args:
        num_experts: ``K``. Defaults to 4.
        pool_size: ``P``, side of the map that the DCT sees. Defaults to 16.
        low_freq: ``n``: keep the ``n x n`` lowest coefficients. Defaults to 4.
        high_freq: ``h``: also keep the ``h x h`` highest. Defaults to 0.
        reduction: Hidden width of the router as a share of ``in_channels``; at
            least 32.
        fusion: ``'net'``, ``'fca'``, ``'add'`` or ``'add_abs'``, see
            :class:`~mmfdconv.layers.descriptors.FrequencyAttention`.

    The other arguments are those of ``nn.Conv2d``.

    Shape:
        Input ``(B, C, H, W)``, output ``(B, O, H', W')`` as in ``nn.Conv2d``.

    Raises:
        ValueError: An argument is out of range.
    """

    router_names = ('descriptor', 'routing')
    mixes_bias = True
    published_keys = {'fusion.': 'descriptor.fusion.'}

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
        pool_size: int = 16,
        low_freq: int = 4,
        high_freq: int = 0,
        reduction: float = 0.0625,
        fusion: str = 'net',
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
        self.descriptor = FrequencyAttention(
            in_channels, pool_size, low_freq, high_freq, fusion, **factory
        )
        hidden = max(int(in_channels * reduction), _MIN_HIDDEN)
        self.routing = FCRouter(in_channels, hidden, num_experts, **factory)
        self.reset_parameters()

    def mixture(self, x: Tensor) -> Tensor:
        """Frequency attention, ``(B, C, H, W) -> (B, K)``."""
        return self.routing(self.descriptor(x)).softmax(dim=1)

    # ------------------------------------------------------------ checkpoint

    def _load_from_state_dict(
        self, state_dict, prefix, local_metadata, strict, *messages
    ) -> None:
        # The published code stores the DCT's basis, which follows from P.
        basis = state_dict.pop(f'{prefix}dct.dct_matrix', None)
        pool_size = self.descriptor.pool_size
        if basis is not None and len(basis) != pool_size:
            messages[-1].append(
                f'{prefix}dct.dct_matrix: a checkpoint of pool_size='
                f'{len(basis)} does not fit pool_size={pool_size}'
            )
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, *messages
        )
