"""Cropland lost and gained, against counts by hand."""

import csv
from xml.etree import ElementTree

import fiona
import numpy as np
import pytest
import rasterio
from rasterio import warp
from rasterio.crs import CRS

from mmfdconv.commands import main
from mmfdconv.cropland.change import KINDS, compare, format_change
from mmfdconv.cropland.polygon_files import PolygonOptions
from mmfdconv.cropland.predictor import MAX_CLASSES
from mmfdconv.cropland.raster import MapReader, RowWriter

from .helpers import CLASSES, PALETTE, PIXEL, UTM

pytestmark = pytest.mark.core


class Grid:
    """What a writer of maps wants to know."""

    def __init__(self, values, transform=UTM, crs='EPSG:32650'):
        self.height, self.width = values.shape
        self.transform, self.crs = transform, CRS.from_string(crs)


def write_map(path, values, classes=CLASSES, palette=PALETTE, **grid):
    values = values.astype(np.uint8)
    palette = palette[: len(classes)]
    with RowWriter(str(path), Grid(values, **grid), classes, palette) as file:
        file.write(0, values)
    return path


def kinds_in(table):
    """What became of the cropland, by class before and after."""
    with open(table, newline='') as file:
        return {
            (row['before'], row['after']): row['cropland']
            for row in csv.DictReader(file)
        }


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
    change = compare(
        *maps, tmp_path / 'out' / 'a', options=PolygonOptions(min_area=0.1)
    )
    before, after = years
    known = (before != 255) & (after != 255)
    expected = np.zeros((6, 6))
    np.add.at(expected, (before[known], after[known]), PIXEL)
    np.testing.assert_allclose(change.hectares, expected, rtol=1e-6)
    assert change.before_classes == change.after_classes == [*CLASSES]
    assert change.cropland == (2, 2)
    assert change.notes == ()
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
        assert file.tags(ns='IMAGE_STRUCTURE')['LAYOUT'] == 'COG'
        assert file.overviews(1) == [2]
    beside = ElementTree.parse(f'{change.files["map"]}.aux.xml')
    names = [node.text for node in beside.iter('Category')]
    assert names == [*KINDS]
    style = ElementTree.parse(change.files['map'].with_suffix('.qml'))
    entries = [node.attrib for node in style.iter('paletteEntry')]
    assert [entry['label'] for entry in entries] == [*KINDS]
    assert (entries[2]['value'], entries[2]['color']) == ('2', '#d72828')
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
    assert rows == [('gained', 0.3203), ('lost', 0.9608)]
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
        ('farmland', 'farmland'): ('kept', round(35299 * PIXEL, 4)),
        ('farmland', 'built-up'): ('lost', round(500 * PIXEL, 4)),
        ('farmland', 'water'): ('lost', round(101 * PIXEL, 4)),
        ('forest', 'farmland'): ('gained', round(200 * PIXEL, 4)),
        ('forest', 'forest'): ('', round(34800 * PIXEL, 4)),
    }
    text = format_change(change)
    lines = [line.split() for line in text.splitlines()]
    assert ['farmland', 'before', '57.49', 'ha'] in lines
    assert ['farmland', 'after', '56.84', 'ha'] in lines
    assert lines[5:7] == [
        ['to', 'built-up', '0.80', 'ha'],
        ['to', 'water', '0.16', 'ha'],
    ]
    assert lines[-1] == ['from', 'forest', '0.32', 'ha']
    assert change.files['quicklook'].read_bytes()[:4] == b'\x89PNG'
    assert len([*(tmp_path / 'out').iterdir()]) == 6  # with the names, twice


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
    assert change.after_classes == [*names]
    to_ice = change.hectares[CLASSES.index('farmland'), 2]
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
    names = dict(enumerate(CLASSES))
    change = compare(*paths, tmp_path / 'out', classes=names)
    assert change.kinds()['cropland lost'] == pytest.approx(601 * PIXEL)
    with pytest.raises(ValueError, match='no class name for the value 3'):
        compare(*paths, tmp_path / 'more', classes={1: 'a', 2: 'cropland'})


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
        compare(good, good, tmp_path / 'out', cropland=(None, 'rice'))
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
    with rasterio.open(lost, 'r+', IGNORE_COG_LAYOUT_BREAK=True) as file:
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


def test_cropland_has_another_name_in_each_map(tmp_path):
    """GID's farmland against Hi-CNA's cropland; case does not matter."""
    before = np.array([[2, 2, 3], [2, 3, 3]])
    after = np.array([[1, 1, 1], [0, 0, 0]])
    for i, name in enumerate(('cropland', 'Farmland', 'CROPLAND')):
        change = compare(
            write_map(tmp_path / 'a.tif', before),
            write_map(tmp_path / f'{i}.tif', after, ('Forest', name)),
            tmp_path / 'out',
        )
        found = np.array([*change.kinds().values()]) / PIXEL
        np.testing.assert_allclose(found, [2, 2, 1, 1], rtol=1e-6)
        assert change.after_classes[0] == 'forest'  # as in the other map
    text = format_change(change)
    assert 'farmland before' in text and 'CROPLAND after' in text
    rows = kinds_in(change.files['table'])
    assert rows == {
        ('farmland', 'CROPLAND'): 'kept',
        ('farmland', 'forest'): 'lost',
        ('forest', 'CROPLAND'): 'gained',
        ('forest', 'forest'): '',
    }


def test_values_of_a_public_map(tmp_path):
    """Cropland is 40 there, two values are trees, and no name is carried."""
    before = write_map(tmp_path / 'a.tif', np.array([[2, 2, 3, 3]]))
    after = tmp_path / 'b.tif'
    profile = dict(driver='GTiff', width=4, height=1, count=1, dtype='uint8')
    with rasterio.open(
        after, 'w', nodata=0, crs='EPSG:32650', transform=UTM, **profile
    ) as file:
        file.write(np.array([[[40, 111, 40, 112]]], np.uint8))
    names = {40: 'cropland', 111: 'trees', 112: 'trees'}
    for given in dict(classes=names), dict(overrides=(None, names)):
        change = compare(before, after, tmp_path / 'out', **given)
        assert change.after_classes == ['cropland', 'trees']
        found = change.hectares[2:4] / PIXEL
        np.testing.assert_allclose(found, [[1, 1], [1, 1]], rtol=1e-6)
    with pytest.raises(ValueError, match="0 is declared .* class 'water'"):
        compare(before, after, tmp_path / 'out', classes={0: 'water', **names})
    # What the earlier map carries gives way to names given for it alone.
    swapped = {2: 'trees', 3: 'cropland'}
    change = compare(
        before, after, tmp_path / 'out', overrides=(swapped, names)
    )
    assert change.before_classes == ['trees', 'cropland']


FLIPS = {
    'south up': (np.s_[::-1], np.s_[:]),
    'to the west': (np.s_[:], np.s_[::-1]),
    'both': (np.s_[::-1], np.s_[::-1]),
}


def flipped(transform, shape, flip):
    """The transform of a map whose rows or columns run the other way."""
    down, along = (s.step == -1 for s in FLIPS[flip])
    t = transform
    if down:
        t = t * rasterio.Affine(1, 0, 0, 0, -1, shape[0])
    if along:
        t = t * rasterio.Affine(-1, 0, shape[1], 0, 1, 0)
    return t


@pytest.mark.parametrize(
    ('flip', 'which'),
    [
        ('south up', (0,)),
        ('south up', (1,)),
        ('to the west', (0,)),
        ('to the west', (1,)),
        ('both', (0, 1)),
    ],
)
def test_rows_and_columns_may_run_either_way(years, tmp_path, flip, which):
    expected = compare(
        *[write_map(tmp_path / f'{i}.tif', y) for i, y in enumerate(years)],
        tmp_path / 'plain',
    )
    other = flipped(UTM, years[0].shape, flip)
    maps = [
        write_map(tmp_path / f'{i}.tif', year[FLIPS[flip]], transform=other)
        if i in which
        else tmp_path / f'{i}.tif'
        for i, year in enumerate(years)
    ]
    change = compare(*maps, tmp_path / 'flipped')
    np.testing.assert_allclose(change.hectares, expected.hectares, rtol=1e-9)
    assert change.polygons == expected.polygons
    with rasterio.open(expected.files['map']) as file:
        kinds = file.read(1)
    with rasterio.open(change.files['map']) as file:
        found = file.read(1)
    back = FLIPS[flip] if 0 in which else np.s_[:]
    np.testing.assert_array_equal(found, kinds[back])
    # The picture shows north above and east to the right all the same.
    pictures = [c.files['quicklook'].read_bytes() for c in (change, expected)]
    assert pictures[0] == pictures[1]


def test_a_turned_grid(years, tmp_path):
    turned = rasterio.Affine.translation(UTM.c, UTM.f)
    turned = turned * rasterio.Affine.rotation(33) * rasterio.Affine.scale(4)
    change = compare(
        *[
            write_map(tmp_path / f'{i}.tif', year, transform=turned)
            for i, year in enumerate(years)
        ],
        tmp_path / 'out',
    )
    assert change.kinds()['cropland lost'] == pytest.approx(
        601 * PIXEL, rel=1e-5
    )


@pytest.mark.parametrize('left', [(179.9, -180.1), (-180.1, 179.9)])
def test_across_180_degrees(tmp_path, left):
    """One map says 180.1, the other -179.9."""
    values = np.full((40, 100), 3)
    values[:, 30:70] = 2
    maps = [
        write_map(
            tmp_path / f'{i}.tif',
            values,
            transform=rasterio.Affine(2e-3, 0, west, 0, -2e-3, 10),
            crs='EPSG:4326',
        )
        for i, west in enumerate(left)
    ]
    change = compare(*maps, tmp_path / 'out')
    kinds = change.kinds()
    assert kinds['cropland lost'] == kinds['cropland gained'] == 0
    assert kinds['cropland kept'] == pytest.approx(
        1600 / 4000 * change.hectares.sum(), rel=1e-5
    )
    with rasterio.open(change.files['map']) as file:
        assert (file.read(1) != 255).all()


@pytest.mark.parametrize('crs', ['EPSG:32660', 'EPSG:4269', 'EPSG:4326'])
def test_a_world_map_under_a_map_across_180_degrees(tmp_path, crs):
    world = np.full((36, 72), 3)
    world[:, :36] = 2  # to the west of Greenwich, and to the east of 180
    if crs == 'EPSG:32660':
        grid = rasterio.Affine(5000, 0, 775000, 0, -5000, 500000)
    else:
        grid = rasterio.Affine(0.05, 0, 179, 0, -0.05, 4)
    change = compare(
        write_map(
            tmp_path / 'a.tif', np.full((40, 40), 2), transform=grid, crs=crs
        ),
        write_map(
            tmp_path / 'b.tif',
            world,
            transform=rasterio.Affine(5, 0, -180, 0, -5, 90),
            crs='EPSG:4326',
        ),
        tmp_path / 'out',
    )
    with rasterio.open(change.files['map']) as file:
        kinds = file.read(1)
    assert set(np.unique(kinds)) == {1, 2}
    assert (kinds[:, -10:] == 1).all() and (kinds[:, :10] == 2).all()


def test_web_mercator_is_measured_on_the_ground(years, tmp_path):
    grid = rasterio.Affine(10, 0, 12e6, 0, -10, 4865942.28 + 3000)
    change = compare(
        *[
            write_map(
                tmp_path / f'{i}.tif', year, transform=grid, crs='EPSG:3857'
            )
            for i, year in enumerate(years)
        ],
        tmp_path / 'out',
    )
    total = (600 * 120 - 50 * 20 - 100) * 0.01
    assert change.hectares.sum() == pytest.approx(total / 1.7061, rel=1e-3)
    with fiona.open(change.files['polygons']) as file:
        lost = [f.properties['hectares'] for f in file][-1]
    assert lost == pytest.approx(6 / 1.7061, rel=1e-3)
    assert 'areas look 1.71 times as large' in change.notes[0]


def finer(values, n=4):
    """The grid of :data:`UTM` in n x n pixels for each of its own."""
    return dict(values=values, transform=UTM * rasterio.Affine.scale(1 / n))


PATTERNS = {
    'stripe of a quarter': lambda y, x: (x % 4 == 1) + 0 * y,
    'board': lambda y, x: (x // 2 + y // 2) % 2 == 0,
    'blobs': lambda y, x: np.sin(x / 3.1) + np.sin(y / 4.3) + 0.3 > 1,
}


@pytest.mark.parametrize('name', PATTERNS)
def test_a_later_map_of_larger_pixels(tmp_path, name):
    """Pixels of 1 m under some of 4 m: areas are those of either map."""
    y, x = np.mgrid[:240, :200]
    small = np.where(PATTERNS[name](y, x), 2, 3)
    large = np.full((60, 50), 3)
    large[:, :25] = 2
    change = compare(
        write_map(tmp_path / 'b.tif', **finer(small)),
        write_map(tmp_path / 'a.tif', large),
        tmp_path / 'out',
    )
    left, all_of_it = (small[:, :100] == 2).sum(), (small == 2).sum()
    expected = np.array([left, all_of_it - left]) * PIXEL / 16
    np.testing.assert_allclose(change.hectares[2, 2:4], expected, rtol=1e-6)
    assert 'a.tif is 4.0 times as wide as one of' in change.notes[0]
    assert 'the large one that contains its centre' in change.notes[0]


def test_a_later_map_of_smaller_pixels(tmp_path):
    """The most frequent class of sixteen, against a count by hand."""
    rng = np.random.default_rng(0)
    large = rng.integers(1, 4, (60, 50))
    small = rng.integers(0, 5, (240, 200))
    change = compare(
        write_map(tmp_path / 'a.tif', large),
        write_map(tmp_path / 'b.tif', **finer(small)),
        tmp_path / 'out',
    )
    expected = np.zeros((6, 6))
    for (row, column), old in np.ndenumerate(large):
        part = small[4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
        votes = np.bincount(part.ravel(), minlength=6).astype(float)
        votes[2] += 0.5 if old == 2 else -0.5
        expected[old, votes.argmax()] += PIXEL
    np.testing.assert_allclose(change.hectares, expected, rtol=1e-6)
    assert change.notes[0].endswith('most frequent class of the later map')
    with MapReader(change.files['map']) as grid:
        found = np.bincount(grid.read(0, 60).ravel(), minlength=4)
    np.testing.assert_allclose(
        found * PIXEL, [*change.kinds().values()], rtol=1e-6
    )


def test_a_pixel_becomes_what_most_of_it_is(tmp_path):
    """Half is no change; and no data where most of it has none."""
    before = np.array([[2, 2, 2, 3, 3, 3, 2, 2]])
    share = [16, 9, 7, 9, 8, 7, 8, 2]  # sixteenths of cropland
    after = np.full((16, 8), 3)
    for column, crop in enumerate(share):
        after[:crop, column] = 2
    after[8:, 7] = 255
    after = after.T.reshape(8, 4, 4).transpose(1, 0, 2).reshape(4, 32)
    change = compare(
        write_map(tmp_path / 'a.tif', before),
        write_map(tmp_path / 'b.tif', **finer(after)),
        tmp_path / 'out',
    )
    with rasterio.open(change.files['map']) as file:
        assert file.read(1).tolist() == [[1, 1, 2, 3, 0, 0, 1, 2]]
    kinds = np.array([*change.kinds().values()])
    np.testing.assert_allclose(kinds / PIXEL, [2, 3, 2, 1], rtol=1e-6)
    after[after[:, :] == 3] = 255
    change = compare(
        write_map(tmp_path / 'a.tif', before),
        write_map(tmp_path / 'b.tif', **finer(after)),
        tmp_path / 'out',
    )
    with rasterio.open(change.files['map']) as file:
        found = file.read(1).tolist()
    assert found == [[1, 1, 255, 3, 3, 255, 1, 255]]
    assert change.hectares.sum() == pytest.approx(5 * PIXEL, rel=1e-6)


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


def test_progress_hears_of_every_row_twice(tmp_path, monkeypatch):
    monkeypatch.setattr('mmfdconv.cropland.change.PIXELS', 4 * 512)
    monkeypatch.setattr('mmfdconv.cropland.vector.PIECE', 4 * 512)
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


def test_what_a_map_is_unsure_of_is_not_lost(tmp_path):
    names = ('farmland', 'other', 'unsure')
    before = np.array([[0, 0, 0, 1, 1, 2, 2, 255]])
    after = np.array([[0, 1, 2, 0, 2, 0, 1, 2]])
    maps = [
        write_map(tmp_path / 'a.tif', before, classes=names),
        write_map(tmp_path / 'b.tif', after, classes=names),
    ]
    change = compare(
        *maps, tmp_path / 'out', options=PolygonOptions(min_area=0)
    )
    with MapReader(change.files['map']) as grid:
        assert grid.read(0, 1).tolist() == [[1, 2, 4, 3, 4, 4, 4, 255]]
        assert [*grid.classes.values()] == [*KINDS, 'unsure']
    expected = dict(zip((*KINDS, 'unsure'), np.array([0, 1, 1, 1, 4]) * PIXEL))
    assert change.kinds() == pytest.approx(expected, rel=1e-6)
    rows = [line.split() for line in format_change(change).splitlines()]
    assert ['unsure', 'in', 'either', 'map', '0.01', 'ha'] in rows
    assert not any(row[:2] == ['to', 'unsure'] for row in rows)
    kinds = kinds_in(change.files['table'])
    assert kinds['farmland', 'unsure'] == kinds['unsure', 'other'] == 'unsure'


def test_small_pixels_that_are_unsure_have_no_say(tmp_path):
    names = ('farmland', 'other', 'unsure')
    before = np.array([[0, 0]])
    after = np.array([[0, 2, 0, 2], [1, 0, 2, 2]])
    maps = [
        write_map(tmp_path / 'a.tif', before, classes=names),
        write_map(
            tmp_path / 'b.tif',
            after,
            classes=names,
            transform=UTM * rasterio.Affine.scale(0.5),
        ),
    ]
    change = compare(
        *maps, tmp_path / 'out', options=PolygonOptions(min_area=0)
    )
    with MapReader(change.files['map']) as grid:
        assert grid.read(0, 1).tolist() == [[1, 4]]


def write_confidence(path, values, transform=UTM):
    """Percent beside a map, as map_scene writes it."""
    values = np.array(values, np.uint8)
    grid = Grid(values, transform)
    with RowWriter(str(path), grid, ('confidence',)) as file:
        file.write(0, values)
    return path


def read_band(path):
    with rasterio.open(path) as file:
        return file.read(1).tolist()


def test_confidence_is_the_smaller_one_of_both_maps(tmp_path, capsys):
    """Below the limit, or without a value, a pixel is unsure in all files."""
    before = np.array([[2, 2, 2, 3, 3, 3, 255, 2]])
    after = np.array([[2, 3, 3, 2, 2, 3, 2, 1]])
    maps = [
        write_map(tmp_path / f'{name}_classes.tif', values)
        for name, values in (('a', before), ('b', after))
    ]
    first = [[90, 59, 60, 80, 70, 99, 255, 255]]
    second = [[61, 95, 60, 40, 77, 62, 99, 80]]
    out = tmp_path / 'out'
    argv = [*map(str, maps), '--out-dir', str(out), '--min-area', '0']
    write_confidence(tmp_path / 'a_confidence.tif', first)
    main('change', argv, 'change.py')  # of one map it says nothing
    assert not (out / 'cropland_change_confidence.tif').exists()
    with pytest.raises(SystemExit, match='b_classes.tif has no b_confidence'):
        main('change', [*argv, '--min-confidence', '60'], 'change.py')
    write_confidence(tmp_path / 'b_confidence.tif', second)
    main('change', argv, 'change.py')
    smaller = [[61, 59, 60, 40, 70, 62, 255, 255]]
    assert read_band(out / 'cropland_change_confidence.tif') == smaller
    assert read_band(out / 'cropland_change.tif') == [
        [1, 2, 2, 3, 3, 0, 255, 2]
    ]
    main('change', [*argv, '--min-confidence', '60'], 'change.py')
    assert read_band(out / 'cropland_change_confidence.tif') == smaller
    found = read_band(out / 'cropland_change.tif')
    assert found == [[1, 4, 2, 4, 3, 0, 255, 4]]
    with fiona.open(out / 'cropland_change.gpkg') as file:
        assert sorted(f.properties['class'] for f in file) == [
            'gained',
            'lost',
        ]
    rows = kinds_in(out / 'cropland_change.csv')
    assert rows == {
        ('farmland', 'farmland'): 'kept',
        ('farmland', 'forest'): 'lost',
        ('forest', 'farmland'): 'gained',
        ('forest', 'forest'): '',
        ('unsure', 'forest'): 'unsure',
        ('forest', 'unsure'): 'unsure',
        ('unsure', 'built-up'): 'unsure',
    }
    said = capsys.readouterr().out
    assert f'confidence is read from {tmp_path / "a_confidence.tif"}' in said
    assert 'warning' not in said
    (tmp_path / 'b_confidence.tif').unlink()
    for rest in ('.parquet', '_zones.csv'):
        (out / f'cropland_change{rest}').touch()
    main('change', argv, 'change.py')
    said = capsys.readouterr().out
    assert [line for line in said.splitlines() if 'warning' in line] == [
        f'warning: {out}/cropland_change{rest} is of an earlier run, and not '
        'of this map'
        for rest in ('.parquet', '_confidence.tif', '_zones.csv')
    ]


def test_confidence_of_a_finer_map(tmp_path):
    """In a pixel it is the mean; parts that are unsure have no say."""
    maps = [
        write_map(tmp_path / 'a.tif', np.array([[2, 2]])),
        write_map(
            tmp_path / 'b.tif', **finer(np.array([[3, 3, 3, 2]] * 2), 2)
        ),
    ]
    fine = UTM * rasterio.Affine.scale(0.5)
    percent = [[50, 90, 30, 90], [50, 91, 40, 255]]
    confidence = [
        write_confidence(tmp_path / 'sure.tif', [[95, 60]]),
        write_confidence(tmp_path / 'fine.tif', percent, fine),
    ]
    change = compare(
        *maps, tmp_path / 'out', confidence=confidence, min_confidence=60
    )
    assert read_band(change.files['confidence']) == [[70, 53]]
    # Two of four parts lost and two unsure; then three of four unsure.
    assert read_band(change.files['map']) == [[2, 4]]
    pixels = np.array([0, 0, 1, 0, 1])
    np.testing.assert_allclose(
        [*change.kinds().values()], pixels * PIXEL, rtol=1e-6
    )


def test_wrong_confidence_is_told(tmp_path):
    path = write_map(tmp_path / 'a.tif', np.array([[2, 3]]))
    good = write_confidence(tmp_path / 'good.tif', [[90, 80]])
    shifted = UTM * rasterio.Affine.translation(1, 0)
    moved = write_confidence(tmp_path / 'moved.tif', [[90, 80]], shifted)
    bytes_ = write_confidence(tmp_path / 'bytes.tif', [[90, 200]])

    def run(later, **options):
        compare(
            path, path, tmp_path / 'out', confidence=(good, later), **options
        )

    with pytest.raises(ValueError, match='moved.tif is not .* another grid'):
        run(moved)
    with pytest.raises(ValueError, match='bytes.tif is no .* the value 200'):
        run(bytes_)
    with pytest.raises(ValueError, match='--min-confidence: .* but is 101'):
        run(good, min_confidence=101)
    with pytest.raises(ValueError, match='--min-confidence: needs'):
        compare(path, path, tmp_path / 'out', min_confidence=60)
    assert not [*tmp_path.glob('out*')]


def test_a_minimum_mapping_unit_for_all(tmp_path, monkeypatch):
    """What is smaller becomes what is around it, in every file."""
    monkeypatch.setattr('mmfdconv.cropland.change.PIXELS', 7 * 40)
    before = np.full((40, 40), 3)
    before[:, :20] = 2
    after = before.copy()
    after[5:15, 5:15] = 1  # lost, of two classes, both too small alone
    after[5:15, 10:15] = 5
    after[9, 9] = 2  # a hole
    after[30, 5] = 1  # a speck of loss
    after[30, 30] = 2  # and of gain
    after[35:, 35:] = 255
    maps = [
        write_map(tmp_path / f'{i}.tif', year)
        for i, year in enumerate((before, after))
    ]
    change = compare(
        *maps, tmp_path / 'out', options=PolygonOptions(59.5 * PIXEL)
    )
    expected = np.full((40, 40), 0)
    expected[:, :20] = 1
    expected[5:15, 5:15] = 2
    expected[35:, 35:] = 255
    assert read_band(change.files['map']) == expected.tolist()
    pixels = np.zeros((6, 6))
    pixels[2, 1] = pixels[2, 5] = 50
    pixels[2, 2], pixels[3, 3] = 800 - 100, 800 - 25
    np.testing.assert_allclose(change.hectares / PIXEL, pixels, rtol=1e-6)
    with fiona.open(change.files['polygons']) as file:
        (lost,) = [feature.properties for feature in file]
    assert lost['class'] == 'lost'
    assert lost['hectares'] == pytest.approx(100 * PIXEL, rel=1e-6)
    assert change.polygons == (1, 0)
    with pytest.raises(ValueError, match='--mmu: .* but is -1'):
        compare(*maps, tmp_path / 'out', options=PolygonOptions(-1))


def test_the_command_line(tmp_path, capsys):
    """Names for one map, and the class of either."""
    before = np.array([[0, 0, 1, 1]])
    after = np.array([[4, 4, 4, 5]])
    names = dict(classes=('rice', 'trees'))
    maps = [
        write_map(tmp_path / 'a.tif', before, **names),
        write_map(tmp_path / 'b.tif', after, **names),
    ]
    argv = [*map(str, maps), '--out-dir', str(tmp_path / 'out')]
    argv += ['--min-area', '0.001', '--before-class', 'RICE']
    argv += ['--after-classes', '4=crops', '5=trees']
    main('change', [*argv, '--after-class', 'crops'], 'change.py')
    lines = capsys.readouterr().out.splitlines()
    for said in ('rice before', 'crops after', '1 polygons lost or gained'):
        assert any(line.startswith(said) for line in lines), said
    assert any(line.startswith('these hectares count') for line in lines)
    made = tmp_path / 'out' / 'cropland_change.tif'
    assert f'  sample.py {made} --scenes BEFORE AFTER' in lines
    assert f'  estimate.py {made} LABELS.csv' in lines
    with pytest.raises(SystemExit, match='b.tif: no class is called cropland'):
        main('change', argv, 'change.py')


def test_a_map_of_all_classes_that_a_model_may_have_is_read(tmp_path):
    names = [f'class {i}' for i in range(MAX_CLASSES)]
    path = write_map(tmp_path / 'a.tif', np.zeros((2, 2)), names)
    with MapReader(path) as grid:
        assert grid.names == names
    path = write_map(tmp_path / 'b.tif', np.zeros((2, 2)), [*names, 'more'])
    with pytest.raises(ValueError, match='255 classes are too many'):
        MapReader(path)
