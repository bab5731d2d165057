"""What a data set's pipeline is looked at for while it runs.

Importing this module imports mmseg.
"""

from typing import Any, Callable, Dict, Mapping, Optional, Sequence

import cv2
import numpy as np
from mmcv.transforms import Compose as Wrapped
from mmengine.dataset import Compose
from mmseg.datasets import transforms as stock
from PIL import Image, UnidentifiedImageError

_IGNORED = 255  # what mmseg's losses and metrics leave out
_EIGHT_BIT = (
    stock.AdjustGamma,
    stock.CLAHE,
    stock.PhotoMetricDistortion,
)


class LabelCheck:
    """Refuse labels that are of no class, which would be lost in silence.

    Args:
        classes: Names by id.
        label_map: Ids by value of the label images, where they differ.
        ignore_index: Value of pixels of no class. None: there are none.

    Raises:
        ValueError: Labels have another value; the message names the file.
    """

    def __init__(
        self,
        classes: Sequence[str],
        label_map: Optional[Mapping[int, int]],
        ignore_index: Optional[int],
    ) -> None:
        ids = range(len(classes)) if label_map is None else label_map.values()
        self._known = {*ids, *([] if ignore_index is None else [ignore_index])}
        self._listed = ', '.join(f'{i} {n}' for i, n in enumerate(classes))

    def __call__(self, results: Mapping[str, Any]) -> None:
        """Look at ``gt_seg_map``, as it was loaded."""
        labels = results['gt_seg_map']
        path = results.get('seg_map_path', 'the label image')
        if labels.ndim != 2:
            raise ValueError(
                f'{path}: has shape {labels.shape}, but must have one class '
                'number per pixel, shape (H, W); tools/dataset_converters '
                'turns colours into numbers'
            )
        _check_depth(path)
        counts = np.bincount(labels.ravel())
        unknown = {*np.flatnonzero(counts).tolist()} - self._known
        if unknown:
            value = min(unknown)
            make = '' if value == _IGNORED else f'make it {_IGNORED} and '
            raise ValueError(
                f'{path}: {counts[value]} pixels have the value {value}, but '
                f'the classes are {self._listed}. tools/dataset_converters '
                'turns other values into class numbers; if the value means no '
                f'class, {make}set ignore_index={_IGNORED}'
            )


class CheckedPipeline(Compose):
    """Transforms as in MMEngine's ``Compose``, watched.

    Labels are checked when they have been loaded, also inside TestTimeAug and
    other transforms of transforms. Transforms of 8-bit images get no others,
    which they would cut to 0..255 in silence; what OpenCV cannot do with more
    than four bands is told in a sentence.

    Args:
        transforms: Built ones.
        check: Called with the results once ``gt_seg_map`` is among them.

    Raises:
        ValueError: A transform cannot work on the image; the message names
            both.
    """

    def __init__(
        self,
        transforms: Sequence[Callable],
        check: Callable[[Mapping[str, Any]], None],
    ) -> None:
        super().__init__(transforms)
        self._check = check
        for transform in transforms:
            for name in ('transforms', 'subroutines'):
                inner = getattr(transform, name, None)
                if isinstance(inner, Wrapped):
                    setattr(transform, name, self._within(inner))
                elif isinstance(inner, list):
                    setattr(transform, name, [*map(self._within, inner)])

    def _within(self, inner: Any) -> Any:
        if isinstance(inner, Wrapped):
            return CheckedPipeline(inner.transforms, self._check)
        return inner

    def __call__(self, data: Dict[str, Any]) -> Optional[Dict[str, Any]]:
        """Apply the transforms in turn."""
        for transform in self.transforms:
            labelled = 'gt_seg_map' in data
            if isinstance(transform, _EIGHT_BIT):
                _check_eight_bit(transform, data)
            try:
                data = transform(data)
            except cv2.error as error:
                raise ValueError(
                    f'{_failed(transform, data)}: OpenCV takes at most four '
                    'bands there. Instead of Pad, let the preprocessor pad: '
                    'data_preprocessor=dict(size=(height, width), '
                    f'seg_pad_val=255). ({error})'
                ) from error
            if data is None:
                return None
            if not labelled and 'gt_seg_map' in data:
                self._check(data)
        return data


def _check_depth(path: str) -> None:
    """Refuse values above 255, of which mmseg keeps the lower 8 bits."""
    try:
        image = Image.open(path)
    except (OSError, UnidentifiedImageError):
        return  # not a local file, or of a kind that only others read
    with image:
        if image.mode in ('1', 'L', 'P'):
            return
        highest = np.asarray(image).max()
    if highest > _IGNORED:
        raise ValueError(
            f'{path}: has the value {highest}, but labels are 8-bit: mmseg '
            f'would read {int(highest) % 256}. tools/dataset_converters turns '
            'other values into class numbers'
        )


def _check_eight_bit(transform: Any, data: Mapping[str, Any]) -> None:
    image = data['img']
    colour = isinstance(transform, stock.PhotoMetricDistortion)
    if image.dtype != np.uint8 or colour and image.shape[2:] != (3,):
        raise ValueError(
            f'{_failed(transform, data)}: it needs 8-bit images'
            f'{" of blue, green and red" * colour}. For other bands use '
            'DistortBands (brightness and contrast), after NormalizeBands'
        )


def _failed(transform: Any, data: Mapping[str, Any]) -> str:
    """Name image and transform that do not go together."""
    image = data['img']
    bands = image.shape[2] if image.ndim == 3 else 1
    return (
        f'{data.get("img_path", "the image")}: {type(transform).__name__} '
        f'cannot work on {bands} bands of {image.dtype}'
    )
