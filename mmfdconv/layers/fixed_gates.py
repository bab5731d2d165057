"""Gates that do not depend on the input: from descriptors recorded before.

A dynamic layer predicts its gates from a descriptor of what it sees, a vector
for each image. Cut an image into windows, and each window has gates of its
own. With the mean descriptors of many windows, all have the same; and a layer
whose gates are fixed is a stock one.
"""

import copy
from contextlib import contextmanager
from typing import Callable, Dict, Iterator, List, Mapping, Optional, Tuple

import torch
from torch import Tensor, nn

from ..functional import no_autocast
from .base import DynamicConv2d
from .dcd import DCDConv
from .descriptors import Descriptor
from .linear import OnTokens


@contextmanager
def record_descriptors(model: nn.Module) -> Iterator[Dict[str, Tensor]]:
    """Record the mean of every descriptor over all images that pass.

    Args:
        model: Any module. A compiled forward pass does not call hooks, so
            record the model as it was before.

    Yields:
        A dict that every forward pass brings up to date: the descriptor's
        name to its mean ``(1, C)``, detached, on the device of the layer.
        Those of deeper layers are of features that each image's own gates
        made.

    Example::

        >>> with record_descriptors(model) as means:
        ...     for images in loader:
        ...         model(images)
        >>> with fixed_gates(model, means):
        ...     model(image)
    """
    means: Dict[str, Tensor] = {}
    counts: Dict[str, int] = {}

    def recorder(name: str):
        def hook(module: nn.Module, args: tuple, output: Tensor) -> None:
            if not len(output):
                return
            mean = output.detach().mean(0, keepdim=True)
            counts[name] = counts.get(name, 0) + len(output)
            old = means.get(name, mean)
            means[name] = old + (mean - old) * (len(output) / counts[name])

        return hook

    with _hooks(model, recorder):
        yield means


@contextmanager
def fixed_gates(
    model: nn.Module, descriptors: Mapping[str, Tensor]
) -> Iterator[None]:
    """Predict the gates of every dynamic layer from given descriptors.

    The kernels are then the same for all images. The maps of FDConv's FBM are
    not gates of a kernel, and still depend on the image. In evaluation and
    without gradients a layer computes its kernel once, for the first images;
    its router then does not run, and its weights must not change before the
    end.

    Args:
        model: Any module.
        descriptors: Result of :func:`record_descriptors`, for every layer.

    Raises:
        ValueError: The descriptors are not those of this model's layers.
    """
    own = {name for name, _ in _descriptors(model)}
    if own != set(descriptors):
        wrong = sorted(own ^ set(descriptors))
        raise ValueError(
            'descriptors must have an entry for each of the '
            f"model's {len(own)} and no other; one side lacks {wrong[:3]}"
        )

    def fixer(name: str):
        fixed = descriptors[name]

        def hook(module: nn.Module, args: tuple, output: Tensor) -> Tensor:
            if fixed.shape != (1, output.shape[1]):
                raise ValueError(
                    f'descriptors[{name!r}] must have shape '
                    f'{(1, output.shape[1])}, got {tuple(fixed.shape)}'
                )
            return fixed.to(output).expand_as(output)

        return hook

    layers = [m for m in model.modules() if isinstance(m, DynamicConv2d)]
    with _hooks(model, fixer):
        try:
            for layer in layers:
                layer.run_fixed = _runner(layer)
            yield
        finally:
            for layer in layers:
                layer.run_fixed = None


def _runner(layer: DynamicConv2d) -> Optional[Callable[[Tensor], Tensor]]:
    """Runs a layer as a stock one; None if it must be run as it is."""
    fbm = getattr(layer, 'FBM', None)
    kept: List[Tuple[Tensor, Tensor]] = []

    def run(x: Tensor) -> Tensor:
        if not kept:
            with no_autocast(x):  # what is kept should not be rounded
                kept.append(affine_map(layer))
        weight, bias = (t.to(x.dtype) for t in kept[0])
        return layer.convolve_static(fbm(x) if fbm else x, weight, bias)

    return None if layer.static or mixes_groups(layer) else run


def mixes_groups(layer: DynamicConv2d) -> bool:
    """Whether no stock layer of as many groups can compute the same."""
    return isinstance(layer, DCDConv) and layer.groups > 1


@torch.no_grad()
def affine_map(layer: DynamicConv2d) -> Tuple[Tensor, Tensor]:
    """What a layer without FBM is while its gates are fixed.

    Its kernel is what it makes of images in which one element is 1, laid side
    by side.

    Args:
        layer: In evaluation, under :func:`fixed_gates`; its channels of
            different groups do not mix.

    Returns:
        A kernel ``(O, C/G, kh, kw)`` and a bias ``(O,)``.
    """
    probe = copy.copy(layer)
    probe._modules = dict(layer._modules)
    probe.run_fixed = None
    if 'FBM' in probe._modules:
        probe.FBM = None
    O, I, kh, kw = layer.weight_shape  # noqa: E741
    taps = I * kh * kw
    # Each element of a filter alone, then none of them: (taps + 1, I, kh, kw)
    alone = torch.eye(taps + 1, taps).view(-1, I, kh, kw)
    like = next(layer.parameters())
    alone = alone.to(like.device, like.dtype)
    if isinstance(layer, OnTokens):
        y = probe(alone.view(1, -1, I))[0]  # (taps + 1, O)
    else:
        probe.stride, probe.dilation = (kh, kw), (1, 1)
        probe.padding, probe.padding_mode = (0, 0), 'zeros'
        # Side by side: (taps + 1, I, kh, kw) -> (1, C, kh, (taps + 1) * kw)
        x = alone.permute(1, 2, 0, 3).reshape(1, I, kh, -1)
        y = probe(x.repeat(1, layer.groups, 1, 1))[0, :, 0].T
    return (y[:-1] - y[-1]).T.reshape(layer.weight_shape), y[-1]


def _descriptors(model: nn.Module) -> Iterator:
    for name, module in model.named_modules():
        if isinstance(module, Descriptor):
            yield name, module


@contextmanager
def _hooks(model: nn.Module, hook_of) -> Iterator[None]:
    handles = []
    try:
        for name, module in _descriptors(model):
            handles.append(module.register_forward_hook(hook_of(name)))
        yield
    finally:
        for handle in handles:
            handle.remove()
