"""Polygons made in pieces are those of the whole map."""

import fiona
import numpy as np
import pytest
import shapely
from rasterio.crs import CRS
from rasterio.features import rasterize
from scipy import ndimage

from mmfdconv.cropland.area import PixelAreas
from mmfdconv.cropland.vector import polygonise, write_polygons

from .helpers import UTM

pytestmark = pytest.mark.core


def polygons_of(values, wanted, piece):
    def read(start, stop):
        return values[start:stop]

    return [*polygonise(read, len(values), wanted, piece)]


@pytest.mark.parametrize('piece', [1, 3, 7, 16, 64, 100])
@pytest.mark.parametrize('classes', [2, 3, 5])
def test_pieces_make_no_difference(piece, classes):
    rng = np.random.default_rng(piece * 10 + classes)
    values = rng.integers(0, classes, (61, 47)).astype(np.uint8)
    wanted = tuple(range(1, classes))
    found = polygons_of(values, wanted, piece)
    drawn = np.full(values.shape, 255, np.uint8)
    for value in wanted:
        own = [polygon for polygon, v in found if v == value]
        # Connected along edges: the cross is ndimage's default structure.
        _, count = ndimage.label(values == value)
        assert len(own) == count
        assert sum(p.area for p in own) == (values == value).sum()
        assert all(p.is_valid and p.geom_type == 'Polygon' for p in own)
        rasterize([(p, value) for p in own], out=drawn)
    expected = np.where(np.isin(values, wanted), values, 255)
    np.testing.assert_array_equal(drawn, expected)


def test_no_corner_is_left_on_a_seam():
    values = np.ones((40, 10), np.uint8)
    ((polygon, value),) = polygons_of(values, (1,), 8)
    assert value == 1
    assert polygon.equals(shapely.box(0, 0, 10, 40))
    assert len(polygon.exterior.coords) == 5


class Grid:
    crs, transform = CRS.from_epsg(32650), UTM


def test_geopackage(tmp_path):
    values = np.zeros((30, 20), np.uint8)
    values[2:12, 3:8] = 1  # 50 pixels of 16 m2: 0.08 ha
    values[20, 10] = 1
    path = str(tmp_path / 'a.gpkg')
    count = write_polygons(
        path,
        iter(polygons_of(values, (1,), 8)),
        {1: 'farmland'},
        Grid,
        PixelAreas(Grid.crs, Grid.transform, 30),
        min_area=0.01,
        layer='classes',
    )
    assert count == (1, 1)
    with fiona.open(path, layer='classes') as file:
        assert CRS.from_wkt(file.crs_wkt) == Grid.crs
        (feature,) = file
    assert dict(feature.properties) == {
        'class': 'farmland',
        'value': 1,
        'hectares': 0.08,
    }
    shape = shapely.geometry.shape(feature.geometry)
    left, top = UTM.c + 3 * 4, UTM.f - 2 * 4
    assert shape.equals(shapely.box(left, top - 40, left + 20, top))
