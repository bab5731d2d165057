"""Polygons made in pieces are those of the whole map."""

import json
import sys

import fiona
import numpy as np
import pytest
import shapely
from affine import Affine
from rasterio import features
from rasterio.crs import CRS
from rasterio.features import rasterize
from scipy import ndimage

from mmfdconv.cropland import vector
from mmfdconv.cropland.area import PixelAreas
from mmfdconv.cropland.polygon_files import PolygonOptions
from mmfdconv.cropland.vector import (
    LargeAreas,
    polygonise,
    simplify_polygons,
    write_polygons,
)

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
    crs, transform, width, height = CRS.from_epsg(32650), UTM, 20, 30


def write(path, values, names, grid=Grid, min_area=0.01, **options):
    count = write_polygons(
        str(path),
        lambda start, stop: values[start:stop],
        names,
        grid,
        PixelAreas(grid),
        PolygonOptions(min_area=min_area, **options),
        layer='classes',
    )
    if path.suffix == '.parquet':
        return count
    with fiona.open(str(path), layer='classes') as file:
        return count, CRS.from_wkt(file.crs_wkt), [*file]


def test_geopackage(tmp_path):
    values = np.zeros((30, 20), np.uint8)
    values[2:12, 3:8] = 1  # 50 pixels of 16 m2: 0.08 ha
    values[20, 10] = 1
    count, crs, (feature,) = write(
        tmp_path / 'a.gpkg', values, {1: 'farmland'}
    )
    assert count == (1, 1)
    assert crs == Grid.crs
    properties = dict(feature.properties)
    # In the middle of its zone UTM shows lengths 0.9996 times.
    hectares = properties.pop('hectares')
    assert hectares == pytest.approx(0.08 / 0.9996**2, abs=1e-6)
    assert properties == {'class': 'farmland', 'value': 1}
    shape = shapely.geometry.shape(feature.geometry)
    left, top = UTM.c + 3 * 4, UTM.f - 2 * 4
    assert shape.equals(shapely.box(left, top - 40, left + 20, top))


@pytest.mark.parametrize('east', [4, -4])
@pytest.mark.parametrize('north', [4, -4])
def test_outer_rings_run_counter_clockwise(tmp_path, east, north):
    class Turned(Grid):
        transform = Affine(east, 0, UTM.c, 0, north, UTM.f)

    values = np.zeros((30, 20), np.uint8)
    values[2:12, 3:8] = 1
    values[4:6, 4:6] = 0
    _, _, (feature,) = write(
        tmp_path / 'a.gpkg', values, {1: 'farmland'}, Turned
    )
    shape = shapely.geometry.shape(feature.geometry)
    assert shape.exterior.is_ccw
    assert [ring.is_ccw for ring in shape.interiors] == [False]


@pytest.mark.parametrize('piece', [1, 7, 20, 61])
@pytest.mark.parametrize('pixels', [1, 2, 5])
def test_what_is_surely_small_is_taken_out(piece, pixels):
    """Written and left out are those of the whole map, piece by piece."""
    rng = np.random.default_rng(piece)
    values = rng.integers(0, 4, (61, 47)).astype(np.uint8)
    wanted = (1, 2, 3)
    before = values.copy()
    large = LargeAreas(lambda *rows: values[slice(*rows)], 61, wanted, pixels)
    found = [*polygonise(large.read, 61, wanted, piece)]
    np.testing.assert_array_equal(values, before)

    def rings(polygons):
        return sorted(
            (polygon.normalize().wkt, value)
            for polygon, value in polygons
            if polygon.area >= pixels
        )

    whole = polygons_of(values, wanted, 61)
    assert rings(found) == rings(whole)
    assert len(found) + large.left_out == len(whole)
    if piece == 61:
        assert all(polygon.area >= pixels for polygon, _ in found)


def test_noise_is_counted_and_not_made_polygons(tmp_path, monkeypatch):
    made = []
    make = features.shapes

    def shapes(*args, **kwargs):
        for item in make(*args, **kwargs):
            made.append(1)
            yield item

    monkeypatch.setattr(vector.features, 'shapes', shapes)
    values = np.random.default_rng(0).integers(0, 6, (300, 200))
    values = values.astype(np.uint8)
    labels = [ndimage.label(values == value)[1] for value in range(6)]
    names = dict(enumerate('abcdef'))

    class Large(Grid):
        width, height = 200, 300

    monkeypatch.setattr(vector, 'PIECE', 200 * 100)
    count, _, _ = write(tmp_path / 'a.gpkg', values, names, Large, 0.1)
    assert count == (0, sum(labels))
    assert len(made) < sum(labels) / 20  # those on the seams of pieces


def fields(height, width, seed=0):
    """Areas with ragged edges that meet in threes, and some of one pixel."""
    rng = np.random.default_rng(seed)
    waves = rng.normal(size=(4, height, width))
    smooth = ndimage.gaussian_filter(waves, (0, 3, 3))
    values = smooth.argmax(0).astype(np.uint8)
    values[rng.random(values.shape) < 0.01] = 3
    return values


@pytest.mark.parametrize('sides', [(4, 4), (3, 9)])
def test_simplified_neighbours_share_their_edge(sides):
    values = fields(60, 50)
    before = [polygon for polygon, _ in polygons_of(values, (0, 1, 2, 3), 16)]
    after = simplify_polygons(before, 10, sides)
    assert all(polygon.is_valid for polygon in after)
    assert shapely.coverage_is_valid(after)
    # Without a gap: all of them together are one, without a hole.
    whole = shapely.union_all(after)
    assert whole.geom_type == 'Polygon' and not whole.interiors
    assert sum(p.area for p in after) == pytest.approx(whole.area)
    assert whole.area == pytest.approx(60 * 50, rel=0.03)
    counts = [
        shapely.get_num_coordinates(shapes).sum() for shapes in (before, after)
    ]
    assert counts[1] < counts[0] / 2
    # Each is about where it was.
    off = [a.symmetric_difference(b).area for a, b in zip(before, after)]
    assert sum(off) < 0.25 * values.size


def test_detail_is_measured_in_metres(tmp_path):
    """Steps of 4 m go at 6 m; a field of 20 m does not change."""
    values = np.zeros((30, 20), np.uint8)
    values[np.tri(30, 20, -2, dtype=bool)] = 1
    values[2:12, 14:19] = 2
    names = {0: 'other', 1: 'slope', 2: 'farmland'}
    counts = {}
    for metres in 0, 6:
        count, _, features = write(
            tmp_path / f'{metres}.gpkg', values, names, simplify=metres
        )
        assert count == (3, 0)
        shapes = {
            f.properties['class']: shapely.geometry.shape(f.geometry)
            for f in features
        }
        counts[metres] = len(shapes['slope'].exterior.coords)
        field = shapes['farmland']
        assert field.area == 800 and len(field.exterior.coords) == 5
        hectares = {f.properties['hectares'] for f in features}
        assert round(0.08 / 0.9996**2, 6) in hectares  # of the pixels
    assert counts[0] > 40 and counts[6] <= 10


def test_simplification_that_cannot_be_done():
    with pytest.raises(ValueError, match='--simplify: .* but is -1'):
        PolygonOptions(simplify=-1).check()


def test_a_pixel_of_degrees_is_narrow():
    class North:
        crs, width, height = CRS.from_epsg(4326), 20, 30
        transform = Affine(1e-4, 0, 10, 0, -1e-4, 60.0015)

    width, height = PixelAreas(North).sides
    # By WGS 84's radii of curvature at 60 degrees.
    assert width == pytest.approx(5.580, rel=1e-3)
    assert height == pytest.approx(11.141, rel=1e-3)
    assert PixelAreas(Grid).sides == pytest.approx([4 / 0.9996] * 2, rel=1e-5)


def test_geoparquet(tmp_path):
    try:
        PolygonOptions(format='parquet').check()
    except ValueError as error:
        pytest.skip(f'GeoParquet is not tested: {error}')
    from pyarrow import parquet

    values = fields(30, 20)
    names = dict(enumerate('abcd'))
    _, _, features = write(tmp_path / 'a.gpkg', values, names, min_area=0)
    write(tmp_path / 'a.parquet', values, names, min_area=0)
    table = parquet.read_table(tmp_path / 'a.parquet')
    geo = json.loads(table.schema.metadata[b'geo'])
    assert geo['version'] == '1.1.0'
    column = geo['columns'][geo['primary_column']]
    assert column['encoding'] == 'WKB'
    assert CRS.from_user_input(json.dumps(column['crs'])) == Grid.crs
    rows = table.to_pylist()
    assert len(rows) == len(features) > 4
    for row, feature in zip(rows, features):
        shape = shapely.from_wkb(row.pop('geometry'))
        assert shape.equals(shapely.geometry.shape(feature.geometry))
        assert row == dict(feature.properties)


def test_formats_that_cannot_be_written(monkeypatch):
    with pytest.raises(ValueError, match="--polygon-format: .* not 'shp'"):
        PolygonOptions(format='shp').check()
    monkeypatch.setitem(sys.modules, 'pyarrow', None)
    PolygonOptions(format='gpkg').check()
    with pytest.raises(ValueError, match=r'pyarrow .*mmfdconv\[geoparquet'):
        PolygonOptions(format='parquet').check()
