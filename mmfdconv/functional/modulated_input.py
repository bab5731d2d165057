r"""FDConv's input: Frequency Band Modulation, then gates of whole channels.

.. math:: Y = \alpha^c \odot \sum_b A_b(X) \odot X_b

arXiv:2503.18783, Sec. 3.4. The bands are differences of nested low-passes, and
an ideal low-pass is a projection onto the lowest cosines and sines of either
axis. So all bands come from one set of coefficients by matrix products.
"""

from typing import Any, NamedTuple, Optional, Sequence, Tuple

from torch import Tensor

from .bands import (
    low_pass_coefficients,
    modulate_bands,
    weigh_bands,
    weigh_bands_backward,
)
from .few_outputs import convolve_to_few, convolve_to_few_backward
from .precision import wide
from .stages import Grads, Tensors, add_to

__all__ = ['BandOptions', 'InputParts', 'ModulatedInput', 'band_maps']


class BandOptions(NamedTuple):
    """Of Frequency Band Modulation with the paper's low-passes."""

    k_list: Tuple[float, ...]  # divisors of the Nyquist frequency, growing
    act: str  # 'sigmoid', 'tanh' or 'softmax'
    spatial_group: int  # S, groups of channels with maps of their own


class InputParts(NamedTuple):
    """What a modulated input is made of."""

    #: Feature maps, ``(B, C, H, W)``.
    x: Tensor
    #: Gates of whole channels, ``(B, C, 1, 1)``.
    channel: Optional[Tensor] = None
    #: Of the convolution that predicts the maps of all bands, where there is
    #: FBM, ``(S * bands, C/S, k, k)``.
    weight: Optional[Tensor] = None
    #: ``(S * bands,)``.
    bias: Optional[Tensor] = None


class ModulatedInput(NamedTuple):
    """A stage whose tensors are :class:`InputParts`, and its value like ``x``.

    The bands are computed in float32 at least.
    """

    bands: Optional[BandOptions]

    num_per_sample = 2

    @property
    def chunk(self) -> int:
        """See :class:`~mmfdconv.functional.stages.Stage`.

        A gate makes one buffer, or none where there is no gate; of such
        samples a single product is best.
        """
        return 2**62 if self.bands is None else 2**20

    def plain(
        self,
        x: Tensor,
        channel: Optional[Tensor],
        weight: Optional[Tensor],
        bias: Optional[Tensor],
    ) -> Tensor:
        """The equation."""
        y = x
        if self.bands is not None:
            k_list, act, groups = self.bands
            maps = band_maps(x, weight, bias, act, groups)
            y = modulate_bands(x.to(maps.dtype), maps, k_list).to(x.dtype)
        return y if channel is None else y * channel.to(y.dtype)

    def forward(
        self, tensors: Tensors, memo: Tensors = (), keep: bool = False
    ) -> Tuple[Tensor, Tensors, Any]:
        """See :class:`~mmfdconv.functional.stages.Stage`.

        The maps and the coefficients, a quarter of the input, spare work.
        """
        x, channel, weight, bias = InputParts(*tensors)
        y, maps, weighed = x, None, ()
        if self.bands is not None:
            k_list, act, groups = self.bands
            if memo:
                maps, coefficients = memo
            else:
                maps = band_maps(x, weight, bias, act, groups)
                coefficients = low_pass_coefficients(_grouped(x, maps), k_list)
                memo = maps, coefficients
            y, weighed = weigh_bands(
                _grouped(x, maps), maps, coefficients, k_list, keep
            )
            y = y.view(x.shape).to(x.dtype)
        kept = (y, maps, weighed)
        if channel is not None:
            y = y * channel.to(y.dtype)
        return y, memo, kept

    def backward(
        self,
        tensors: Tensors,
        kept: Any,
        grad: Tensor,
        needed: Sequence[bool],
        sums: Tensors,
        scratch: Optional[Tensor] = None,
    ) -> Grads:
        """See :class:`~mmfdconv.functional.stages.Stage`."""
        x, channel, weight, _ = InputParts(*tensors)
        y, maps, weighed = kept
        grads: Grads = [None] * 4
        if channel is not None:
            product = (grad * y).to(channel.dtype)
            grads[1] = product.sum(dim=(2, 3), keepdim=True)
            grad.mul_(channel.to(grad.dtype))
        if self.bands is None:
            grads[0] = grad.to(x.dtype)
            return grads
        k_list, act, groups = self.bands
        grad_x, grad_maps = weigh_bands_backward(
            _grouped(grad, maps), _grouped(x, maps), maps, weighed, k_list
        )
        grad_x = grad_x.view(x.shape)
        grad_logit = _maps_backward(grad_maps, maps, act).flatten(1, 2)
        grad_weight, grad_bias = convolve_to_few_backward(
            grad_logit.to(x.dtype), x, weight.to(x.dtype), groups, grad_x
        )
        grads[0] = grad_x.to(x.dtype)
        grads[2] = add_to(sums[2], grad_weight.to(weight.dtype))
        grads[3] = add_to(sums[3], grad_bias.to(weight.dtype))
        return grads


def band_maps(
    x: Tensor, weight: Tensor, bias: Tensor, act: str, spatial_group: int
) -> Tensor:
    """Predict the maps of all bands.

    Args:
        x: ``(B, C, H, W)``.
        weight: ``(S * bands, C/S, k, k)``.
        bias: ``(S * bands,)``.
        act: ``'sigmoid'`` (times 2), ``'tanh'`` (plus 1) or ``'softmax'``
            (over the ``S`` groups, times their number).
        spatial_group: ``S``.

    Returns:
        ``(B, S, bands, H, W)``, float32 at least.
    """
    logit = convolve_to_few(
        x, weight.to(x.dtype), bias.to(x.dtype), spatial_group
    )
    logit = logit.to(wide(x.dtype)).unflatten(1, (spatial_group, -1))
    if act == 'softmax':
        return logit.softmax(dim=1) * spatial_group
    return 1 + logit.tanh() if act == 'tanh' else logit.sigmoid() * 2


def _maps_backward(grad: Tensor, maps: Tensor, act: str) -> Tensor:
    """From the gradient of maps to that of their logits."""
    if act == 'softmax':
        # m = S softmax(z): dz = m (dm - sum m dm / S)
        inner = (grad * maps).sum(dim=1, keepdim=True) / maps.shape[1]
        return (grad - inner).mul_(maps)
    # 2 sigmoid(z): m (1 - m / 2); 1 + tanh(z) = 2 sigmoid(2 z), so twice that
    slope = maps * (1 - maps / 2)
    return slope.mul_(grad).mul_(2 if act == 'tanh' else 1)


def _grouped(x: Tensor, maps: Tensor) -> Tensor:
    """``(B, C, H, W) -> (B, S, C/S, H, W)``, as wide as the maps."""
    B, C, H, W = x.shape
    S = maps.shape[1]
    return x.to(maps.dtype).reshape(B, S, C // S, H, W)
