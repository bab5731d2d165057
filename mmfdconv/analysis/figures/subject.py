"""The model that a figure is about, its layers, and what they see."""

import difflib
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import (
    Any,
    Callable,
    Dict,
    Iterator,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
)

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import Tensor, nn

from ...engine.models import build_model, check_device, load_weights
from ...layers.base import DynamicConv2d
from ...layers.linear import OnTokens
from .data import pad_picture, read_image

#: Says why a layer does not fit a figure; None where it does.
Misfit = Callable[[nn.Module], Optional[str]]


class Subject(NamedTuple):
    """A config's model and what to call it."""

    cfg: Config
    model: nn.Module
    state: str  # trained or not, by which checkpoint

    @classmethod
    def load(
        cls,
        cfg: Config,
        checkpoint: Optional[str] = None,
        device: str = 'cpu',
    ) -> 'Subject':
        """Build a config's model, to be looked at, in evaluation mode.

        Args:
            cfg: Of mmdet, mmseg or mmpretrain.
            checkpoint: Its weights. None: an untrained model, as it was
                built; weights that the config would start from are not
                fetched.
            device: Where to put it.

        Raises:
            ValueError: The config has no model, the checkpoint is not its, or
                the device is not there.
        """
        check_device(device)
        init_default_scope(cfg.get('default_scope', 'mmengine'))
        torch.manual_seed(0)
        model, state = build_model(cfg), 'untrained'
        if checkpoint is not None:
            load_weights(model, checkpoint)
            state = f'trained ({Path(checkpoint).name})'
        return cls(cfg, model.to(device).eval(), state)

    def title(self, name: str, layer: nn.Module) -> str:
        """Say which layer a figure shows, of which model."""
        size = 'x'.join(map(str, layer.kernel_size))
        return (
            f'{name}: {type(layer).__name__} {layer.in_channels} to '
            f'{layer.out_channels} channels, {size}, {self.state}'
        )

    def input_of(self, name: str, image: str) -> Tuple[Tensor, np.ndarray]:
        """Run on an image, to see what a layer takes.

        Args:
            name: The layer's.
            image: A file.

        Returns:
            The layer's input ``(1, C, H, W)`` and the image as the model saw
            it, ``(H, W, 3)`` of uint8.

        Raises:
            ValueError: The image cannot be read, or the layer does not run.
        """
        batch, picture = read_image(self.cfg, image)
        with watch({name: self.model.get_submodule(name)}) as seen:
            data = extract(self.model, batch, [name])
        if name not in seen:
            raise ValueError(
                f'layer: {name!r} does not run when the model extracts '
                'features'
            )
        if seen[name].dim() != 4:
            raise ValueError(
                f'layer: {name!r} takes tokens without positions, of shape '
                f'{tuple(seen[name].shape)}; its features have no frequencies'
            )
        return seen[name], pad_picture(picture, data['inputs'].shape[2:])


# ----------------------------------------------------------------- layers


def dynamic_layers(model: nn.Module) -> Dict[str, DynamicConv2d]:
    """The layers of a model whose kernels follow the input, by name.

    Raises:
        ValueError: There is none.
    """
    found = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, DynamicConv2d) and not module.static
    }
    if not found:
        raise ValueError(
            'config: its model has no dynamic layer; give its backbone one, '
            "as in model=dict(backbone=dict(type='DynamicBackbone', ..., "
            "conv_cfg=dict(type='FDConv')))"
        )
    return found


def pick_layer(
    model: nn.Module, name: Optional[str], misfit: Misfit
) -> Tuple[str, nn.Module]:
    """Find the dynamic layer that a figure is to show.

    Args:
        model: The model.
        name: The layer's; what stands before its first dots may be left out
            where the rest is unique (``layer1.0.conv1``). None: the first
            layer that fits.
        misfit: Says why a layer does not fit the figure, or None.

    Raises:
        ValueError: There is no such layer, or it does not fit.
    """
    layers = dynamic_layers(model)
    if name is None:
        reasons = {}
        for key, layer in layers.items():
            reason = misfit(layer)
            if reason is None:
                return key, layer
            reasons.setdefault(reason, key)
        told = '; '.join(f'{key}: {reason}' for reason, key in reasons.items())
        raise ValueError(f'config: no layer fits this figure ({told})')
    layer = _find(model, name, layers)
    reason = misfit(layers[layer])
    if reason is not None:
        raise ValueError(
            f'layer: {layer!r} does not fit this figure: {reason}'
        )
    return layer, layers[layer]


def _find(model: nn.Module, name: str, layers: Mapping[str, nn.Module]) -> str:
    if name in layers:
        return name
    ends = [key for key in layers if key.endswith(f'.{name}')]
    if len(ends) == 1:
        return ends[0]
    if len(ends) > 1:
        raise ValueError(
            f'layer: {name!r} may be any of {", ".join(ends)}; say which'
        )
    modules = dict(model.named_modules())
    static = modules.get(name)
    if isinstance(static, DynamicConv2d):
        raise ValueError(f'layer: {name!r} is static: {static.static}')
    if static is not None:
        kind = type(static).__name__
        raise ValueError(f'layer: {name!r} is no dynamic layer but a {kind}')
    # Names differ in their digits, so the longest common parts decide.
    near = difflib.get_close_matches(name, layers, n=3, cutoff=0.0)
    raise ValueError(
        f'layer: the model has no {name!r}; the nearest names are '
        f'{", ".join(near)}'
    )


# ---------------------------------------------------------------- running


@contextmanager
def watch(layers: Mapping[str, nn.Module]) -> Iterator[Dict[str, Tensor]]:
    """Keep what layers take while the block runs, ``(B, C, H, W)``.

    Of a layer that runs several times the first time is kept.

    Args:
        layers: Which, by name.
    """
    seen: Dict[str, Tensor] = {}

    def keeper(name: str) -> Callable:
        def keep(module: nn.Module, inputs: Any) -> None:
            seen.setdefault(name, _as_maps(module, inputs[0].detach()))

        return keep

    with ExitStack() as hooks:
        for name, layer in layers.items():
            hooks.enter_context(layer.register_forward_pre_hook(keeper(name)))
        yield seen


def _as_maps(module: nn.Module, x: Tensor) -> Tensor:
    """Tokens ``(B, H, W, C)`` as ``(B, C, H, W)``; maps as they are."""
    if isinstance(module, OnTokens) and x.dim() == 4:
        return x.permute(0, 3, 1, 2)
    return x


@torch.no_grad()
def extract(
    model: nn.Module, batch: Mapping[str, Any], names: Sequence[str] = ()
) -> Dict[str, Any]:
    """Run a model on a batch, as far as the layers of interest need it.

    Args:
        model: A detector, segmentor or classifier.
        batch: Not yet through the data preprocessor.
        names: Of the layers of interest; where all of them are in the
            backbone or the neck, the heads do not run.

    Returns:
        The batch as the data preprocessor gives it.
    """
    data = model.data_preprocessor(dict(batch), False)
    early = all(name.startswith(('backbone.', 'neck.')) for name in names)
    if early and hasattr(model, 'extract_feat'):
        model.extract_feat(data['inputs'])
    else:
        model(**data, mode='tensor')
    return data
