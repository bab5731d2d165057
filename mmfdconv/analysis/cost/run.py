"""Runs a config's model once, without weights and data."""

import copy
from typing import Any, Callable, Optional, Sequence, Tuple

import torch
from mmengine.config import Config
from torch import nn

from ...convert import make_stock_
from ...engine.models import image_channels
from ...registry import LAYERS

__all__ = [
    'ModelRun',
    'default_shape',
    'parse_shape',
    'stock_config',
]

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


class ModelRun:
    """Calls a model of mmdet, mmseg or mmpretrain once on an empty image.

    As the toolboxes' own counters do, it stops short of turning outputs into
    results. A two-stage detector's second stage sees the regions that its
    first one finds, up to the number that its ``test_cfg`` lets through.

    Args:
        model: In evaluation mode.
        scope: The toolbox.
        shape: ``(H, W)`` of the image, as the network sees it.

    Raises:
        ValueError: The shape is none.
    """

    def __init__(
        self, model: nn.Module, scope: str, shape: Tuple[int, int]
    ) -> None:
        if min(shape) < _LEAST_SIDE:
            raise ValueError(
                f'shape: an image has a height and a width of at least '
                f'{_LEAST_SIDE} pixels, got {" ".join(map(str, shape))}'
            )
        self.model = model
        self.scope = scope
        self.shape = tuple(shape)
        #: How many regions a two-stage detector classified.
        self.regions: Optional[int] = None

    def __call__(self) -> Any:
        """Run.

        Raises:
            ValueError: The model does not run on its own or at this shape.
        """
        x = torch.zeros(1, image_channels(self.model), *self.shape)
        try:
            return self._call(x)
        except (
            AssertionError,
            AttributeError,
            NotImplementedError,
            RuntimeError,
            TypeError,
        ) as error:
            height, width = self.shape
            raise ValueError(
                f'{type(self.model).__name__} does not run on an image of '
                f'{height} x {width} (another --shape may fit): '
                f'{type(error).__name__}: {error}'
            ) from error

    def _call(self, x: torch.Tensor) -> Any:
        if self.scope == 'mmpretrain':
            return self.model(x, mode='tensor')
        if self.scope == 'mmseg':
            return self._segment(x)
        samples = self._samples('mmdet')
        rpn_head = getattr(self.model, 'rpn_head', None)
        if rpn_head is None:
            return self.model(x, samples, mode='tensor')
        predict = rpn_head.predict
        rpn_head.predict = self._counting(predict)
        try:
            return self.model(x, samples, mode='tensor')
        finally:
            del rpn_head.predict

    def _counting(self, predict: Callable) -> Callable:
        def counting(*args: Any, **kwargs: Any) -> Any:
            results = predict(*args, **kwargs)
            self.regions = sum(len(result) for result in results)
            return results

        return counting

    def _segment(self, x: torch.Tensor) -> Any:
        from mmseg.models.decode_heads import Mask2FormerHead, MaskFormerHead

        samples = self._samples('mmseg')
        head = getattr(self.model, 'decode_head', None)
        if isinstance(head, (MaskFormerHead, Mask2FormerHead)):
            # Its forward() wants the samples, which mode='tensor' keeps.
            return head(self.model.extract_feat(x), samples)
        return self.model(x, samples, mode='tensor')

    def _samples(self, scope: str) -> list:
        from mmengine.structures import InstanceData

        if scope == 'mmdet':
            from mmdet.structures import DetDataSample as Sample
        else:
            from mmseg.structures import SegDataSample as Sample
        names = 'img_shape', 'ori_shape', 'pad_shape', 'batch_input_shape'
        meta = dict.fromkeys(names, self.shape)
        sample = Sample(metainfo=dict(meta, scale_factor=(1.0, 1.0)))
        # Some heads read annotations and then make no use of them.
        sample.gt_instances = InstanceData(
            bboxes=torch.zeros(0, 4), labels=torch.zeros(0).long()
        )
        return [sample]
