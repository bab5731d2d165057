"""What a segmentor was trained on, for those who map scenes with it."""

from typing import Any, Dict, Optional

import numpy as np
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from ..datasets.geotiff import import_rasterio, open_image
from ..datasets.pixel_size import pixel_size
from ..layers.checks import check_positive, check_positive_int

_VALUES = 4096  # of an image


@HOOKS.register_module()
class TrainingDataHook(Hook):
    """Store the pixel size and the range of the training data in checkpoints.

    ``meta['training_data']`` gets ``pixel_size`` in metres, and ``low`` and
    ``high``, the range of 98 % of the values of some images, as the data set
    loads them. ``mmfdconv map`` warns if a scene differs from this.

    Args:
        pixel_size (float, optional): Size of a pixel in metres, for images
            without coordinates, such as PNG. None: the median over the
            images, if they have coordinates. Defaults to None.
        images (int): Number of images to read. Defaults to 32.

    Raises:
        ValueError: An option is out of range, or, when training begins, the
            data set does not load images from files.

    Example:
        >>> custom_hooks = [dict(type='TrainingDataHook', pixel_size=4.0)]
    """

    def __init__(
        self, pixel_size: Optional[float] = None, images: int = 32
    ) -> None:
        if pixel_size is not None:
            check_positive('pixel_size', pixel_size)
        check_positive_int('images', images)
        self.pixel_size = pixel_size
        self.images = images
        self._found: Dict[str, Any] = {}

    def before_train(self, runner: Runner) -> None:
        """Look at some images."""
        dataset = runner.train_dataloader.dataset
        while hasattr(dataset, 'dataset'):  # one that wraps another
            dataset = dataset.dataset
        loader = getattr(dataset, 'pipeline', None)
        loader = loader and loader.transforms[0]
        if not type(loader).__name__.startswith('Load'):
            raise ValueError(
                f'TrainingDataHook: {type(dataset).__name__} has no pipeline '
                'that begins with a loader of images; take the hook out of '
                'custom_hooks'
            )
        count = min(self.images, len(dataset))
        values, sizes = [], []
        for index in np.linspace(0, len(dataset) - 1, count).astype(int):
            item = dataset.get_data_info(int(index))
            if self.pixel_size is None:
                sizes.append(_size_of(item['img_path']))
            # Whole pixels, at an odd step: another one may meet a single
            # band, or the same few columns of every row.
            image = loader(item)['img']
            image = image.reshape(image.shape[0] * image.shape[1], -1)
            image = image[:: image.size // _VALUES | 1]
            values.append(image[np.isfinite(image)])
        low, high = np.percentile(np.concatenate(values), [1, 99])
        known = [size for size in sizes if size is not None]
        size = float(np.median(known)) if known else self.pixel_size
        self._found = dict(pixel_size=size, low=float(low), high=float(high))

    def before_save_checkpoint(
        self, runner: Runner, checkpoint: Dict[str, Any]
    ) -> None:
        """Write down what was seen."""
        checkpoint['meta']['training_data'] = dict(self._found)


def _size_of(path: str) -> Optional[float]:
    try:
        import_rasterio()
    except ImportError:  # images of other formats are read without it
        return None
    with open_image(path) as file:
        return pixel_size(file)
