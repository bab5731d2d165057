"""The model that a figure is about: a config, its weights, and pictures."""

import difflib
from contextlib import contextmanager
from pathlib import Path
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
    Tuple,
)

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import load_checkpoint
from torch import Tensor, nn

from ..layers.base import DynamicConv2d
from ..layers.linear import OnTokens

__all__ = [
    'Seen',
    'dynamic_layers',
    'extract',
    'load_model',
    'one_line',
    'pad_picture',
    'pick_layer',
    'read_image',
    'test_pipeline',
    'watch',
]

#: Says why a layer does not fit a figure; None where it does.
Misfit = Callable[[nn.Module], Optional[str]]

#: Transforms that a picture without annotations has no use for.
_ANNOTATIONS = ('LoadAnnotations', 'LoadPanopticAnnotations')


def one_line(error: Any, length: int = 400) -> str:
    """Give a message of many lines as a short one."""
    text = ' '.join(str(error).split())
    return text if len(text) <= length else f'{text[:length]} ...'


def load_model(
    cfg: Config,
    checkpoint: Optional[str] = None,
    device: str = 'cpu',
    seed: int = 0,
) -> nn.Module:
    """Build a config's model, to be looked at.

    Args:
        cfg: Of mmdet, mmseg or mmpretrain.
        checkpoint: Its weights. None: an untrained model, as it was built;
            weights that the config would start from are not fetched.
        device: Where to put it.
        seed: For the weights of an untrained model.

    Returns:
        The model in evaluation mode.

    Raises:
        ValueError: The config has no model, or the checkpoint is not its.
    """
    if cfg.get('model') is None:
        raise ValueError('config: it has no model')
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    torch.manual_seed(seed)
    model = MODELS.build(cfg.model)
    if checkpoint is not None:
        try:
            load_checkpoint(
                model, checkpoint, 'cpu', strict=True, logger='silent'
            )
        except RuntimeError as error:
            raise ValueError(
                f'checkpoint: {checkpoint!r} does not fit the model of the '
                f'config: {one_line(error)}'
            ) from error
        except Exception as error:  # torch raises many kinds for broken files
            raise ValueError(
                f'checkpoint: {checkpoint!r} cannot be read: {one_line(error)}'
            ) from error
    try:
        return model.to(device).eval()
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f'device: {device!r}: {one_line(error)}') from error


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
    model: nn.Module,
    name: Optional[str],
    misfit: Misfit,
    candidates: Optional[Mapping[str, nn.Module]] = None,
) -> Tuple[str, nn.Module]:
    """Find the layer that a figure is to show.

    Args:
        model: The model.
        name: The layer's; what stands before its first dots may be left out
            where the rest is unique (``layer1.0.conv1``). None: the first
            layer that fits.
        misfit: Says why a layer does not fit the figure, or None.
        candidates: Layers by name; None: the dynamic ones.

    Raises:
        ValueError: There is no such layer, or it does not fit.
    """
    layers = dynamic_layers(model) if candidates is None else candidates
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


# --------------------------------------------------------------- pictures


def test_pipeline(cfg: Config, annotations: bool = False) -> List[Any]:
    """The transforms of the config's test data set.

    Args:
        cfg: The config.
        annotations: Whether to keep those that load annotations.
    """
    dataset = (cfg.get('test_dataloader') or {}).get('dataset') or {}
    while 'dataset' in dataset:  # wrappers
        dataset = dataset['dataset']
    pipeline = dataset.get('pipeline')
    if not pipeline:
        raise ValueError(
            'config: it has no test_dataloader with a pipeline, which would '
            'say how to prepare an image'
        )
    return [
        step
        for step in pipeline
        if annotations
        or str(step['type']).rpartition('.')[2] not in _ANNOTATIONS
    ]


def read_image(cfg: Config, path: str) -> Tuple[Dict[str, Any], np.ndarray]:
    """Prepare an image as the config's test pipeline does.

    Returns:
        A batch of one for ``model.data_preprocessor``, and the same image to
        look at, ``(H, W, 3)`` RGB of type uint8.

    Raises:
        ValueError: It cannot be read, or the pipeline does not know how.
    """
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    loader, *rest = test_pipeline(cfg)
    if not Path(path).is_file():
        raise ValueError(f'image: {path!r} is not a file')
    try:
        loaded = Compose([loader])(dict(img_path=path, img_id=0))
        size = loaded['img'].shape[:2]
    except Exception as error:  # readers raise many kinds for broken files
        raise ValueError(
            f'image: {path!r} cannot be read: {one_line(error)}'
        ) from error
    try:
        packed = Compose(rest)(loaded)
    except KeyError as error:
        raise ValueError(
            f'config: its test pipeline asks for {error} of an image of '
            f'{size[1]} x {size[0]} pixels that has no annotations'
        ) from error
    batch = dict(
        inputs=[packed['inputs']], data_samples=[packed['data_samples']]
    )
    return batch, displayable(packed['inputs'])


def displayable(inputs: Tensor) -> np.ndarray:
    """Give ``(C, H, W)`` as loaded, blue first, as RGB to look at."""
    bands = inputs[[2, 1, 0]] if len(inputs) > 2 else inputs[[0, 0, 0]]
    pixels = bands.float().cpu().numpy().transpose(1, 2, 0)
    if inputs.dtype == torch.uint8:
        return pixels.astype(np.uint8)
    low, high = np.nanpercentile(pixels, (2, 98))
    pixels = (pixels - low) / max(high - low, 1e-6)
    return (np.nan_to_num(pixels).clip(0, 1) * 255).astype(np.uint8)


def pad_picture(picture: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Pad an image to what the model saw, so that feature maps lie upon it.

    Args:
        picture: ``(H, W, 3)``.
        size: Height and width of the model's input.
    """
    more = [max(n - m, 0) for n, m in zip(size, picture.shape)]
    return np.pad(picture, ((0, more[0]), (0, more[1]), (0, 0)))


# ---------------------------------------------------------------- running


class Seen(NamedTuple):
    """What a layer took and gave, ``(B, C, H, W)``."""

    before: Tensor
    after: Tensor


@contextmanager
def watch(layers: Mapping[str, nn.Module]) -> Iterator[Dict[str, Seen]]:
    """Keep what layers take and give while the block runs.

    Of a layer that runs several times the first time is kept.

    Args:
        layers: Which, by name.
    """
    seen: Dict[str, Seen] = {}

    def keeper(name: str) -> Callable:
        def keep(module: nn.Module, inputs: Any, output: Any) -> None:
            if name not in seen and isinstance(output, Tensor):
                both = (inputs[0].detach(), output.detach())
                seen[name] = Seen(*(_as_maps(module, t) for t in both))

        return keep

    handles = [
        layer.register_forward_hook(keeper(name))
        for name, layer in layers.items()
    ]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


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
