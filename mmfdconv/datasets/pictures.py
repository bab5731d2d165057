"""Pictures that a person can see, of images of any bands and depth."""

from typing import Optional, Sequence

import numpy as np

from .geotiff import open_image, read_bands
from .raster_bands import Band, shown_bands
from .raster_bands import band_names as names_in

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
    with open_image(path) as file:
        names = list(band_names or names_in(file))
    shown = shown_bands(names, bands)
    image = read_bands(path, shown, names if any(names) else None)
    image[~image.any(-1)] = np.nan  # no data, which is read as 0
    return stretch(image)


def stretch(
    picture: np.ndarray, limits: Optional[np.ndarray] = None
) -> np.ndarray:
    """Make each band 8-bit between two values.

    Args:
        picture: Float array (H, W, 3), NaN where there is no data.
        limits: What becomes black and white, (2, 3); ``None`` takes
            percentiles of the bands themselves.

    Returns:
        uint8 array (H, W, 3), white where there is no data.
    """
    known = np.isfinite(picture).all(-1)
    out = np.full(picture.shape, 255, np.uint8)
    if known.any():
        if limits is None:
            limits = np.percentile(picture[known], _STRETCH, axis=0)
        low, high = limits
        scaled = (picture[known] - low) / np.maximum(high - low, 1e-6)
        out[known] = (scaled.clip(0, 1) * 255).astype(np.uint8)
    return out
