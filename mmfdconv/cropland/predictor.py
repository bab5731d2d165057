"""A segmentation model as a function from bands to class probabilities."""

import colorsys
import inspect
from typing import Any, List, Mapping, Optional, Sequence, Tuple, Union

import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope
from mmengine.runner import load_checkpoint
from torch import Tensor, nn
from torch.nn import functional as F

from ..datasets.bands import Band
from ..engine import launch

__all__ = ['Predictor', 'load_predictor']

MAX_CLASSES = 255  # 255 itself stands for nodata in a map
# What a model trained on 8-bit images takes.
BYTE = 255.0

Colour = Tuple[int, int, int]


class Predictor:
    """Probabilities of the classes, from bands as the scene holds them.

    The bands are normalised as in training, in the order in which the mean
    stands: where a data preprocessor swaps blue and red, red comes first.

    Args:
        model: Any segmentor of mmseg with ``encode_decode``.
        classes: Names, by class number.
        palette: Red, green, blue by class number.
        device: Where to run.
        amp: Run in half precision.
        value_range: Scene values that become 0 and 255, for scenes of more
            than 8 bits and models of 8-bit images. Values beyond are cut.
        normalise: Mean and standard deviation, a number per band. ``None``
            takes those of the model's data preprocessor, if it has any.
        bands: Names or positions of the bands that the training read, in the
            model's order; nothing stands for all of a file.
        multiple: Pad images to a multiple of this, the model's stride.
    """

    def __init__(
        self,
        model: nn.Module,
        classes: Sequence[str],
        palette: Sequence[Colour],
        device: Union[str, torch.device] = 'cpu',
        amp: bool = False,
        value_range: Optional[Tuple[float, float]] = None,
        normalise: Optional[Tuple[Sequence[float], Sequence[float]]] = None,
        bands: Sequence[Band] = (),
        multiple: int = 32,
    ) -> None:
        if value_range is not None and not value_range[0] < value_range[1]:
            raise ValueError(
                f'--value-range: {value_range[0]:g} must be less than '
                f'{value_range[1]:g}'
            )
        self.device = torch.device(device)
        self.model = model.to(self.device).eval()
        self.classes, self.palette = tuple(classes), list(palette)
        self.multiple = multiple
        self._amp, self._range = amp, value_range
        self.bands = tuple(bands)
        prepare = model.data_preprocessor
        if normalise is None and getattr(prepare, '_enable_normalize', False):
            normalise = prepare.mean.flatten(), prepare.std.flatten()
        self.mean = self.std = None
        if normalise is not None:
            self.mean, self.std = (
                torch.as_tensor(
                    numbers, dtype=torch.float32, device=self.device
                ).reshape(-1, 1, 1)
                for numbers in normalise
            )
        self.channels = self._count_channels()

    def _count_channels(self) -> int:
        if self.mean is not None and self.mean.numel() > 1:
            return self.mean.numel()
        for weight in self.model.backbone.parameters():
            if weight.ndim == 4:
                return weight.shape[1]
        raise ValueError(
            'config: the number of bands stands neither in the mean of the '
            'normalisation nor in a convolution of the backbone'
        )

    def takes_bytes(self) -> bool:
        """Whether the model expects values up to 255, as far as one sees."""
        mean = self.mean
        return mean is not None and 1 < float(mean.max()) <= BYTE

    def scales(self) -> bool:
        """Whether a value range was given."""
        return self._range is not None

    @torch.no_grad()
    def __call__(self, values: Tensor) -> Tensor:
        """Predict.

        Args:
            values: Shape (B, C, H, W), NaN where there is no data.

        Returns:
            float32, shape (B, K, H, W), on the model's device.
        """
        values = values.to(self.device)
        h, w = values.shape[-2:]
        if self._range is not None:
            low, high = self._range
            values = ((values - low) * (BYTE / (high - low))).clamp(0, BYTE)
        if self.mean is not None:
            values = (values - self.mean) / self.std
        # After the normalisation 0 is the mean: what is not known looks like
        # the average, as the padding does.
        values = torch.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
        m = self.multiple
        values = F.pad(values, (0, -w % m, 0, -h % m))
        shape = values.shape[-2:]
        meta = dict(
            ori_shape=shape,
            img_shape=shape,
            pad_shape=shape,
            padding_size=[0, 0, 0, 0],
        )
        kind = self.device.type
        dtype = torch.float16 if kind == 'cuda' else torch.bfloat16
        with torch.autocast(kind, dtype, enabled=self._amp):
            logits = self.model.encode_decode(values, [meta] * len(values))
        logits = logits[..., :h, :w].float()
        if logits.shape[1] == 1:  # one logit, for the second of two classes
            one = logits.sigmoid()
            return torch.cat([1 - one, one], 1)
        return logits.softmax(1)


def load_predictor(
    config: str, checkpoint: str, device: Optional[str] = None, **options: Any
) -> Predictor:
    """Build a config's segmentor and load a checkpoint, all of it.

    Args:
        config: An mmseg config.
        checkpoint: Its weights. Class names and colours come from it, else
            from the config's test data set.
        device: Defaults to the GPU where there is one.
        options: Those of :class:`Predictor`.

    Raises:
        ValueError: The config or checkpoint cannot be read or do not fit
            each other.
    """
    cfg = launch.load_config(config)
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
    if not hasattr(model, 'encode_decode'):
        raise ValueError(
            f'config: {config!r} has a {type(model).__name__}, which has no '
            'encode_decode; use an EncoderDecoder'
        )
    try:
        loaded = load_checkpoint(model, checkpoint, 'cpu', strict=True)
    except RuntimeError as error:
        raise ValueError(
            f'checkpoint: {checkpoint!r} does not fit the model of '
            f'{config!r}: {str(error)[:1000]}'
        ) from error
    except Exception as error:  # torch raises many kinds for a broken file
        raise ValueError(
            f'checkpoint: {checkpoint!r} cannot be read: {error}'
        ) from error
    count = max(2, model.out_channels)
    classes, palette = _names(cfg, loaded.get('meta', {}), count)
    return Predictor(
        model,
        classes,
        palette,
        device,
        normalise=_normalisation(cfg),
        bands=_bands(cfg),
        **options,
    )


def _pipeline(cfg: Config, name: str) -> Optional[Mapping[str, Any]]:
    """Find a transform in the config's test pipeline."""
    for step in _test_dataset(cfg).get('pipeline', ()):
        if str(step.get('type', '')).rpartition('.')[2] == name:
            return step
    return None


def _normalisation(cfg: Config) -> Optional[Tuple[Any, Any]]:
    """Images of other than 3 bands are normalised in the pipeline."""
    step = _pipeline(cfg, 'NormalizeBands')
    if step is None:
        return None
    return _turned(cfg, step['mean']), _turned(cfg, step['std'])


def _bands(cfg: Config) -> List[Band]:
    """Bands that the model was trained on, in its order.

    Names where the config tells them, else positions; none for all of a file.
    """
    loader = _pipeline(cfg, 'LoadGeoTIFF')
    image = _pipeline(cfg, 'LoadImageFromFile')
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
    if bands:
        return _turned(cfg, bands)
    means = _pipeline(cfg, 'NormalizeBands') or _preprocessor(cfg)
    every = [*range(1, len(means.get('mean') or ()) + 1)]
    turned = _turned(cfg, every)
    return turned if turned != every else []


def _preprocessor(cfg: Config) -> Mapping[str, Any]:
    return cfg.model.get('data_preprocessor') or {}


def _turned(cfg: Config, by_band: Sequence[Any]) -> List[Any]:
    """Turn around what a preprocessor turns: three bands, whichever."""
    prepare = _preprocessor(cfg)
    turns = prepare.get('bgr_to_rgb') or prepare.get('rgb_to_bgr')
    every = list(by_band)
    return every[::-1] if turns and len(every) == 3 else every


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
    while 'dataset' in dataset:  # wrappers
        dataset = dataset['dataset']
    return dataset
