"""Pictures that a person can see, of images of any bands and depth."""

from typing import Optional, Sequence

import numpy as np

from . import raster_bands
from .geotiff import import_rasterio, read_bands
from .raster_bands import Band

__all__ = ['colour_picture', 'stretch']

_COLOURS = ('red', 'green', 'blue')
_STRETCH = (2, 98)  # percentiles that become black and white


def colour_picture(
    path: str,
    bands: Optional[Sequence[Band]] = None,
    band_names: Optional[Sequence[str]] = None,
) -> np.ndarray:
    """Read an image as 8-bit red, green and blue.

    Args:
        path: The image.
        bands: What ``LoadGeoTIFF`` reads of it.
        band_names: What ``LoadGeoTIFF`` calls the file's bands.

    Returns:
        uint8 array (H, W, 3): the bands of these names, else the first three
        of ``bands``, else the first one in grey; each stretched.
    """
    rasterio = import_rasterio()
    with rasterio.open(path) as file:
        names = list(band_names or raster_bands.band_names(file))
    known = [name.lower() for name in names]
    shown: Sequence[Band] = _COLOURS
    if not all(known.count(colour) == 1 for colour in _COLOURS):
        shown = list(bands or range(1, len(names) + 1))
        shown = shown[:3] if len(shown) > 2 else shown[:1] * 3
    image = read_bands(path, shown, names if any(names) else None)
    image = image.astype(np.float32)
    image[~image.any(-1)] = np.nan  # no data, which is read as 0
    return stretch(image)


def stretch(picture: np.ndarray) -> np.ndarray:
    """Make each band 8-bit between its own percentiles.

    Args:
        picture: Float array (H, W, 3), NaN where there is no data.

    Returns:
        uint8 array (H, W, 3), white where there is no data.
    """
    known = np.isfinite(picture).all(-1)
    out = np.full(picture.shape, 255, np.uint8)
    if known.any():
        low, high = np.percentile(picture[known], _STRETCH, axis=0)
        scaled = (picture[known] - low) / np.maximum(high - low, 1e-6)
        out[known] = (scaled.clip(0, 1) * 255).astype(np.uint8)
    return out
