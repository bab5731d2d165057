"""Hectares of pixels, against figures from outside."""

import math
from typing import NamedTuple

import numpy as np
import pytest
from affine import Affine
from rasterio import warp
from rasterio.crs import CRS
from shapely.geometry import Polygon, box

from mmfdconv.cropland.area import (
    PixelAreas,
    count_hectares,
    format_hectares,
    reproject_points,
    transform_points,
    write_hectares,
)

pytestmark = pytest.mark.core


class Grid(NamedTuple):
    """What areas are taken of."""

    crs: CRS
    transform: Affine
    width: int
    height: int


def grid(crs, transform, width, height):
    return Grid(CRS.from_user_input(crs), transform, width, height)


def on_the_ground(grid, left, top, right, bottom):
    """Hectares of some pixels, by PROJ's azimuthal equal-area projection.

    It lies at the pixels' middle, and their edges are followed closely.
    """
    t = np.linspace(0, 1, 2000, endpoint=False)
    corners = np.array(
        [(left, top), (right, top), (right, bottom), (left, bottom)]
    )
    edges = zip(corners, np.roll(corners, -1, 0))
    points = np.concatenate([a + t[:, None] * (b - a) for a, b in edges])
    middle = (corners[0] + corners[2]) / 2
    x, y = transform_points(grid.transform, [*points, middle]).T
    if grid.crs.is_geographic:
        origin = x[-1], y[-1]
    else:
        own = CRS.from_epsg(4326)
        origin = np.ravel(warp.transform(grid.crs, own, x[-1:], y[-1:]))
    plane = CRS.from_proj4(
        f'+proj=laea +lon_0={origin[0]} +lat_0={origin[1]} +datum=WGS84'
    )
    east, north = np.array(warp.transform(grid.crs, plane, x[:-1], y[:-1]))
    shoelace = east * np.roll(north, -1) - np.roll(east, -1) * north
    return abs(shoelace.sum()) / 2 / 1e4


TURNED = Affine.translation(110, 40) * Affine.rotation(30)
GRIDS = {
    'web mercator': grid(
        'EPSG:3857', Affine(10, 0, 12e6, 0, -10, 4865942), 7000, 7000
    ),
    'utm, centre': grid(
        'EPSG:32650', Affine(4, 0, 5e5, 0, -4, 3.4e6), 7000, 7000
    ),
    'utm, zone edge': grid(
        'EPSG:32650', Affine(10, 0, 2e5, 0, -10, 3.4e6), 10980, 10980
    ),
    'utm, south up, turned': grid(
        'EPSG:32650',
        Affine.translation(5e5, 3.4e6) * Affine.rotation(30) * Affine.scale(4),
        5000,
        4000,
    ),
    'utm, step to the west': grid(
        'EPSG:32650', Affine(-4, 0, 7e5, 0, -4, 3.4e6), 5000, 4000
    ),
    'lambert, all France': grid(
        'EPSG:2154', Affine(250, 0, 0, 0, -250, 7.2e6), 4000, 4800
    ),
    'lambert, all China': grid(
        '+proj=lcc +lat_1=30 +lat_2=62 +lon_0=105 +datum=WGS84',
        Affine(1000, 0, -2.6e6, 0, -1000, 6.5e6),
        5200,
        4500,
    ),
    'albers': grid(
        'EPSG:5070', Affine(300, 0, -2e6, 0, -300, 3e6), 10000, 8000
    ),
    'polar': grid(
        'EPSG:3413', Affine(100, 0, -1e6, 0, -100, 1.5e6), 20000, 20000
    ),
    'feet': grid('EPSG:2263', Affine(10, 0, 9e5, 0, -10, 2e5), 1000, 1000),
    'degrees': grid('EPSG:4326', Affine(0.01, 0, 110, 0, -0.01, 60), 20, 1000),
    'degrees, turned': grid(
        'EPSG:4326', TURNED * Affine.scale(1e-3, -1e-3), 5000, 4000
    ),
    'degrees, south up, across 180': grid(
        'EPSG:4326', Affine(1e-3, 0, 178, 0, 1e-3, -20), 4000, 3000
    ),
}


@pytest.mark.parametrize('name', GRIDS)
def test_areas_are_those_on_the_ground(name):
    """To 1e-5: of the whole, and of a part in a corner."""
    grid = GRIDS[name]
    areas = PixelAreas(grid)
    w, h = grid.width, grid.height
    for edges in (0, 0, w, h), (0, 0, w // 5, h // 9):
        (found,) = areas.polygons([box(*edges)])
        assert found == pytest.approx(on_the_ground(grid, *edges), rel=1e-5)


@pytest.mark.parametrize('name', GRIDS)
def test_polygons_are_the_sum_of_their_pixels(name):
    w = min(GRIDS[name].width, 1000)
    grid = GRIDS[name]._replace(width=w, height=1000)
    areas = PixelAreas(grid)
    ring = [(2, 10), (9, 10), (9, 700), (w, 700), (w, 900), (2, 900)]
    hole = box(4, 20, 7, 30).exterior
    inside = np.zeros((grid.height, w), bool)
    inside[10:900, 2:9] = inside[700:900, 2:w] = True
    inside[20:30, 4:7] = False
    pixels = areas.pixels(0, grid.height)
    expected = pixels[inside].sum()
    shapes = [Polygon(ring, [hole]), box(5, 5, 6, 6), Polygon(ring[::-1])]
    found = areas.polygons(shapes)
    assert found[0] == pytest.approx(expected, rel=1e-9)
    # A single pixel is the difference of large numbers.
    assert found[1] == pytest.approx(pixels[5, 5], rel=1e-5)
    assert found[2] - found[0] == pytest.approx(
        pixels[20:30, 4:7].sum(), rel=1e-5
    )
    assert pixels.max() <= areas.largest * (1 + 1e-12)
    np.testing.assert_allclose(areas.pixels(100, 103), pixels[100:103])


def test_the_pole_in_the_middle():
    """A cap of the sphere: 2 pi R^2 (1 - cos(angle)), by its square."""
    sphere = '+proj=laea +lat_0=90 +R=6371000'
    side = 1e6
    size = 200
    square = Affine(2 * side / size, 0, -side, 0, -2 * side / size, side)
    areas = PixelAreas(grid(sphere, square, size, size))
    total = areas.pixels(0, size).sum()
    assert total == pytest.approx(4 * side**2 / 1e4, rel=1e-6)
    assert areas.stretch == pytest.approx(1, rel=1e-6)


def test_the_whole_earth():
    """NIMA TR8350.2: the WGS 84 ellipsoid has 510 065 621.7 km2."""
    whole = grid('EPSG:4326', Affine(1, 0, -180, 0, -1, 90), 360, 180)
    pixels = PixelAreas(whole).pixels(0, 180)
    assert pixels.sum() / 100 == pytest.approx(510065621.724, rel=3e-5)
    np.testing.assert_allclose(pixels[:90], pixels[:89:-1], rtol=1e-6)
    # Rows beyond the poles are nowhere.
    more = whole._replace(transform=Affine(1, 0, -180, 0, -1, 95), height=190)
    total = PixelAreas(more).pixels(0, 190).sum() / 100
    assert total == pytest.approx(510065621.724, rel=1e-3)


def test_a_sphere():
    whole = grid(
        '+proj=longlat +R=6371000', Affine(1, 0, -180, 0, -1, 90), 360, 180
    )
    total = PixelAreas(whole).pixels(0, 180).sum() * 1e4
    assert total == pytest.approx(4 * math.pi * 6371000**2, rel=3e-5)


def test_the_world_in_web_mercator():
    edge = 20037508.342789244
    world = grid(
        'EPSG:3857', Affine(edge / 64, 0, -edge, 0, -edge / 64, edge), 128, 128
    )
    areas = PixelAreas(world)
    for edges in (0, 0, 32, 16), (0, 60, 32, 64):
        (found,) = areas.polygons([box(*edges)])
        assert found == pytest.approx(on_the_ground(world, *edges), rel=3e-4)


def test_pixels_beside_the_earth():
    """The disk that a geostationary satellite sees, in a square."""
    disk = grid(
        '+proj=geos +h=35785831 +lon_0=0 +datum=WGS84',
        Affine(1e4, 0, -6e6, 0, -1e4, 6e6),
        1200,
        1200,
    )
    pixels = PixelAreas(disk).pixels(600, 601)
    assert np.isfinite(pixels).all()
    assert pixels[0, 600] == pytest.approx(1e4, rel=1e-3)
    far = disk._replace(transform=Affine(1e4, 0, 6e6, 0, -1e4, 2e7))
    with pytest.raises(ValueError, match='nowhere on the Earth'):
        PixelAreas(far)


def test_grads():
    """NTF (Paris): 400 to a circle, and Clarke's ellipsoid of 1880."""
    t = Affine(0.01, 0, 0, 0, -0.01, 54)
    found = PixelAreas(grid('EPSG:4807', t, 100, 100)).pixels(0, 1)[0, 0]
    a, b, lat = 6378249.2, 6356515, math.radians(0.9 * 53.995)
    e2 = 1 - (b / a) ** 2
    w2 = 1 - e2 * math.sin(lat) ** 2
    metres = a * math.cos(lat) * a * (1 - e2) / w2**2
    expected = metres * (0.01 * math.pi / 200) ** 2 / 1e4
    assert found == pytest.approx(expected, rel=1e-5)


def test_points_outside_a_projection_fail_alone():
    disk = CRS.from_user_input('+proj=geos +h=35785831 +lon_0=0 +datum=WGS84')
    points = np.array([[0, 0], [9e6, 9e6], [1e6, 0]], float)
    found = reproject_points(disk, CRS.from_epsg(4326), points)
    np.testing.assert_array_equal(
        np.isfinite(found), [[True] * 2, [False] * 2, [True] * 2]
    )


def test_systems_that_nothing_connects_are_named():
    local = CRS.from_wkt('LOCAL_CS["site",UNIT["metre",1]]')
    with pytest.raises(ValueError, match='site cannot be .* to EPSG:4326'):
        reproject_points(local, CRS.from_epsg(4326), np.zeros((1, 2)))


def test_counting():
    values = np.array([[0, 2, 255], [2, 2, 1]], np.uint8)
    pixels = np.array([[1.0, 2, 4], [8, 16, 32]])
    np.testing.assert_array_equal(
        count_hectares(values, pixels, 4), [1, 32, 26, 0]
    )


def test_how_much_a_projection_stretches():
    def areas(crs, t):
        return PixelAreas(grid(crs, t, 100, 100))

    mercator = areas(
        'EPSG:3857', Affine(10, 0, 12e6, 0, -10, 4865942.28 + 500)
    )
    # 1 / (east scale * north scale) on the ellipsoid at 40 degrees, by hand
    e2, s, c = 0.00669438, math.sin(math.radians(40)), 0.7660444
    east = math.sqrt(1 - e2 * s**2) / c
    north = (1 - e2 * s**2) ** 1.5 / (1 - e2) / c
    assert mercator.stretch == pytest.approx(east * north, rel=1e-5)
    assert 'areas look 1.71 times as large' in mercator.describe()
    utm = areas('EPSG:32650', Affine(4, 0, 5e5, 0, -4, 3.4e6))
    assert utm.stretch == pytest.approx(0.9996**2, rel=1e-6)
    assert utm.describe() is None
    degrees = areas('EPSG:4326', Affine(4e-5, 0, 110, 0, -4e-5, 40))
    assert degrees.stretch is degrees.describe() is None


def test_a_coordinate_system_without_an_ellipsoid():
    local = CRS.from_wkt('LOCAL_CS["mine",UNIT["metre",1]]')
    with pytest.raises(ValueError, match='says nothing of an ellipsoid'):
        PixelAreas(Grid(local, Affine(4, 0, 0, 0, -4, 0), 9, 9))


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
