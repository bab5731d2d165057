"""The sample: its strata, its size, its places, and what labelling needs."""

import csv
import json
import re

import cv2
import fiona
import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS

from mmfdconv.commands import main
from mmfdconv.cropland.area import PixelAreas, transform_points
from mmfdconv.cropland.assess import assess
from mmfdconv.cropland.change import KINDS
from mmfdconv.cropland.change import PALETTE as COLOURS
from mmfdconv.cropland.raster import MapReader
from mmfdconv.cropland.sample import draw_sample
from mmfdconv.cropland.sheet import ChipReader
from mmfdconv.cropland.strata import Strata, allocate, draw, sample_size

from .helpers import PIXEL, UTM, noise, write_scene
from .test_change import write_map

pytestmark = pytest.mark.core


@pytest.fixture
def values():
    """A change map: half kept, half none, a block lost, no data at a side."""
    values = np.full((200, 300), 1)
    values[:, 150:] = 0
    values[80:100, 140:160] = 2
    values[:, 290:] = 255
    return values


@pytest.fixture
def change(values, tmp_path):
    return write_map(tmp_path / 'a_change.tif', values, KINDS, palette=COLOURS)


def test_size_by_cochrans_formula():
    # Olofsson et al. 2014, section 5.1.1: the shares of 10 million pixels,
    # and the accuracies expected there.
    hectares = np.array([200_000, 150_000, 3_200_000, 6_450_000])
    expected = np.array([0.7, 0.6, 0.9, 0.95])
    assert sample_size(hectares, expected, 0.01) == 641
    for error, shares, said in (
        (0, expected, '--standard-error'),
        (0.01, expected + 0.1, '--expected'),
    ):
        with pytest.raises(ValueError, match=f'{said}.* between 0 and 1'):
            sample_size(hectares, shares, error)


def test_rare_strata_get_their_least():
    hectares = np.array([1, 2, 32, 65, 0])
    pixels = np.array([30, 1000, 1000, 1000, 0])
    # 50 of each rare one, of which one has 30 pixels; 541 by area.
    expected = [30, 50, np.ceil(541 * 32 / 97), np.ceil(541 * 65 / 97), 0]
    assert allocate(641, hectares, pixels, 50).tolist() == expected
    assert allocate(10, hectares, pixels, 20).tolist() == [20] * 4 + [0]
    with pytest.raises(ValueError, match='--min-points.*at least 2'):
        allocate(10, hectares, pixels, 1)


def test_a_stratum_beside_change(change, values, monkeypatch):
    near = np.zeros(values.shape, bool)
    near[77:103, 137:163] = True
    expected = values.copy()
    expected[near & (values != 2)] = 4
    with MapReader(change) as grid:
        strata = Strata(grid)
        assert strata.names == [*KINDS, 'beside change']
        for rows in (200, 7):  # in one piece, and in many
            parts = [
                strata.read(top, min(top + rows, 200))
                for top in range(0, 200, rows)
            ]
            np.testing.assert_array_equal(np.concatenate(parts), expected)
        assert Strata(grid, 0).names == [*KINDS]
        with pytest.raises(ValueError, match='--buffer'):
            Strata(grid, -1)


def test_the_draw_does_not_depend_on_pieces(change, monkeypatch):
    with MapReader(change) as grid:
        strata, areas = Strata(grid), PixelAreas(grid)
        points = np.array([30, 40, 20, 0, 10])
        first = draw(strata, areas, points, 3)
        assert np.bincount(first.stratum).tolist() == [30, 40, 20, 0, 10]
        found = strata.read(0, 200)
        column, row = first.pixels.T
        np.testing.assert_array_equal(found[row, column], first.stratum)
        assert len(np.unique(first.pixels, axis=0)) == 100
        monkeypatch.setattr('mmfdconv.cropland.raster.PIXELS', 300 * 7)
        again = draw(strata, areas, points, 3)
        np.testing.assert_array_equal(again.pixels, first.pixels)
        other = draw(strata, areas, points, 4)
        assert (other.pixels != first.pixels).any()


def test_places_are_even_on_the_ground(tmp_path):
    # In degrees a pixel at 70 degrees north is a third of one at the equator.
    transform = Affine(0.01, 0, 0, 0, -0.14, 70)
    path = write_map(
        tmp_path / 'a.tif',
        np.zeros((500, 40)),
        ('cropland',),
        transform=transform,
        crs='EPSG:4326',
    )
    with MapReader(path) as grid:
        areas = PixelAreas(grid)
        drawn = draw(Strata(grid), areas, np.array([2000]), 0)
        size = areas.pixels(0, 500)
    north = size[:250].sum() / size.sum()
    assert north < 0.42
    found = (drawn.pixels[:, 1] < 250).mean()
    assert found == pytest.approx(north, abs=3 * np.sqrt(0.25 / 2000))


def test_what_labelling_needs(change, values, tmp_path, capsys):
    scenes = [
        write_scene(tmp_path / f'{year}.tif', noise(3, 200, 300, seed=year))
        for year in (2016, 2020)
    ]
    out = tmp_path / 'out'
    argv = [str(change), '--out-dir', str(out), '--min-points', '5']
    argv += ['--points', 'cropland kept=7', 'no cropland=6']
    main('sample', [*argv, '--scenes', *map(str, scenes)])
    said = capsys.readouterr().out
    assert re.search(r'cropland kept +\| +\d+\.\d \| +0\.9 \| +7 \|', said)
    assert re.search(r'A standard error of 0.01 takes \d+ points', said)
    with open(out / 'a_change_points.csv', newline='') as file:
        rows = [*csv.DictReader(file)]
    counts = {row['stratum']: 0 for row in rows}
    for row in rows:
        counts[row['stratum']] += 1
        column, line = ~UTM * (float(row['x']), float(row['y']))
        kind = values[int(line), int(column)]
        if row['stratum'] != 'beside change':
            assert KINDS[kind] == row['stratum']
        assert row['label'] == ''
        assert 116 < float(row['longitude']) < 118
    assert counts['cropland kept'] == 7
    assert counts['no cropland'] == 6
    sizes = {row['stratum']: float(row['stratum_hectares']) for row in rows}
    assert sum(sizes.values()) == pytest.approx(200 * 290 * PIXEL, rel=1e-5)
    with fiona.open(out / 'a_change_points.gpkg') as file:
        assert CRS.from_wkt(file.crs_wkt) == CRS.from_epsg(32650)
        assert [f.properties['point'] for f in file] == [
            int(row['point']) for row in rows
        ]
    page = (out / 'a_change_sheet.html').read_text()
    data = json.loads(re.search(r'"data">(.*)</script>', page)[1])
    assert data['classes'] == [*KINDS]
    assert len(data['pictures']) == len(rows)
    for pictures in data['pictures']:
        for date in ('before', 'after'):
            assert cv2.imread(str(out / pictures[date])).shape == (
                320,
                640,
                3,
            )
    shown = page[: page.index('<script')]
    assert 'cropland' not in shown.replace('a_change', '')

    # The labels that somebody gave are not replaced.
    table = out / 'a_change_points.csv'
    rows[0]['label'] = KINDS[1]
    with table.open('w', newline='') as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    with pytest.raises(SystemExit) as stopped:
        main('sample', argv)
    assert 'points.csv holds 1 labels' in str(stopped.value.code)
    table.unlink()
    with fiona.open(out / 'a_change_points.gpkg') as file:
        point = next(iter(file))
    row = {**point.properties, 'label': KINDS[1]}
    with fiona.open(out / 'a_change_points.gpkg', 'a') as file:
        file.write({'geometry': point.geometry, 'properties': row})
    with pytest.raises(SystemExit) as stopped:
        main('sample', argv)
    assert 'points.gpkg holds 1 labels' in str(stopped.value.code)


@pytest.mark.parametrize(
    ('option', 'said'),
    [
        (['--points', 'water=5'], "--points: 'water' is no stratum of the"),
        (['--points', 'cropland kept'], '--points: .* is not like'),
        (['--points', 'cropland kept=1'], 'needs between 2 and 29'),
        (['--points', 'cropland gained=3'], 'has no pixel of cropland gained'),
        (['--expected', 'cropland kept=2'], '--expected: .* 0 and 1'),
        (['--scenes', 'a', 'b', 'c'], '--scenes: one or two, not 3'),
    ],
    ids=lambda value: ''.join(value)[:30],
)
def test_wrong_options(option, said, change, tmp_path):
    with pytest.raises(SystemExit) as stopped:
        main('sample', [str(change), '--out-dir', str(tmp_path), *option])
    assert re.search(said, str(stopped.value.code))
    assert not (tmp_path / 'a_change_points.csv').exists()


def test_pictures_show_the_place(tmp_path):
    scene = np.full((3, 400, 400), 100, np.uint8)
    scene[:, 200, 300] = 250, 10, 10
    scene[:, 202, 303] = 10, 250, 10
    path = write_scene(tmp_path / 'a.tif', scene)
    places = transform_points(UTM, np.array([[300.5, 200.5], [2.5, 2.5]]))
    with ChipReader(str(path)) as reader:
        middle, corner = reader.read(places, CRS.from_epsg(32650))
        nowhere = next(reader.read(places[:1] + 1e5, CRS.from_epsg(32650)))
    assert middle.shape == (320, 640, 3)
    # 8 pixels of the picture for one of the scene; the middle one is framed.
    assert (middle[160:168, 160:168] == [255, 0, 0]).all()
    assert (middle[176:184, 184:192] == [0, 255, 0]).all()
    assert (middle[159, 160:168] == [255, 220, 0]).all()
    assert (corner[:100, :100] == 255).all()  # beside the scene
    assert not (corner[170:, 170:] == 255).all()
    assert (nowhere[:100] == 255).all()


def test_a_map_of_classes(tmp_path):
    values = np.zeros((100, 100))
    values[:40] = 1
    path = write_map(tmp_path / 'a.tif', values, ('other', 'cropland'))
    sample = draw_sample(path, tmp_path / 'a')
    assert [name for name, *_ in sample.strata] == ['other', 'cropland']
    assert sum(points for *_, points in sample.strata) >= 900
    assert set(sample.files) == {'table', 'points'}


def test_a_class_of_one_pixel_is_known_from_it(tmp_path):
    values = np.zeros((100, 100))
    values[:40] = 1
    values[70, 70] = 2
    path = write_map(tmp_path / 'a.tif', values, ('other', 'cropland', 'pond'))
    sample = draw_sample(path, tmp_path / 'a')
    assert sample.strata[2][3] == 1
    with sample.files['table'].open(newline='') as file:
        rows = [*csv.DictReader(file)]
    for row in rows:
        row['label'] = row['stratum']
    with sample.files['table'].open('w', newline='') as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    pond = assess(path, sample.files['table'], tmp_path / 'a').estimate.users
    assert (pond.value[2], pond.margin[2]) == (1, 0)


def test_a_map_without_data(tmp_path):
    path = write_map(tmp_path / 'a.tif', np.full((9, 9), 255), ('cropland',))
    with pytest.raises(ValueError, match=r'a\.tif has no pixel with data'):
        draw_sample(path, tmp_path / 'a')
