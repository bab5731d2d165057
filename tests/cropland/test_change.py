"""Cropland lost and gained, against counts by hand."""

import csv

import fiona
import numpy as np
import pytest
import rasterio
from rasterio import warp
from rasterio.crs import CRS

from mmfdconv.cropland.change import (
    compare,
    cropland_class,
    format_change,
)
from mmfdconv.cropland.raster import MapReader, RowWriter

from .helpers import CLASSES, PALETTE, UTM

pytestmark = pytest.mark.core

PIXEL = 16e-4  # hectares


class Grid:
    """What a writer of maps wants to know."""

    def __init__(self, values, transform=UTM, crs='EPSG:32650'):
        self.height, self.width = values.shape
        self.transform, self.crs = transform, CRS.from_string(crs)


def write_map(path, values, classes=CLASSES, **grid):
    values = values.astype(np.uint8)
    palette = PALETTE[: len(classes)]
    with RowWriter(str(path), Grid(values, **grid), classes, palette) as file:
        file.write(0, values)
    return path


@pytest.fixture
def years():
    """Farmland (2) beside forest (3); some lost, some gained, some unknown."""
    before = np.full((600, 120), 3)
    before[:, :60] = 2
    after = before.copy()
    after[500:520, 10:40] = 1  # 600 pixels become built-up
    after[505:515, 20:30] = 5  # 100 of them water
    after[30, 3] = 5  # one more
    after[100:110, 70:90] = 2  # 200 gained from forest
    before[:50, 100:] = 255
    after[0:10, 0:10] = 255
    return before, after


def test_what_became_of_the_cropland(years, tmp_path):
    maps = [
        write_map(tmp_path / f'{i}.tif', year) for i, year in enumerate(years)
    ]
    change = compare(*maps, tmp_path / 'out' / 'a', min_area=0.1)
    before, after = years
    known = (before != 255) & (after != 255)
    expected = np.zeros((6, 6))
    np.add.at(expected, (before[known], after[known]), PIXEL)
    np.testing.assert_allclose(change.hectares, expected)
    assert change.cropland == 'farmland'
    assert change.kinds() == pytest.approx(
        {
            'no cropland': PIXEL * (600 * 60 - 50 * 20 - 200),
            'cropland kept': PIXEL * (600 * 60 - 601 - 100),
            'cropland lost': PIXEL * 601,
            'cropland gained': PIXEL * 200,
        }
    )
    with rasterio.open(change.files['map']) as file:
        found = file.read(1)
        assert file.transform == UTM
        assert file.crs == CRS.from_epsg(32650)
        assert file.nodata == 255
        assert file.colormap(1)[2][:3] == (215, 40, 40)
    kinds = np.select(
        [
            ~known,
            (before == 2) & (after == 2),
            before == 2,
            after == 2,
        ],
        [255, 1, 2, 3],
        0,
    )
    np.testing.assert_array_equal(found, kinds)
    with fiona.open(change.files['polygons']) as file:
        rows = sorted(
            (f.properties['class'], round(f.properties['hectares'], 4))
            for f in file
        )
    assert rows == [('gained', 0.32), ('lost', 0.96)]
    assert change.polygons == (2, 1)  # the single pixel is too small
    with open(change.files['table'], newline='') as file:
        table = {
            (row['before'], row['after']): (
                row['cropland'],
                float(row['hectares']),
            )
            for row in csv.DictReader(file)
        }
    assert table == {
        ('farmland', 'farmland'): ('kept', 56.4784),
        ('farmland', 'built-up'): ('lost', 0.8),
        ('farmland', 'water'): ('lost', 0.1616),
        ('forest', 'farmland'): ('gained', 0.32),
        ('forest', 'forest'): ('', 55.68),
    }
    text = format_change(change)
    lines = [line.split() for line in text.splitlines()]
    assert ['farmland', 'before', '57.44', 'ha'] in lines
    assert ['farmland', 'after', '56.80', 'ha'] in lines
    assert lines[5:7] == [
        ['to', 'built-up', '0.80', 'ha'],
        ['to', 'water', '0.16', 'ha'],
    ]
    assert lines[-1] == ['from', 'forest', '0.32', 'ha']
    assert change.files['quicklook'].read_bytes()[:4] == b'\x89PNG'
    assert len([*(tmp_path / 'out').iterdir()]) == 4


def test_classes_go_by_name(years, tmp_path):
    """Other numbers and another set of classes in the later map."""
    before, after = years
    names = ('farmland', 'forest', 'ice')
    other = np.full(after.shape, 255)
    other[after == 2], other[after == 3], other[after == 5] = 0, 1, 2
    change = compare(
        write_map(tmp_path / 'a.tif', before),
        write_map(tmp_path / 'b.tif', other, names),
        tmp_path / 'out',
    )
    assert change.classes == [*CLASSES, 'ice']
    to_ice = change.hectares[CLASSES.index('farmland'), 6]
    assert to_ice == pytest.approx(101 * PIXEL)


def test_a_shifted_grid(years, tmp_path):
    """Only the common ground is compared."""
    before, _ = years
    shifted = rasterio.Affine(4, 0, UTM.c + 80, 0, -4, UTM.f - 400)
    part = before[100:400, 20:80]
    change = compare(
        write_map(tmp_path / 'a.tif', before),
        write_map(tmp_path / 'b.tif', part, transform=shifted),
        tmp_path / 'out',
    )
    assert change.hectares.sum() == pytest.approx(part.size * PIXEL)
    assert change.kinds()['cropland lost'] == 0
    assert change.kinds()['cropland gained'] == 0
    with rasterio.open(change.files['map']) as file:
        assert (file.width, file.height) == (120, 600)
        found = file.read(1)
    assert (found[100:400, 20:80] != 255).all()
    assert (found != 255).sum() == part.size


def test_another_coordinate_system(years, tmp_path):
    """The later map in degrees: the reprojection costs only edges."""
    before, after = years
    height, width = before.shape
    bounds = rasterio.transform.array_bounds(height, width, UTM)
    target, columns, rows = warp.calculate_default_transform(
        'EPSG:32650', 'EPSG:4326', width, height, *bounds, resolution=2e-5
    )
    degrees = np.full((rows, columns), 255, np.uint8)
    warp.reproject(
        after.astype(np.uint8),
        degrees,
        src_transform=UTM,
        src_crs='EPSG:32650',
        dst_transform=target,
        dst_crs='EPSG:4326',
        src_nodata=255,
        dst_nodata=255,
    )
    change = compare(
        write_map(tmp_path / 'a.tif', before),
        write_map(
            tmp_path / 'b.tif', degrees, transform=target, crs='EPSG:4326'
        ),
        tmp_path / 'out',
    )
    kinds = change.kinds()
    assert kinds['cropland lost'] == pytest.approx(601 * PIXEL, rel=0.1)
    assert kinds['cropland gained'] == pytest.approx(200 * PIXEL, rel=0.1)
    with MapReader(change.files['map']) as file:
        assert file.crs == CRS.from_epsg(32650)


def test_maps_of_others(years, tmp_path):
    """No names in the file and no nodata value declared."""
    paths = []
    for i, year in enumerate(years):
        paths.append(tmp_path / f'{i}.tif')
        with rasterio.open(
            paths[-1],
            'w',
            driver='GTiff',
            width=120,
            height=600,
            count=1,
            dtype='int16',
            crs='EPSG:32650',
            transform=UTM,
        ) as file:
            file.write(year.astype(np.int16), 1)
    with pytest.raises(ValueError, match='does not carry .* --classes'):
        compare(*paths, tmp_path / 'out')
    change = compare(*paths, tmp_path / 'out', classes=CLASSES)
    assert change.kinds()['cropland lost'] == pytest.approx(601 * PIXEL)
    with pytest.raises(ValueError, match='no class name for the value 3'):
        compare(*paths, tmp_path / 'more', classes=CLASSES[:3])


def test_wrong_maps_are_told(years, tmp_path):
    before, after = years
    good = write_map(tmp_path / 'a.tif', before)
    with pytest.raises(ValueError, match='none.tif is not a file'):
        compare(good, tmp_path / 'none.tif', tmp_path / 'out')
    far = rasterio.Affine(4, 0, 900000, 0, -4, 3400000)
    other = write_map(tmp_path / 'b.tif', after, transform=far)
    with pytest.raises(ValueError, match='do not overlap'):
        compare(good, other, tmp_path / 'out')
    with pytest.raises(ValueError, match='no class is called rice; .* water'):
        compare(good, good, tmp_path / 'out', cropland='rice')
    empty = write_map(tmp_path / 'c.tif', np.full((600, 120), 255))
    with pytest.raises(ValueError, match='no place in common'):
        compare(good, empty, tmp_path / 'out')
    with pytest.raises(ValueError, match='would replace the input'):
        path = write_map(tmp_path / 'x_change.tif', after)
        compare(good, path, tmp_path / 'x')
    profile = dict(driver='GTiff', width=9, height=9, crs='EPSG:32650')
    scene = tmp_path / 'scene.tif'
    with rasterio.open(
        scene, 'w', count=3, dtype='uint8', transform=UTM, **profile
    ) as file:
        file.write(np.ones((3, 9, 9), np.uint8))
    with pytest.raises(ValueError, match='no map of classes.* --model'):
        compare(good, scene, tmp_path / 'out')
    lost = write_map(tmp_path / 'd.tif', after)
    with rasterio.open(lost, 'r+') as file:
        file.crs = CRS()
    with pytest.raises(ValueError, match='d.tif has no coordinate system'):
        compare(good, lost, tmp_path / 'out')
    short = tmp_path / 'short.tif'
    noise = np.random.default_rng(0).integers(0, 6, (600, 120))
    data = write_map(tmp_path / 'e.tif', noise).read_bytes()
    short.write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match='short.tif .*cut short'):
        compare(good, short, tmp_path / 'out')
    assert not [*tmp_path.glob('out*')]


def test_the_name_of_the_class():
    assert cropland_class(['water', 'Cropland']) == 'Cropland'
    assert cropland_class(CLASSES) == 'farmland'
    assert cropland_class(CLASSES, 'WATER') == 'water'
    with pytest.raises(ValueError, match='called cropland or farmland; the'):
        cropland_class(['water'])


def test_degrees_are_weighed_by_row(tmp_path):
    step = 0.01
    grid = rasterio.Affine(step, 0, 110, 0, -step, 60)
    before = np.full((1000, 20), 2)
    after = before.copy()
    after[:10], after[-10:] = 1, 5
    change = compare(
        write_map(tmp_path / 'a.tif', before, transform=grid, crs='EPSG:4326'),
        write_map(tmp_path / 'b.tif', after, transform=grid, crs='EPSG:4326'),
        tmp_path / 'out',
    )
    north, south = change.hectares[2, 1], change.hectares[2, 5]
    ratio = np.cos(np.radians(59.95)) / np.cos(np.radians(50.05))
    assert north / south == pytest.approx(ratio, rel=5e-3)


def test_progress_hears_of_every_row_twice(tmp_path):
    values = np.full((1100, 4), 2)
    paths = [write_map(tmp_path / f'{n}.tif', values) for n in 'ab']
    heard = []
    compare(
        *paths,
        tmp_path / 'out',
        progress=lambda rows, total: heard.append((rows, total)),
    )
    assert len(heard) > 4
    assert sum(rows for rows, _ in heard) == 2 * 1100
    assert {total for _, total in heard} == {2 * 1100}
