"""A satellite scene: its bands, nodata, georeference, and its rows."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Iterable, List, NamedTuple, Optional, Sequence, Union

import numpy as np
import rasterio
from rasterio.crs import CRS
from rasterio.enums import MaskFlags
from rasterio.windows import Window

from ..datasets.raster_bands import Band
from .files import find_crs, open_raster, read_window
from .scene_bands import read_bands

__all__ = ['Rows', 'Scene', 'check_scenes']


class Rows(NamedTuple):
    """Some rows of a scene, or a part of them.

    Attributes:
        raw: As the file holds them, shape (C, rows, W).
        missing: bool, like ``raw``: the value stands for no data, or is not
            finite.
        valid: bool, shape (rows, W): pixels that there is something to see
            of.
    """

    raw: np.ndarray
    missing: np.ndarray
    valid: np.ndarray

    @property
    def values(self) -> np.ndarray:
        """float32, NaN where there is no data, shape (C, rows, W).

        A single band's 0 is kept: one band may well have measured it.
        """
        values = self.raw.astype(np.float32)
        values[(self.missing & (self.raw != 0)) | ~self.valid] = np.nan
        return values

    def part(self, rows: slice, columns: slice) -> 'Rows':
        """Return a part; nothing is copied."""
        return Rows(*(array[..., rows, columns] for array in self))

    def above(self, others: 'Rows') -> 'Rows':
        """Return these rows, and others below them."""
        return Rows(*(np.concatenate(pair, -2) for pair in zip(self, others)))


class Scene(AbstractContextManager):
    """A scene opened for mapping.

    Args:
        path: Any raster, by any name, that GDAL reads.
        channels: How many bands the model takes.
        bands: Names (of the bands' descriptions or colours) or positions
            from 1. ``None`` takes what the model was trained on.
        nodata: Value of pixels without data, where the file does not say.
        crs: Coordinate system; it wins over what the file says.
        trained: Names or positions of the bands that the training read, in
            the model's order; nothing stands for all of a file.

    Raises:
        ValueError: The scene is missing, cut short, without coordinate
            system or transform, lacks bands, or does not say which of them
            are those of the training.
    """

    def __init__(
        self,
        path: Union[str, Path],
        channels: int,
        bands: Optional[Sequence[str]] = None,
        nodata: Optional[float] = None,
        crs: Optional[str] = None,
        trained: Sequence[Band] = (),
    ) -> None:
        self._dataset = open_raster(path)
        try:
            self.crs = _crs(self._dataset, crs)
            has = read_bands(self._dataset)
            self.bands = has.pick(channels, bands, trained)
            _check_numbers(self._dataset, self.bands)
        except ValueError:
            self.close()
            raise
        self.path = str(path)
        self.file_crs: Optional[CRS] = self._dataset.crs
        self.transform = self._dataset.transform
        self.height, self.width = self._dataset.shape
        self.band_names = [has.names[band - 1] for band in self.bands]
        self.dtype = np.dtype(self._dataset.dtypes[self.bands[0] - 1])
        # Of each band; a VRT may have several.
        self._nodata = [
            self._dataset.nodatavals[band - 1] if nodata is None else nodata
            for band in self.bands
        ]
        self.alpha = None if has.alpha in self.bands else has.alpha
        self._mask_bands = self._bands_with_mask()

    def _bands_with_mask(self) -> List[int]:
        """Bands whose mask says what nodata values and alpha do not."""
        if any(value is not None for value in self._nodata):
            return []
        flags = self._dataset.mask_flag_enums
        told = {MaskFlags.all_valid, MaskFlags.alpha}
        return [b for b in self.bands if not told & {*flags[b - 1]}]

    def read(self, start: int, stop: int) -> Rows:
        """Read the rows from ``start`` up to ``stop``, exclusive.

        A pixel is without data where every band is.
        """
        window = Window(0, start, self.width, stop - start)
        raw = read_window(self._dataset, self.bands, window)
        missing = ~np.isfinite(raw)  # (C, rows, W)
        for band, value in enumerate(self._nodata):
            if value is not None:
                missing[band] |= raw[band] == value
        valid = ~missing.all(0)
        if self.alpha is not None:
            valid &= read_window(self._dataset, self.alpha, window) != 0
        if self._mask_bands:
            masks = read_window(self._dataset, self._mask_bands, window, True)
            valid &= masks.any(0)
        return Rows(raw, missing, valid)

    def close(self) -> None:
        """Close the file."""
        self._dataset.close()

    def __exit__(self, *error) -> None:
        self.close()


def check_scenes(
    paths: Iterable[Union[str, Path]],
    bands: Optional[Sequence[str]] = None,
    crs: Optional[str] = None,
) -> None:
    """Check scenes before the model is loaded.

    The number of bands that the model takes is not known yet, so only the
    bands in ``bands`` are checked.

    Raises:
        ValueError: As for :class:`Scene`.
    """
    for path in paths:
        with open_raster(path) as dataset:
            _crs(dataset, crs)
            if bands is not None:
                found = read_bands(dataset).find(bands)
                _check_numbers(dataset, found)


def _crs(dataset: rasterio.DatasetReader, given: Optional[str]) -> CRS:
    crs = find_crs(
        dataset, given, 'say which it is with --crs, as in --crs EPSG:32650'
    )
    if dataset.transform.is_identity:
        raise ValueError(
            f'{dataset.name} does not say where its pixels lie and how large '
            'they are; set its corners with gdal_edit.py -a_ullr LEFT TOP '
            'RIGHT BOTTOM, or rectify it with gdalwarp'
        )
    return crs


def _check_numbers(
    dataset: rasterio.DatasetReader, bands: Sequence[int]
) -> None:
    for band in bands:
        if np.dtype(dataset.dtypes[band - 1]).kind not in 'uif':
            raise ValueError(
                f'{dataset.name}: band {band} holds '
                f'{dataset.dtypes[band - 1]}, not plain numbers'
            )
    kinds = sorted({dataset.dtypes[band - 1] for band in bands})
    if len(kinds) > 1:
        raise ValueError(
            f'{dataset.name}: its bands are of {" and ".join(kinds)}; make '
            'them of one type with gdal_translate -ot'
        )
