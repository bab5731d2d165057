"""Images with any number of bands: loading, normalisation, augmentation.

MMEngine's and mmseg's data preprocessors normalise one or three channels
only, so images of other counts are normalised in the pipeline, by
:class:`NormalizeBands`, and the preprocessor gets no ``mean`` and ``std``.

All are plain callables: they work in any toolbox, and need mmcv for nothing.
"""

import os
import warnings
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Dict, Iterator, List, Optional, Sequence, Union

import numpy as np

from . import raster_bands
from .raster_bands import ALPHA, Band


class LoadGeoTIFF:
    """Load chosen bands of a GeoTIFF.

    Reads ``img_path``; sets ``img`` (H, W, bands), ``img_shape`` and
    ``ori_shape``, as mmcv's ``LoadImageFromFile`` does. Unlike there, the
    bands come in the order asked for and are never taken for BGR.

    Args:
        bands: The bands, in the order wanted: names, whatever their case, or
            numbers from 1, as rasterio and GDAL count them. None takes all,
            in the file's order; there must be no alpha among them.
        band_names: Names of the file's bands, in its order. None takes the
            descriptions, or else the colours, that the file itself gives.
        to_float32: Return float32. With False an 8-bit image stays uint8;
            all other types become float32 in any case, since neither OpenCV
            nor PyTorch work with uint16.
        nodata: Value of pixels that hold no data, replaced by ``fill``.
            ``'file'`` takes the one that the file names, if any; None
            replaces none. NaN is replaced unless it is None.
        fill: What replaces them: a number, or one number for each band. With
            the ``mean`` of :class:`NormalizeBands`, they become 0 there.

    Raises:
        ImportError: rasterio is not installed.
        FileNotFoundError, OSError: The file is missing, or no raster image.
        ValueError: An option is wrong, or the file lacks a band, has two of
            its name, or describes its bands otherwise than ``band_names``;
            it names the file.
    """

    def __init__(
        self,
        bands: Optional[Sequence[Band]] = None,
        band_names: Optional[Sequence[str]] = None,
        to_float32: bool = True,
        nodata: Union[float, str, None] = 'file',
        fill: Union[float, Sequence[float]] = 0,
    ) -> None:
        if bands is not None and (isinstance(bands, str) or not len(bands)):
            raise ValueError(
                f'bands must be a list of names or of numbers, got {bands!r}'
            )
        for band in bands or ():
            if isinstance(band, bool) or not isinstance(band, (int, str)):
                raise ValueError(f'bands: {band!r} is no name and no number')
            if isinstance(band, int) and band < 1:
                raise ValueError(f'bands are counted from 1, got {band}')
        if isinstance(nodata, str) and nodata != 'file':
            raise ValueError(
                f"nodata must be a number, 'file' or None, got {nodata!r}"
            )
        if bands is not None and np.ndim(fill) and len(fill) != len(bands):
            raise ValueError(
                f'fill has {len(fill)} numbers for {len(bands)} bands'
            )
        self.bands = None if bands is None else list(bands)
        self.band_names = None if band_names is None else list(band_names)
        self.to_float32 = to_float32
        self.nodata = nodata
        self.fill = fill

    def __call__(self, results: Dict[str, Any]) -> Dict[str, Any]:
        """Add the image to ``results``."""
        image = read_bands(
            results['img_path'],
            self.bands,
            self.band_names,
            self.to_float32,
            self.nodata,
            self.fill,
        )
        results['img'] = image
        results['img_shape'] = results['ori_shape'] = image.shape[:2]
        return results

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(bands={self.bands}, '
            f'band_names={self.band_names}, to_float32={self.to_float32}, '
            f'nodata={self.nodata!r}, fill={self.fill})'
        )


class NormalizeBands:
    """Subtract a mean from each band and divide by a standard deviation.

    Changes ``img`` (H, W, bands) to float32; adds ``img_norm_cfg``.

    Args:
        mean: One number for each band, in the order of ``img``.
        std: One positive number for each band.

    Raises:
        ValueError: The counts differ, from each other or from the image's.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        self.mean = np.asarray(mean, dtype=np.float32)
        self.std = np.asarray(std, dtype=np.float32)
        if self.mean.ndim != 1 or self.mean.shape != self.std.shape:
            raise ValueError(
                'mean and std must have one number for each band, got '
                f'mean={mean!r} and std={std!r}'
            )
        if not (self.std > 0).all():
            raise ValueError(f'std must be positive, got {std!r}')

    def __call__(self, results: Dict[str, Any]) -> Dict[str, Any]:
        """Normalise the image of ``results``."""
        image = results['img']
        bands = image.shape[2] if image.ndim == 3 else 1
        if bands != len(self.mean):
            raise ValueError(
                f'{results.get("img_path", "the image")} has {bands} bands, '
                f'mean and std are of {len(self.mean)}'
            )
        if image.ndim == 2:
            image = image[..., None]
        results['img'] = (image.astype(np.float32) - self.mean) / self.std
        results['img_norm_cfg'] = dict(
            mean=self.mean, std=self.std, to_rgb=False
        )
        return results

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(mean={self.mean.tolist()}, '
            f'std={self.std.tolist()})'
        )


class DistortBands:
    """Change brightness and contrast at random, of all bands alike.

    Stands behind :class:`NormalizeBands`, for images of any bands and depth,
    where mmseg's ``PhotoMetricDistortion`` stands before the normalisation of
    8-bit colour images. Each of the two changes happens to half the images.

    Args:
        brightness: At most so much is added or taken away, in standard
            deviations.
        contrast: Least and greatest factor.

    Raises:
        ValueError: An option is wrong, or the image was not normalised.
    """

    def __init__(
        self,
        brightness: float = 0.5,
        contrast: Sequence[float] = (0.5, 1.5),
    ) -> None:
        if not brightness >= 0:
            raise ValueError(
                f'brightness must not be negative, got {brightness!r}'
            )
        if len(contrast) != 2 or not 0 < contrast[0] <= contrast[1]:
            raise ValueError(
                'contrast must be two positive factors, the lesser first, '
                f'got {contrast!r}'
            )
        self.brightness = brightness
        self.contrast = tuple(contrast)

    def __call__(self, results: Dict[str, Any]) -> Dict[str, Any]:
        """Change the image of ``results``."""
        if 'img_norm_cfg' not in results:
            raise ValueError(
                f'{results.get("img_path", "the image")}: DistortBands works '
                'on normalised bands; put it behind NormalizeBands'
            )
        image = results['img']
        if np.random.randint(2):
            image = image * np.float32(np.random.uniform(*self.contrast))
        if np.random.randint(2):
            most = self.brightness
            image = image + np.float32(np.random.uniform(-most, most))
        results['img'] = image
        return results

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(brightness={self.brightness}, '
            f'contrast={self.contrast})'
        )


def read_bands(
    path: str,
    bands: Optional[Sequence[Band]] = None,
    band_names: Optional[Sequence[str]] = None,
    to_float32: bool = True,
    nodata: Union[float, str, None] = 'file',
    fill: Union[float, Sequence[float]] = 0,
) -> np.ndarray:
    """Read bands of an image; see :class:`LoadGeoTIFF`.

    Returns:
        Array (H, W, bands), contiguous, of float32 or, if 8-bit, as it is.
    """
    with open_image(path) as file:
        numbers = _band_numbers(file, path, bands, band_names)
        image = file.read(numbers)  # (bands, H, W)
        missing = _missing(file, image, numbers, nodata)
    image = np.ascontiguousarray(image.transpose(1, 2, 0))
    if to_float32 or image.dtype != np.uint8:
        # Before the fill, which may be a mean or negative.
        image = image.astype(np.float32, copy=False)
    if missing is not None and missing.any():
        fill = np.broadcast_to(np.asarray(fill, image.dtype), image.shape)
        missing = missing.transpose(1, 2, 0)
        image[missing] = fill[missing]
    return image


@contextmanager
def open_image(path: Union[str, os.PathLike]) -> Iterator[Any]:
    """Open an image with rasterio, as a context.

    Raises:
        OSError: It cannot be opened, or something within the context cannot
            be read from it.
    """
    rasterio = import_rasterio()
    try:
        with warnings.catch_warnings():
            # A tile without georeference is an image like any other.
            warnings.simplefilter(
                'ignore', rasterio.errors.NotGeoreferencedWarning
            )
            with rasterio.open(path) as file:
                yield file
    except rasterio.errors.RasterioIOError as error:
        raise OSError(f'{path}: cannot be read as an image: {error}') from None


def _band_numbers(
    file: Any,
    path: str,
    bands: Optional[Sequence[Band]],
    band_names: Optional[Sequence[str]],
) -> List[int]:
    """Translate names to numbers; check that the file has them."""
    own = raster_bands.band_names(file)
    has = f'its bands are {raster_bands.list_bands(own)}'
    if band_names is not None:
        _check_names(file, path, band_names)
    if bands is None:
        if band_names is None and ALPHA in map(str.lower, own):
            every = [*range(1, file.count + 1)]
            others = [n for n in every if own[n - 1].lower() != ALPHA]
            raise ValueError(
                f'{path}: one of its bands is an alpha, which tells where the '
                f'others hold data: {has}. Say bands={others}, or '
                f'bands={every} if it is a band like the others (writers call '
                'the fourth of four 8-bit bands alpha unless told otherwise)'
            )
        return list(range(1, file.count + 1))
    try:
        return [raster_bands.find_band(b, band_names or own) for b in bands]
    except ValueError as error:
        raise ValueError(
            f'{path}: {error}; {has}; band_names can name them'
        ) from None


def _check_names(file: Any, path: str, band_names: Sequence[str]) -> None:
    """Refuse names that are not as many, or not as the file's own."""
    if len(band_names) != file.count:
        raise ValueError(
            f'{path}: has {file.count} bands, band_names names '
            f'{len(band_names)}: {list(band_names)}'
        )
    given = [name.lower() for name in band_names]
    for band, (name, own) in enumerate(zip(given, file.descriptions), 1):
        # A name of another kind, such as B2 for blue, is no contradiction.
        if own and own.lower() != name and own.lower() in given:
            raise ValueError(
                f'{path}: describes its band {band} as {own!r}, and '
                f'band_names calls it {band_names[band - 1]!r}; leave '
                'band_names out and choose by name: '
                f'bands={list(band_names)}'
            )


def _missing(
    file: Any,
    image: np.ndarray,
    numbers: Sequence[int],
    nodata: Union[float, str, None],
) -> Optional[np.ndarray]:
    """Tell which values of ``image`` (bands, H, W) hold no data."""
    if nodata is None:
        return None
    missing = np.isnan(image) if image.dtype.kind == 'f' else None
    values = [nodata] * len(numbers)
    if nodata == 'file':
        values = [file.nodatavals[number - 1] for number in numbers]
    for index, value in enumerate(values):
        if value is not None:
            if missing is None:
                missing = np.zeros(image.shape, bool)
            missing[index] |= image[index] == value
    return missing


def import_rasterio() -> ModuleType:
    """Import rasterio, or say how to get it."""
    try:
        import rasterio
        import rasterio.errors
    except ImportError as error:
        raise ImportError(
            'GeoTIFF files are read and written by rasterio, which cannot be '
            f'imported ({error}): pip install rasterio'
        ) from error
    return rasterio
