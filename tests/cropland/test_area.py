"""Hectares of pixels, against figures from outside."""

import math

import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS
from shapely.geometry import box

from mmfdconv.cropland.area import (
    PixelAreas,
    distortion,
    format_hectares,
    write_hectares,
)

pytestmark = pytest.mark.core

WGS84 = CRS.from_epsg(4326)


def test_metres():
    areas = PixelAreas(CRS.from_epsg(32650), Affine(4, 0, 0, 0, -4, 0), 100)
    np.testing.assert_allclose(areas.rows(3, 6), [16e-4] * 3)
    assert areas.polygon(box(1, 2, 11, 22)) == pytest.approx(200 * 16e-4)


def test_us_feet():
    areas = PixelAreas(CRS.from_epsg(2263), Affine(10, 0, 0, 0, -10, 0), 9)
    side = 10 * 1200 / 3937  # the US survey foot by its definition
    np.testing.assert_allclose(areas.rows(0, 1), side**2 / 1e4)


def test_a_rotated_grid_in_metres():
    c, s = 4 * math.cos(0.5), 4 * math.sin(0.5)
    turned = Affine(c, s, 0, s, -c, 0)
    areas = PixelAreas(CRS.from_epsg(32650), turned, 9)
    np.testing.assert_allclose(areas.rows(0, 1), 16e-4)


def test_the_whole_earth():
    """NIMA TR8350.2: the WGS 84 ellipsoid has 510 065 621.7 km2."""
    areas = PixelAreas(WGS84, Affine(1, 0, -180, 0, -1, 90), 180)
    total = areas.rows(0, 180).sum() * 360
    assert total / 100 == pytest.approx(510065621.724, rel=1e-9)
    north, south = areas.rows(0, 90), areas.rows(90, 180)
    np.testing.assert_allclose(north, south[::-1])


def test_a_sphere():
    sphere = CRS.from_proj4('+proj=longlat +R=6371000 +no_defs')
    areas = PixelAreas(sphere, Affine(1, 0, -180, 0, -1, 90), 180)
    total = areas.rows(0, 180).sum() * 360 * 1e4
    assert total == pytest.approx(4 * math.pi * 6371000**2)


def test_polygons_in_degrees_are_the_sum_of_their_pixels():
    areas = PixelAreas(WGS84, Affine(0.1, 0, 100, 0, -0.1, 60), 100)
    polygon = box(2, 10, 7, 90)
    assert areas.polygon(polygon) == pytest.approx(
        5 * areas.rows(10, 90).sum()
    )
    assert areas.rows(0, 1) < areas.rows(99, 100)


def test_a_rotated_grid_in_degrees_is_refused():
    turned = Affine(0.1, 0.01, 0, 0.01, -0.1, 0)
    with pytest.raises(ValueError, match='rotated grid in degrees'):
        PixelAreas(WGS84, turned, 9)


def test_distortion_of_web_mercator():
    crs = CRS.from_epsg(3857)
    x, y = 12e6, 4865942.28  # 40 degrees north
    factor = distortion(crs, Affine(10, 0, x, 0, -10, y), 1, 1)
    # 1 / (east scale * north scale) on the ellipsoid, by hand
    e2, s, c = 0.00669438, math.sin(math.radians(40)), 0.7660444
    east = math.sqrt(1 - e2 * s**2) / c
    north = (1 - e2 * s**2) ** 1.5 / (1 - e2) / c
    assert factor == pytest.approx(east * north, rel=1e-3)
    utm = Affine(4, 0, 500000, 0, -4, 3400000)
    near = distortion(CRS.from_epsg(32650), utm, 100, 100)
    assert near == pytest.approx(0.9996**2, rel=1e-4)
    assert distortion(WGS84, utm, 1, 1) is None


def test_table_and_file(tmp_path):
    hectares = {'farmland': 1234.5, 'water': 0.0}
    lines = format_hectares(hectares).splitlines()
    assert lines[0].split() == ['farmland', '1,234.50', 'ha', '100.00%']
    assert lines[2].split() == ['total', '1,234.50', 'ha', '100.00%']
    write_hectares(hectares, tmp_path / 'a.csv')
    assert (tmp_path / 'a.csv').read_text().split() == [
        'class,hectares,share',
        'farmland,1234.5000,1.000000',
        'water,0.0000,0.000000',
    ]
    assert '0.00%' in format_hectares({'farmland': 0.0})
