"""Apply the test pipeline of a config to windows instead of files."""

import inspect
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple

import numpy as np
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope

from .scene import Rows

__all__ = ['BYTE', 'WindowPipeline', 'transform_name']

# What a model trained on 8-bit images takes.
BYTE = 255.0


class WindowPipeline:
    """Make of a scene's window what a test pipeline makes of a tile's file.

    The scene takes the place of the transforms that load; all others run as
    they stand, and are built from the registry of mmseg.

    Args:
        steps: The transforms of the test pipeline.
        value_range: Scene values that become 0 and 255. Values beyond are
            cut.
        turns: Whether the scene's bands are in the opposite order of those
            that the pipeline loads, since a data preprocessor turns them.

    Raises:
        ValueError: A range is empty, or the pipeline augments.
    """

    def __init__(
        self,
        steps: Sequence[Mapping[str, Any]] = (),
        value_range: Optional[Tuple[float, float]] = None,
        turns: bool = False,
    ) -> None:
        if value_range is not None and not value_range[0] < value_range[1]:
            raise ValueError(
                f'--value-range: {value_range[0]:g} must be less than '
                f'{value_range[1]:g}'
            )
        names = [transform_name(step) for step in steps]
        if 'TestTimeAug' in names:
            raise ValueError(
                'config: its test pipeline augments (TestTimeAug), and maps '
                'are made without; take it out of test_dataloader, as in '
                "mmseg's own configs, which have it in tta_pipeline"
            )
        loads = [name.startswith('Load') for name in names]
        loader = next((step for step, is_ in zip(steps, loads) if is_), {})
        geotiff = transform_name(loader) == 'LoadGeoTIFF'
        #: Whether it may change the size of what it sees.
        self.resizes = any('Resize' in name for name in names)
        self._range, self._turns = value_range, turns
        self._to_float32 = loader.get('to_float32', geotiff)
        self._nodata = loader.get('nodata', 'file') if geotiff else None
        self._fill = np.asarray(loader.get('fill', 0)).reshape(-1, 1, 1)
        rest = [dict(step) for step, is_ in zip(steps, loads) if not is_]
        if not any(name.startswith('Pack') for name in names):
            rest.append(dict(type='PackSegInputs'))
        init_default_scope('mmseg')
        self._rest = Compose(rest)

    def __call__(self, window: Rows) -> Dict[str, Any]:
        """Return what a data set would: the inputs and the data sample."""
        image = np.ascontiguousarray(self.load(window).transpose(1, 2, 0))
        shape = image.shape[:2]
        return self._rest(dict(img=image, img_shape=shape, ori_shape=shape))

    def load(self, window: Rows) -> np.ndarray:
        """Return what the pipeline's loader would, shape (C, h, w)."""
        values, missing = window.raw, window.missing
        if self._turns:
            values, missing = values[::-1], missing[::-1]
        if self._nodata != 'file':
            # Only what the loader was told; but nothing is learned of NaN.
            missing = ~np.isfinite(values)
            if self._nodata is not None:
                missing |= values == self._nodata
        if self._range is not None:
            low, high = self._range
            values = (values.astype(np.float32) - low) * (BYTE / (high - low))
            values = values.clip(0, BYTE)
        if self._to_float32 or values.dtype != np.uint8:
            values = values.astype(np.float32)
        return np.where(missing, self._fill.astype(values.dtype), values)


def transform_name(step: Mapping[str, Any]) -> str:
    """Name of a transform's class, without its scope."""
    kind = step.get('type', '')
    return kind.__name__ if inspect.isclass(kind) else kind.rpartition('.')[2]
