"""How large a pixel is on the ground."""

from typing import Any, Optional

import numpy as np

_RADIUS = 6371e3  # metres, of the Earth as a sphere: right to half a percent


def pixel_size(raster: Any) -> Optional[float]:
    """Return the side of the pixel in the middle, in metres.

    Args:
        raster: Has ``crs``, ``transform``, ``width`` and ``height``.

    Returns:
        The square root of its area; ``None`` where the raster does not say
        where on the Earth it is.
    """
    if not raster.crs or raster.transform.is_identity:
        return None
    from rasterio import warp
    from rasterio.errors import RasterioError

    column, row = raster.width / 2, raster.height / 2
    corners = [
        raster.transform * corner
        for corner in ((column, row), (column + 1, row), (column, row + 1))
    ]
    try:
        places = warp.transform(raster.crs, 'EPSG:4326', *zip(*corners))
    except RasterioError:
        return None
    east, north = np.radians(places)
    x = (east[1:] - east[0]) * np.cos(north[0])
    y = north[1:] - north[0]
    side = _RADIUS * np.sqrt(abs(x[0] * y[1] - x[1] * y[0]))
    return float(side) if np.isfinite(side) else None
