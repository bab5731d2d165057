"""Reads what dynamic layers predict while a model runs, and changes nothing.

Forward hooks stand on the routers as long as a recording lasts and no longer:
nothing is computed twice, no statistics move, and a model that is not being
recorded runs as if this module did not exist.
"""

from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterator, NamedTuple, Optional, Tuple

import torch
from torch import Tensor, nn

from ..functional import low_pass_mask, no_autocast, wide
from .band_modulation import FrequencyBandModulation
from .base import DynamicConv2d
from .condconv import CondConv
from .dyconv import DYConv
from .fadconv import FADConv
from .fdconv import FDConv
from .kernel_warehouse import KWConv
from .odconv import ODConv
from .parameternet import ParameterNetConv

#: A part of a layer, and how its output becomes the gates of the kernels.
_Source = Tuple[nn.Module, Callable[[Any], Tensor]]


@contextmanager
def record_gates(model: nn.Module) -> Iterator[Dict[str, Tensor]]:
    """Record the gates of all dynamic layers of a model.

    What is recorded is what weighs the kernels: attention over the experts of
    CondConv, DY-Conv, ODConv and FADConv, gates of FDConv's frequency groups,
    attention of KernelWarehouse's mixtures over the cells. A layer without
    such gates is left out: DCD, a single expert, one that its options keep
    static.

    Args:
        model: Any module; of a wrapper such as ``DistributedDataParallel``
            its ``module``, if names shall have no prefix. A compiled forward
            pass does not call hooks, so record the model as it was before.

    Yields:
        A dict that every forward pass fills: layer's name to gates
        ``(B, K)``, of KernelWarehouse ``(B, mixtures, cells)``, detached, on
        the device of the layer. A layer that runs again overwrites its own.

    Example::

        >>> with record_gates(model) as gates:
        ...     model(images)
        >>> gates['layer4.0.conv2'].shape
        torch.Size([2, 4])
    """
    sources = {
        name: source
        for name, layer in model.named_modules()
        for source in (_source(layer),)
        if source is not None
    }
    parts = {name: part for name, (part, _) in sources.items()}

    def read(name: str, args: Any, output: Any) -> Tensor:
        return sources[name][1](output).detach()

    with _recording(parts, read) as gates:
        yield gates


class FrequencyBands(NamedTuple):
    """What FBM did to one image; bands run from high frequencies to low."""

    #: Share of the input's energy in each band, ``(bands,)``; their sum is 1.
    energy: Tensor
    #: The spatial maps, ``(S, maps, H, W)``; the lowest band may have none.
    maps: Tensor


@contextmanager
def record_bands(model: nn.Module) -> Iterator[Dict[str, FrequencyBands]]:
    """Record the bands and maps of every FBM, for the first image of a batch.

    Args:
        model: As in :func:`record_gates`.

    Yields:
        A dict that every forward pass fills: name of the layer that FBM is
        part of to :class:`FrequencyBands`, detached, on the layer's device.
    """
    modulations = {
        name: layer.FBM
        for name, layer in model.named_modules()
        if isinstance(getattr(layer, 'FBM', None), FrequencyBandModulation)
    }
    # FBM sees what its layer sees; a layer that makes its input anew in the
    # backward pass does not call it as a module, one on tokens does.
    parts = {}
    for name, fbm in modulations.items():
        layer = model.get_submodule(name)
        parts[name] = fbm if layer.keeps_kernels else layer

    def read(name: str, args: Any, output: Any) -> Optional[FrequencyBands]:
        fbm, x = modulations[name], args[0].detach()
        x = x[None] if x.dim() == 3 else x[:1]
        if not x.numel():  # FFT libraries refuse an empty batch
            return None
        x = x.to(wide(x.dtype))
        return FrequencyBands(_band_energy(x, fbm), fbm.maps(x)[0])

    with _recording(parts, read) as bands:
        yield bands


def _band_energy(x: Tensor, fbm: FrequencyBandModulation) -> Tensor:
    """Shares of the bands of ``(1, C, H, W)``, from one FFT (Parseval)."""
    spectrum = torch.fft.rfft2(x)
    power = spectrum.abs().square().sum(dim=(0, 1))  # (H, W // 2 + 1)
    # The half plane stands for both, its first column and Nyquist's for
    # themselves.
    power[:, 1 : (x.shape[3] + 1) // 2] *= 2
    below = [power.sum()]
    for k in fbm.k_list:
        mask = low_pass_mask(x.shape[2:], k, fbm.mask, x.device)
        below.append((power * mask).sum())
    below.append(torch.zeros_like(below[0]))
    passed = torch.stack(below)
    share = passed[:-1] - passed[1:]
    return share / passed[0].clamp_min(torch.finfo(share.dtype).tiny)


@contextmanager
def _recording(
    parts: Dict[str, nn.Module], read: Callable[[str, Any, Any], Any]
) -> Iterator[Dict[str, Any]]:
    """Keep what ``read(name, inputs, output)`` makes of every part's run."""
    found: Dict[str, Any] = {}

    def keep(name: str) -> Callable:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            with torch.no_grad(), no_autocast(next(module.parameters())):
                value = read(name, args, output)
            if value is not None:
                found[name] = value

        return hook

    handles = []
    try:
        for name, part in parts.items():
            handles.append(part.register_forward_hook(keep(name)))
        yield found
    finally:
        for handle in handles:
            handle.remove()


def has_gates(layer: nn.Module) -> bool:
    """Whether :func:`record_gates` finds gates in this layer."""
    return _source(layer) is not None


def gate_entropy(gates: Tensor) -> Tensor:
    """Entropy of gates, taken for a distribution over the kernels.

    Gates need not sum to 1 (CondConv, FDConv), and KernelWarehouse's may be
    negative: it is their magnitudes' shares that count.

    Args:
        gates: ``(..., K)``.

    Returns:
        In nats, ``(...)``: ``log K`` where all kernels weigh the same, 0
        where one has all the weight (or where all gates are 0).
    """
    size = gates.abs().to(torch.promote_types(gates.dtype, torch.float32))
    total = size.sum(dim=-1, keepdim=True)
    share = size / total.clamp_min(torch.finfo(size.dtype).tiny)
    return torch.special.entr(share).sum(dim=-1)


def _source(layer: nn.Module) -> Optional[_Source]:
    if not isinstance(layer, DynamicConv2d) or layer.static:
        return None
    if isinstance(layer, FDConv):
        # One group of one spectrum has no gate.
        if layer.KSM_Global.kernel_fc is None:
            return None
        return layer.KSM_Global, lambda gates: gates.kernel
    if isinstance(layer, ODConv):
        if layer.attention.kernel_fc is None:
            return None
        return layer.attention, lambda gates: gates.kernel
    if isinstance(layer, DYConv):
        return layer.attention, _softmax(layer)
    if isinstance(layer, (FADConv, ParameterNetConv)):
        return layer.routing, lambda logit: logit.softmax(dim=1)
    if isinstance(layer, CondConv):
        return layer.routing, torch.sigmoid
    if isinstance(layer, KWConv):
        return layer.attention, lambda attention: attention
    return None


def _softmax(layer: nn.Module) -> Callable[[Tensor], Tensor]:
    # The temperature is read when the layer runs: a hook may move it.
    return lambda logit: (logit / layer.temperature).softmax(dim=1)
