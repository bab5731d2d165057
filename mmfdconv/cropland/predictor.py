"""A segmentation model as a function from windows to scores of classes."""

import colorsys
import inspect
from typing import Any, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS, init_default_scope
from torch import Tensor, nn

from ..convert.nodes import innermost_datasets
from ..datasets.raster_bands import Band
from ..engine import launch
from ..engine.models import load_weights
from .heads import decode_head, probabilities_of
from .pipeline import BYTE, WindowPipeline, transform_name
from .raster import NODATA
from .scene import Rows

__all__ = ['Predictor', 'load_predictor']

MAX_CLASSES = NODATA - 1  # as many as a map is read back with
Colour = Tuple[int, int, int]


class Predictor:
    """Scores of the classes, from windows as the scene holds them.

    A window goes the way of a tile: through the test pipeline, the data
    preprocessor, the model and what the model does after it. So it is filled,
    resized, normalised and cut up (``test_cfg``, mode ``slide``) as in
    ``tools/test.py``. Augmentation in tests is left out.

    Args:
        model: Any segmentor of mmseg that gives ``seg_logits``.
        classes: Names, by class number.
        palette: Red, green, blue by class number.
        device: Where to run.
        amp: Run in half precision.
        value_range: Scene values that become 0 and 255, for scenes of more
            than 8 bits and models of 8-bit images. Values beyond are cut.
        pipeline: The transforms of the test pipeline.
        bands: Names or positions of the bands that the training read, in the
            model's order; nothing stands for all of a file.
        multiple: The model's stride. Windows begin at multiples of it, and
            one that is no multiple is padded if the backbone refuses it.
        training_data: What ``TrainingDataHook`` found.

    Raises:
        ValueError: The value range is empty, the pipeline augments, or
            nothing tells the number of bands.
    """

    def __init__(
        self,
        model: nn.Module,
        classes: Sequence[str],
        palette: Sequence[Colour],
        device: Union[str, torch.device] = 'cpu',
        amp: bool = False,
        value_range: Optional[Tuple[float, float]] = None,
        pipeline: Sequence[Mapping[str, Any]] = (),
        bands: Sequence[Band] = (),
        multiple: int = 32,
        training_data: Optional[Mapping[str, Any]] = None,
    ) -> None:
        self.device = torch.device(device)
        self.model = model.to(self.device).eval()
        self.classes, self.palette = tuple(classes), list(palette)
        self.multiple = multiple
        self.training_data = training_data
        self._amp, self.value_range = amp, value_range
        self.bands = tuple(bands)
        #: Number of scores of a pixel: of classes, or one for two classes.
        self.num_scores: int = model.out_channels
        self.mean = _mean(model, pipeline)
        self.channels = self._count_channels()
        prepare = model.data_preprocessor
        # Named with or without underscore, depending on mmseg's version.
        turns = any(
            getattr(prepare, name, False)
            for name in ('channel_conversion', '_channel_conversion')
        )
        self._pipeline = WindowPipeline(
            pipeline, value_range, turns and self.channels == 3
        )
        if self._needs_multiple():
            prepare.test_cfg = dict(size_divisor=multiple)

    def _count_channels(self) -> int:
        if self.mean is not None and len(self.mean) > 1:
            return len(self.mean)
        for weight in self.model.backbone.parameters():
            if weight.ndim == 4:
                return weight.shape[1]
        raise ValueError(
            'config: the number of bands stands neither in the mean of the '
            'normalisation nor in a convolution of the backbone'
        )

    @torch.no_grad()
    def _needs_multiple(self) -> bool:
        """Whether an image must be padded that the config does not pad.

        Some backbones refuse sides that they cannot halve often enough, and
        a scene's last windows may have any.
        """
        if getattr(self.model.data_preprocessor, 'test_cfg', None):
            return False
        side = self.multiple + 1
        image = torch.zeros(1, self.channels, side, side, device=self.device)
        try:
            self.model.backbone(image)
        except (AssertionError, RuntimeError, ValueError):
            return True
        return False

    def takes_bytes(self) -> bool:
        """Whether the model expects values up to 255, as far as one sees."""
        return self.mean is not None and 1 < max(self.mean) <= BYTE

    def resizes(self) -> bool:
        """Whether the model may see a window at another size."""
        return self._pipeline.resizes

    def load(self, window: Rows) -> np.ndarray:
        """Return values as the pipeline loads them, shape (C, h, w)."""
        return self._pipeline.load(window)

    @torch.no_grad()
    def __call__(self, windows: Sequence[Rows]) -> Tensor:
        """Return the scores of windows.

        Args:
            windows: B parts of a scene, of one size (h, w).

        Returns:
            The model's ``seg_logits``, float32, shape (B, K, h, w), on its
            device. For one logit K is 1, and the score is its sigmoid.

        Raises:
            ValueError: The model's classes do not follow from its scores.
        """
        data = pseudo_collate([self._pipeline(window) for window in windows])
        kind = self.device.type
        dtype = torch.float16 if kind == 'cuda' else torch.bfloat16
        with torch.autocast(kind, dtype, enabled=self._amp):
            samples = self.model.test_step(data)
        scores = torch.stack([sample.seg_logits.data for sample in samples])
        scores = scores.float()
        if not self._amp:
            theirs = torch.cat([one.pred_sem_seg.data for one in samples])
            if not torch.equal(self.decide(scores), theirs.long()):
                raise ValueError(
                    f'config: {type(self.model).__name__} does not take the '
                    'class with the highest of its seg_logits, so that '
                    'windows cannot be blended'
                )
        return scores

    def decide(self, scores: Tensor) -> Tensor:
        """Return the classes (..., h, w) of scores (..., K, h, w).

        As mmseg's segmentors do: the class with the highest score; for one
        logit, whether it exceeds the head's threshold.
        """
        if self.num_scores > 1:
            return scores.argmax(-3)
        threshold = decode_head(self.model).threshold
        return (scores > threshold).squeeze(-3).long()

    def check_probabilities(self) -> None:
        """Check that the scores can be turned into probabilities.

        Raises:
            ValueError: They cannot; see :mod:`.heads`.
        """
        if self.num_scores > 1:
            probabilities_of(decode_head(self.model))

    def probabilities(self, scores: Tensor) -> Tensor:
        """Return the probabilities of the classes, (..., K, h, w).

        Raises:
            ValueError: As for :meth:`check_probabilities`.
        """
        if self.num_scores == 1:  # that of the second of two classes
            return torch.cat([1 - scores, scores], -3)
        return probabilities_of(decode_head(self.model))(scores)


def _mean(
    model: nn.Module, pipeline: Sequence[Mapping[str, Any]]
) -> Optional[Tuple[float, ...]]:
    """What is subtracted from every band, if anything is."""
    prepare = model.data_preprocessor
    if getattr(prepare, '_enable_normalize', False):
        return tuple(prepare.mean.flatten().tolist())
    # Images of other than 3 bands are normalised in the pipeline.
    means = [step['mean'] for step in pipeline if 'mean' in step]
    return tuple(map(float, means[0])) if means else None


def load_predictor(
    config: str,
    checkpoint: str,
    device: Optional[str] = None,
    conv: Optional[str] = None,
    conv_options: Optional[Mapping[str, Any]] = None,
    conv_rule: Union[Mapping[str, Any], str, None] = None,
    **options: Any,
) -> Predictor:
    """Build a config's segmentor and load a checkpoint, all of it.

    Args:
        config: An mmseg config.
        checkpoint: Its weights. Class names and colours come from it, else
            from the config's test data set.
        device: Defaults to the GPU where there is one.
        conv: A method that the config's backbone gets, see
            :func:`with_dynamic_convolutions`.
        conv_options: What to change of its options.
        conv_rule: Which layers.
        options: Those of :class:`Predictor`.

    Raises:
        ValueError: The config or checkpoint cannot be read or do not fit
            each other.
    """
    cfg = launch.load_config(config, None, conv, conv_options, conv_rule)
    if cfg.default_scope != 'mmseg':
        raise ValueError(
            f'config: {config!r} is one of {cfg.default_scope}; a map needs a '
            'segmentation model, of mmseg'
        )
    launch.check_checkpoint('checkpoint', checkpoint)
    from mmseg.apis import init_model

    if device is None:
        device = 'cuda' if torch.cuda.is_available() else 'cpu'
    model = init_model(cfg, device='cpu')
    if not hasattr(model, 'decode_head'):
        raise ValueError(
            f'config: {config!r} has a {type(model).__name__}, which has no '
            'decode head; use an EncoderDecoder'
        )
    loaded = load_weights(model, checkpoint)
    count = max(2, model.out_channels)
    meta = loaded.get('meta', {})
    classes, palette = _names(cfg, meta, count)
    return Predictor(
        model,
        classes,
        palette,
        device,
        pipeline=_test_dataset(cfg).get('pipeline', ()),
        bands=_bands(cfg),
        training_data=meta.get('training_data'),
        **options,
    )


def _bands(cfg: Config) -> List[Band]:
    """Bands that the model was trained on, in its order.

    Names where the config tells them, else positions; none for all of a file.
    """
    pipeline = _test_dataset(cfg).get('pipeline', ())
    steps = {transform_name(step): step for step in pipeline}
    loader, image = map(steps.get, ('LoadGeoTIFF', 'LoadImageFromFile'))
    bands: List[Band] = []
    if loader is not None:
        names = loader.get('band_names')
        bands = list(loader.get('bands') or names or ())
        if names:
            bands = [b if isinstance(b, str) else names[b - 1] for b in bands]
    elif image is not None:
        decoder = image.get('imdecode_backend', 'cv2')
        if decoder != 'tifffile' and image.get('color_type') != 'grayscale':
            bands = ['blue', 'green', 'red']  # mmcv's order
    prepare = cfg.model.get('data_preprocessor') or {}
    if prepare.get('bgr_to_rgb') or prepare.get('rgb_to_bgr'):
        means = steps.get('NormalizeBands', prepare).get('mean') or ()
        if not bands and len(means) == 3:
            bands = [1, 2, 3]
        if len(bands) == 3:  # whichever they are, it turns them around
            bands.reverse()
    return bands


def _names(
    cfg: Config, meta: Mapping[str, Any], count: int
) -> Tuple[List[str], List[Colour]]:
    """Class names and colours; made up only where nobody gives them."""
    if count > MAX_CLASSES:
        raise ValueError(
            f'config: {count} classes do not fit the 8-bit map, which holds '
            f'{MAX_CLASSES}'
        )
    found = meta.get('dataset_meta') or _dataset_meta(cfg)
    classes = found.get('classes') or [f'class {i}' for i in range(count)]
    if len(classes) != count:
        raise ValueError(
            f'checkpoint: it names {len(classes)} classes '
            f'({", ".join(classes)}) and the model has {count}'
        )
    palette = found.get('palette') or []
    if len(palette) != count:
        hues = [colorsys.hsv_to_rgb(i / count, 0.6, 0.9) for i in range(count)]
        palette = [[int(255 * part) for part in hue] for hue in hues]
    return list(classes), [tuple(map(int, colour)) for colour in palette]


def _dataset_meta(cfg: Config) -> Mapping[str, Any]:
    """The METAINFO of the config's test data set, its own words first."""
    dataset = _test_dataset(cfg)
    init_default_scope('mmseg')
    kind = dataset.get('type')
    with DATASETS.switch_scope_and_registry('mmseg') as registry:
        kind = registry.get(kind) if isinstance(kind, str) else kind
    own = getattr(kind, 'METAINFO', {}) if inspect.isclass(kind) else {}
    return {**own, **dataset.get('metainfo', {})}


def _test_dataset(cfg: Config) -> Mapping[str, Any]:
    dataset = cfg.get('test_dataloader', {}).get('dataset', {})
    return innermost_datasets(dataset)[0]
