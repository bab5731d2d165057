"""How many hectares a pixel is, also where pixels are degrees.

In a projected coordinate system a pixel has the area that the transform
gives it, in the system's own unit (metres, US feet, ...). In a geographic one
the area of a pixel is that of its rectangle of meridians and parallels on the
system's own ellipsoid, by the closed formula (Snyder, Map Projections: A
Working Manual, USGS 1987, Eq. 3-12), so it changes from row to row.
"""

import csv
import math
import re
from pathlib import Path
from typing import Dict, Mapping, Optional, Tuple, Union

import numpy as np
import shapely
from rasterio import warp
from rasterio.crs import CRS

__all__ = [
    'PixelAreas',
    'distortion',
    'format_hectares',
    'transform_points',
    'write_hectares',
]

HECTARE = 10000.0  # square metres
# From here a projection's areas are worth a word. UTM stays below 0.2 %.
DISTORTION = 0.01


class PixelAreas:
    """Areas of the pixels of a grid.

    Args:
        crs: The grid's coordinate system.
        transform: Affine transform from (column, row) to coordinates.
        height: Rows of the grid.

    Raises:
        ValueError: Geographic coordinates on a rotated grid.
    """

    def __init__(self, crs: CRS, transform, height: int) -> None:
        self._pixel = abs(transform.determinant)
        self._edges = None  # of the rows, in radians of latitude
        if crs.is_geographic:
            if transform.b or transform.d:
                raise ValueError(
                    'the pixels lie along no meridian: a rotated grid in '
                    'degrees; reproject it first with gdalwarp'
                )
            unit = crs.units_factor[1]
            self._a, self._e = _ellipsoid(crs)
            rows = np.arange(height + 1)
            latitude = (transform.f + transform.e * rows) * unit
            self._edges = np.clip(latitude, -math.pi / 2, math.pi / 2)
            self._longitude = abs(transform.a) * unit
        else:
            self._pixel *= crs.linear_units_factor[1] ** 2

    def rows(self, start: int, stop: int) -> np.ndarray:
        """Return the hectares of one pixel of each row, float64."""
        if self._edges is None:
            return np.full(stop - start, self._pixel / HECTARE)
        return np.abs(np.diff(self._strip(np.arange(start, stop + 1))))

    def polygon(self, polygon: shapely.Polygon) -> float:
        """Return the hectares of a polygon whose edges are pixels' edges.

        Args:
            polygon: In (column, row) of the grid.
        """
        if self._edges is None:
            return polygon.area * self._pixel / HECTARE

        # With rows replaced by the area above them the plane formula is
        # exact, for the edges run along rows and columns.
        def flatten(points):
            y = self._strip(points[:, 1].astype(int))
            return np.stack([points[:, 0], y], 1)

        return shapely.transform(polygon, flatten).area

    def _strip(self, rows: np.ndarray) -> np.ndarray:
        """Hectares from the equator to rows' upper edges, a pixel wide."""
        e = self._e
        s = np.sin(self._edges[rows])
        q = s / (1 - e**2 * s**2)
        q = q + (np.arctanh(e * s) / e if e else s)
        half = self._a**2 * (1 - e**2) / 2
        return half * q * self._longitude / HECTARE


def transform_points(transform, points: np.ndarray) -> np.ndarray:
    """Return the coordinates of (column, row), both of shape (N, 2)."""
    t = transform
    linear = np.array([[t.a, t.b], [t.d, t.e]])
    return points @ linear.T + [t.c, t.f]


def _ellipsoid(crs: CRS) -> Tuple[float, float]:
    """Semi-major axis in metres and eccentricity."""
    found = re.search(
        r'(?:SPHEROID|ELLIPSOID)\["[^"]*",\s*([\d.eE+-]+),\s*([\d.eE+-]+)',
        crs.to_wkt(),
    )
    if found is None:
        raise ValueError(f'no ellipsoid in the coordinate system {crs}')
    a, inverse = float(found[1]), float(found[2])
    flattening = 1 / inverse if inverse else 0.0  # 0 stands for a sphere
    return a, math.sqrt(flattening * (2 - flattening))


def distortion(
    crs: CRS, transform, width: int, height: int
) -> Optional[float]:
    """Return how much too large the projection shows areas, as a factor.

    Measured at the grid's centre; Web Mercator at 40 degrees north gives
    1.7. ``None`` for geographic coordinates.
    """
    if crs.is_geographic:
        return None
    geographic = CRS.from_epsg(4326)
    x, y = width / 2, height / 2
    corners = transform_points(
        transform, np.array([[x, y], [x + 1, y], [x, y + 1]])
    )
    xs, ys = warp.transform(crs, geographic, *corners.T.tolist())
    a, e = _ellipsoid(geographic)
    lon, lat = np.radians(xs), np.radians(ys)
    w = math.sqrt(1 - (e * math.sin(lat[0])) ** 2)
    east = (lon[1:] - lon[0]) * math.cos(lat[0]) * a / w
    north = (lat[1:] - lat[0]) * a * (1 - e**2) / w**3
    true = abs(east[0] * north[1] - east[1] * north[0])
    shown = abs(transform.determinant) * crs.linear_units_factor[1] ** 2
    return shown / true


def format_hectares(hectares: Mapping[str, float]) -> str:
    """Lay out hectares and shares of the whole as a table of text."""
    total = sum(hectares.values())
    names = [*hectares, 'total']
    wide = max(map(len, names))
    return '\n'.join(
        f'{name:<{wide}}  {value:>14,.2f} ha  {_share(value, total):6.2%}'
        for name, value in zip(names, [*hectares.values(), total])
    )


def write_hectares(hectares: Dict[str, float], path: Union[str, Path]) -> None:
    """Write class, hectares and share of the whole as CSV."""
    total = sum(hectares.values())
    with Path(path).open('w', newline='', encoding='utf-8') as file:
        writer = csv.writer(file)
        writer.writerow(('class', 'hectares', 'share'))
        for name, value in hectares.items():
            share = _share(value, total)
            writer.writerow((name, f'{value:.4f}', f'{share:.6f}'))


def _share(value: float, total: float) -> float:
    return value / total if total else 0.0
