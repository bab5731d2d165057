"""Drawing predictions on images of any bands.

Importing this module imports mmseg.
"""

import os
from typing import Any, Optional, Sequence

from mmseg.engine.hooks import SegVisualizationHook
from mmseg.structures import SegDataSample

from .pictures import colour_picture
from .raster_bands import Band


class BandsVisualizationHook(SegVisualizationHook):
    """Draw predictions on what ``LoadGeoTIFF`` reads, in colours to see.

    The stock hook takes the images for 8-bit colour ones: of 16 bits it shows
    the upper eight, nearly black, and it fails from five bands on.

    Args:
        bands: Those of ``LoadGeoTIFF``.
        band_names: Those of ``LoadGeoTIFF``.
        **kwargs: Those of :class:`mmseg.engine.hooks.SegVisualizationHook`.
    """

    def __init__(
        self,
        bands: Optional[Sequence[Band]] = None,
        band_names: Optional[Sequence[str]] = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._bands, self._band_names = bands, band_names
        self._tested = 0

    def after_val_iter(
        self,
        runner: Any,
        batch_idx: int,
        data_batch: Any,
        outputs: Sequence[SegDataSample],
    ) -> None:
        """Draw the first image of every ``interval``-th batch."""
        step = runner.iter + batch_idx
        if self.draw and step % self.interval == 0:
            self._draw('val', outputs[0], step)

    def after_test_iter(
        self,
        runner: Any,
        batch_idx: int,
        data_batch: Any,
        outputs: Sequence[SegDataSample],
    ) -> None:
        """Draw every image."""
        for sample in outputs if self.draw else ():
            self._tested += 1
            self._draw('test', sample, self._tested)

    def _draw(self, phase: str, sample: SegDataSample, step: int) -> None:
        path = sample.img_path
        self._visualizer.add_datasample(
            f'{phase}_{os.path.basename(path)}',
            colour_picture(path, self._bands, self._band_names),
            data_sample=sample,
            show=self.show,
            wait_time=self.wait_time,
            step=step,
        )
