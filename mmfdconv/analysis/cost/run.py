"""Runs a config's model once, without weights and data."""

import copy
from typing import Any, Optional, Sequence, Tuple

import torch
from mmengine.config import Config
from torch import nn

from ...convert import make_stock_
from ...engine.models import image_channels
from ...registry import LAYERS

_LEAST_SIDE = 32


def stock_config(cfg: Config) -> Config:
    """The same config with its dynamic layers taken out again.

    Raises:
        ValueError: There are none.
    """
    cfg = copy.deepcopy(cfg)
    if not make_stock_(cfg):
        raise ValueError(
            "config: its model has neither a 'DynamicBackbone' nor a "
            f'conv_cfg with one of {", ".join(sorted(LAYERS))}, so it is the '
            'stock model already'
        )
    return cfg


def default_shape(cfg: Config) -> Tuple[int, int]:
    """The ``(H, W)`` for which a toolbox's tables give FLOPs.

    mmdet: 800 x 1280; mmseg: the size of the training crops, else 512 x 512;
    mmpretrain: 224 x 224.
    """
    if cfg.default_scope == 'mmdet':
        return 800, 1280
    if cfg.default_scope == 'mmpretrain':
        return 224, 224
    for holder in (cfg, cfg.get('data_preprocessor') or {}):
        size = holder.get('crop_size') or holder.get('size')
        if size is not None:
            return tuple(size)
    return 512, 512


def parse_shape(sides: Optional[Sequence[int]]) -> Optional[Tuple[int, int]]:
    """Read one or two sides; one stands for a square.

    Raises:
        ValueError: There are more, or they are no sides.
    """
    if sides is None:
        return None
    if len(sides) not in (1, 2) or min(sides) < 1:
        raise ValueError(
            'shape: give height and width in pixels, as in --shape 800 1280, '
            f'or one number for both, got {" ".join(map(str, sides))}'
        )
    return sides[0], sides[-1]


def run_once(
    model: nn.Module, scope: str, shape: Tuple[int, int]
) -> Optional[int]:
    """Call a model of mmdet, mmseg or mmpretrain once on an empty image.

    As the toolboxes' own counters do, it stops short of turning outputs into
    results. A two-stage detector's second stage sees the regions that its
    first one finds, up to the number that its ``test_cfg`` lets through.

    Args:
        model: In evaluation mode.
        scope: The toolbox.
        shape: ``(H, W)`` of the image, as the network sees it.

    Returns:
        How many regions a two-stage detector classified; None for others.

    Raises:
        ValueError: The shape is none, or the model does not run on its own or
            at this shape.
    """
    height, width = shape
    if min(shape) < _LEAST_SIDE:
        raise ValueError(
            f'shape: an image has a height and a width of at least '
            f'{_LEAST_SIDE} pixels, got {height} {width}'
        )
    x = torch.zeros(1, image_channels(model), *shape)
    try:
        return _call(model, scope, x)
    except (
        AssertionError,
        AttributeError,
        NotImplementedError,
        RuntimeError,
        TypeError,
    ) as error:
        raise ValueError(
            f'{type(model).__name__} does not run on an image of '
            f'{height} x {width} (another --shape may fit): '
            f'{type(error).__name__}: {error}'
        ) from error


def _call(model: nn.Module, scope: str, x: torch.Tensor) -> Optional[int]:
    samples = empty_samples(scope, x.shape[2:])
    if scope == 'mmseg':
        from mmseg.models.decode_heads import Mask2FormerHead, MaskFormerHead

        head = getattr(model, 'decode_head', None)
        if isinstance(head, (MaskFormerHead, Mask2FormerHead)):
            # Its forward() wants the samples, which mode='tensor' keeps.
            head(model.extract_feat(x), samples)
            return None
    rpn_head = getattr(model, 'rpn_head', None)
    if rpn_head is None:
        model(x, samples, mode='tensor')
        return None
    regions = []
    predict = rpn_head.predict

    def counting(*args: Any, **kwargs: Any) -> Any:
        results = predict(*args, **kwargs)
        regions.extend(map(len, results))
        return results

    rpn_head.predict = counting
    try:
        model(x, samples, mode='tensor')
    finally:
        del rpn_head.predict
    return sum(regions)


def empty_samples(scope: str, shape: Sequence[int]) -> Optional[list]:
    """What mmdet and mmseg want to know of an image without annotations."""
    if scope == 'mmpretrain':
        return None
    from mmengine.structures import InstanceData

    if scope == 'mmdet':
        from mmdet.structures import DetDataSample as Sample
    else:
        from mmseg.structures import SegDataSample as Sample
    names = 'img_shape', 'ori_shape', 'pad_shape', 'batch_input_shape'
    meta = dict.fromkeys(names, tuple(shape))
    sample = Sample(metainfo=dict(meta, scale_factor=(1.0, 1.0)))
    # Some heads read annotations and then make no use of them.
    sample.gt_instances = InstanceData(
        bboxes=torch.zeros(0, 4), labels=torch.zeros(0).long()
    )
    return [sample]
