"""Fold dynamic layers, with the gates of an average image, to stock ones."""

import math
from contextlib import ExitStack, contextmanager
from typing import (
    Any,
    Callable,
    Dict,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
)

import torch
from torch import Tensor, nn

from ..functional import pad_input
from ..layers import (
    DynamicConv2d,
    KWConv,
    OnTokens,
    fixed_gates,
    record_descriptors,
)
from ..layers.descriptors import Descriptor
from ..layers.fixed_gates import affine_map, mixes_groups

__all__ = [
    'FoldedLayer',
    'averaged_layers',
    'fold_static_',
    'replace_layers_',
    'static_layer',
]

#: A constant that a stock layer without bias has no place for, over the norm
#: of its kernel.
_BIAS = 1e-5


class FoldedLayer(NamedTuple):
    """What folding one layer does."""

    name: str
    #: Norm of what its output changes by, over the output's, where its input
    #: is the dynamic model's.
    error: float
    reason: str  # why it stays dynamic, or ''

    @property
    def folded(self) -> bool:
        """Whether it became a stock layer."""
        return not self.reason


@torch.no_grad()
def fold_static_(
    model: nn.Module,
    images: Sequence[Tensor],
    layers: Optional[Sequence[str]] = None,
    below: Optional[float] = None,
    call: Optional[Callable[[Tensor], Any]] = None,
) -> List[FoldedLayer]:
    """Replace dynamic layers by stock ones with averaged gates, in place.

    A layer's gates are those of the mean of its descriptor over all images.
    FDConv's FBM becomes one factor for each input channel, the one that comes
    nearest to it over all images (least squares). A frozen kernel or bias
    stays frozen.

    Args:
        model: Any; it is put into evaluation.
        images: What the model is called with, one after the other.
        layers: Names of those to fold. Defaults to all.
        below: Fold only those whose error is lower.
        call: Calls the model with an image. Defaults to the model itself.

    Returns:
        One for every dynamic layer.

    Raises:
        ValueError: There is no dynamic layer or image, the model is a dynamic
            layer itself, or ``layers`` names what is none.
    """
    if isinstance(model, DynamicConv2d):
        raise ValueError(
            f'model: {type(model).__name__} cannot be replaced in itself; '
            'give nn.Sequential(model)'
        )
    found = {
        name: layer
        for name, layer in model.named_modules()
        if isinstance(layer, DynamicConv2d)
    }
    if not found:
        raise ValueError(f'{type(model).__name__} has no dynamic layer')
    if not images:
        raise ValueError('images: there are none, so no gates to average')
    unknown = sorted(set(layers or ()) - set(found))
    if unknown:
        raise ValueError(
            f'layers: {unknown} are no dynamic layers of the model; it has '
            f'{list(found)}'
        )
    call = call or model
    stock = averaged_layers(model, images, call)
    errors = _errors(call, images, found, stock)
    results = []
    for name in found:
        reason = ''
        if layers is not None and name not in layers:
            reason = 'not among layers'
        elif isinstance(stock[name], str):
            reason = stock[name]
        elif math.isnan(errors[name]):
            reason = 'its output is not finite'
        elif below is not None and not errors[name] < below:
            reason = f'its error is not below {below:g}'
        results.append(FoldedLayer(name, errors[name], reason))
    replace_layers_(
        model, {r.name: stock[r.name] for r in results if r.folded}
    )
    _drop_cells(model)
    return results


@torch.no_grad()
def averaged_layers(
    model: nn.Module,
    images: Sequence[Any],
    call: Optional[Callable[[Any], Any]] = None,
) -> Dict[str, Any]:
    """The stock layer of each dynamic one, its gates averaged over images.

    Args:
        model: Any; it is put into evaluation, and keeps its layers.
        images: What ``call`` takes, one after the other.
        call: Calls the model with an image. Defaults to the model itself.

    Returns:
        By name, see :func:`static_layer`.
    """
    model.eval()
    call = call or model
    with record_descriptors(model) as means, _input_factors(model) as factors:
        for image in images:
            call(image)
    stock: Dict[str, Any] = {}
    for name, layer in model.named_modules():
        if not isinstance(layer, DynamicConv2d):
            continue
        own = {
            part: means.get(f'{name}.{part}')
            for part, module in layer.named_modules()
            if isinstance(module, Descriptor)
        }
        if any(mean is None for mean in own.values()):
            stock[name] = 'it does not run when the model is called'
            continue
        with fixed_gates(layer, own):
            stock[name] = static_layer(layer, factors.get(name))
    return stock


def replace_layers_(model: nn.Module, new: Mapping[str, nn.Module]) -> None:
    """Put other layers in, wherever in the model the named ones stand.

    Args:
        model: Any.
        new: By the name of what each replaces, or one of its names.
    """
    by_old = {id(model.get_submodule(name)): new[name] for name in new}
    for parent in list(model.modules()):
        for child, module in parent._modules.items():
            if id(module) in by_old:
                parent._modules[child] = by_old[id(module)]


@contextmanager
def _input_factors(model: nn.Module) -> Iterator[Dict[str, Tensor]]:
    """Fit to every FBM a factor for each channel, over all that passes.

    Yields:
        A dict that is filled at the end: name of the layer to ``(C,)``.
    """
    factors: Dict[str, Tensor] = {}
    products: Dict[str, List[Tensor]] = {}

    def recorder(name: str, fbm: nn.Module):
        def hook(module: nn.Module, args: tuple, output: Tensor) -> None:
            x = args[0] if args[0].dim() == 4 else args[0][None]
            # The layer does not call FBM as a module where it makes its input
            # anew in the backward pass.
            y = output if module is fbm else fbm(x)
            for i, z in enumerate((y, x)):
                product = (x.double() * z.double()).sum((0, 2, 3))
                products[name][i] = products[name][i] + product

        return hook

    with ExitStack() as hooks:
        for name, layer in model.named_modules():
            fbm = getattr(layer, 'FBM', None)
            if isinstance(layer, DynamicConv2d) and fbm is not None:
                products[name] = [torch.zeros(()), torch.zeros(())]
                part = fbm if layer.keeps_kernels else layer
                hook = part.register_forward_hook(recorder(name, fbm))
                hooks.enter_context(hook)
        yield factors
    for name, (modulated, plain) in products.items():
        # A channel that is 0 in all images has no factor to find.
        factors[name] = torch.where(plain > 0, modulated / plain, 1.0)


def static_layer(layer: DynamicConv2d, factors: Optional[Tensor] = None):
    """The stock layer that a layer is while its gates are fixed.

    Args:
        layer: In evaluation, under
            :func:`~mmfdconv.layers.fixed_gates.fixed_gates`.
        factors: ``(C,)``, what FDConv's FBM does to each input channel.

    Returns:
        An ``nn.Conv2d`` or ``nn.Linear``; or, in words, why there is none.
    """
    if mixes_groups(layer):
        return 'its dynamic path connects channels of all groups'
    O, I, kh, kw = layer.weight_shape  # noqa: E741
    weight, bias = affine_map(layer)
    if factors is not None:
        by_filter = factors.view(layer.groups, I).repeat_interleave(
            O // layer.groups, dim=0
        )  # (O, I)
        weight = weight * by_filter[..., None, None].to(weight)
    has_bias = layer.bias is not None
    if not has_bias and bias.norm() > _BIAS * weight.norm():
        return 'it adds a constant, and the stock layer has no bias'
    if isinstance(layer, OnTokens):
        stock = nn.Linear(I, O, has_bias)
    else:
        padding, kind = layer.padding, nn.Conv2d
        if padding == 'same' and max(layer.stride) > 1:
            padding, kind = 0, _PaddedBySize
        stock = kind(
            layer.in_channels,
            O,
            layer.kernel_size,
            layer.stride,
            padding,
            layer.dilation,
            layer.groups,
            has_bias,
            layer.padding_mode,
        )
    stock.to(weight).eval()
    stock.weight.copy_(weight.reshape(stock.weight.shape))
    kernel = {*layer.weight_parameters(), *layer.shared_parameters()}
    if has_bias:
        stock.bias.copy_(bias)
        stock.bias.requires_grad_(layer.bias.requires_grad)
        kernel.discard(layer.bias)
    stock.weight.requires_grad_(any(p.requires_grad for p in kernel))
    return stock


class _PaddedBySize(nn.Conv2d):
    """``'same'`` with a stride, which ``nn.Conv2d`` refuses.

    Stands in for the stock model's own class, such as timm's ``Conv2dSame``,
    and has the same parameters.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Pad as TensorFlow does, convolve."""
        x, padding = pad_input(
            x,
            'same',
            self.padding_mode,
            self.kernel_size,
            self.dilation,
            self.stride,
        )
        return nn.functional.conv2d(
            x,
            self.weight,
            self.bias,
            self.stride,
            padding,
            self.dilation,
            self.groups,
        )


def _errors(
    call: Callable[[Tensor], Any],
    images: Sequence[Tensor],
    layers: Dict[str, DynamicConv2d],
    stock: Dict[str, nn.Module],
) -> Dict[str, float]:
    """Of every layer that has a stock one; infinite for the others."""
    change = dict.fromkeys(layers, 0.0)
    size = dict.fromkeys(layers, 0.0)

    def compare(name: str):
        def hook(layer: nn.Module, args: tuple, output: Tensor) -> None:
            difference = stock[name](args[0]) - output
            change[name] += difference.square().sum().item()
            size[name] += output.square().sum().item()

        return hook

    with ExitStack() as hooks:
        for name, layer in layers.items():
            if not isinstance(stock[name], str):
                hooks.enter_context(layer.register_forward_hook(compare(name)))
        for image in images:
            call(image)
    return {
        name: (change[name] / size[name]) ** 0.5
        if size[name]
        else float('inf')
        for name in layers
    }


def _drop_cells(model: nn.Module) -> None:
    """Take out shared cells that no layer is left to mix."""
    if any(isinstance(layer, KWConv) for layer in model.modules()):
        return
    for module in model.modules():
        module._modules.pop(KWConv.shared_module, None)
