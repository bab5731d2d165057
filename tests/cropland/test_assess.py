"""From a map and labels to hectares: what fits, and what is refused."""

import csv
import re

import fiona
import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS

from mmfdconv.commands import main
from mmfdconv.cropland.area import (
    PixelAreas,
    reproject_points,
    transform_points,
)
from mmfdconv.cropland.assess import assess
from mmfdconv.cropland.change import KINDS
from mmfdconv.cropland.change import PALETTE as COLOURS
from mmfdconv.cropland.estimate import estimate_areas
from mmfdconv.cropland.raster import MapReader
from mmfdconv.cropland.tally import write_zones

from .helpers import PIXEL, UTM
from .test_change import write_map

pytestmark = pytest.mark.core

KEPT, LOST = KINDS[1:3]


@pytest.fixture
def change(tmp_path):
    """Kept on the left, lost on the right, a row of no data below."""
    values = np.full((41, 60), 1)
    values[:, 40:] = 2
    values[40] = 255
    return write_map(tmp_path / 'a_change.tif', values, KINDS, palette=COLOURS)


@pytest.fixture
def rows():
    """Ten points in either class; two of the lost ones were kept."""
    pixels = [(x, y) for x in (5, 45) for y in range(10)]
    places = transform_points(UTM, np.array(pixels) + 0.5)
    labels = [KEPT] * 12 + [LOST] * 8
    return [
        {'point': i, 'x': x, 'y': y, 'label': label}
        for i, ((x, y), label) in enumerate(zip(places.tolist(), labels), 1)
    ]


def write_rows(path, rows, delimiter=','):
    with path.open('w', newline='', encoding='utf-8') as file:
        writer = csv.DictWriter(file, rows[0], delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_features(path, kind, features, crs='EPSG:32650'):
    schema = {'geometry': kind, 'properties': {'label': 'str'}}
    with fiona.open(path, 'w', driver='GPKG', crs=crs, schema=schema) as file:
        file.writerecords(
            {
                'geometry': {'type': kind, 'coordinates': where},
                'properties': {'label': label},
            }
            for where, label in features
        )
    return path


@pytest.mark.parametrize('kind', ['x', 'degrees', 'semicolons', 'gpkg'])
def test_points_however_they_are_written(kind, change, rows, tmp_path):
    labels = tmp_path / 'labels.csv'
    places = np.array([[row['x'], row['y']] for row in rows])
    degrees = reproject_points(
        CRS.from_epsg(32650), CRS.from_epsg(4326), places
    )
    if kind == 'gpkg':
        labels = tmp_path / 'labels.gpkg'
        features = [
            (tuple(where), row['label'].upper())  # case does not matter
            for where, row in zip(degrees, rows)
        ]
        write_features(labels, 'Point', features, 'EPSG:4326')
    elif kind == 'degrees':
        rows = [
            {'longitude': lon, 'latitude': lat, 'label': row['label']}
            for (lon, lat), row in zip(degrees, rows)
        ]
        write_rows(labels, rows)
    else:
        write_rows(labels, rows, ';' if kind == 'semicolons' else ',')
    done = assess(change, labels, tmp_path / 'out' / 'a')
    counts = np.zeros((4, 4, 4))
    counts[1, 1, 1], counts[2, 2, 1], counts[2, 2, 2] = 10, 2, 8
    sizes = np.array([0, 1600, 800, 0]) * PIXEL
    expected = estimate_areas(counts, sizes)
    np.testing.assert_array_equal(done.matrix, counts.sum(0))
    np.testing.assert_allclose(done.counted, sizes, rtol=1e-6)
    np.testing.assert_allclose(
        done.estimate.hectares, expected.hectares, rtol=1e-6
    )
    assert done.estimate.hectares.value[2] == pytest.approx(640 * PIXEL)


def test_strata_of_their_own(change, rows, tmp_path):
    # The upper rows are a stratum, across both classes.
    for row, y in zip(rows, [*range(10)] * 2):
        row['stratum'] = 'upper' if y < 4 else 'lower'
        row['stratum_hectares'] = (240 if y < 4 else 2160) * PIXEL
    labels = write_rows(tmp_path / 'labels.csv', rows)
    done = assess(change, labels, tmp_path / 'a')
    assert [(n, round(a / PIXEL), k) for n, a, k in done.strata] == [
        ('upper', 240, 8),
        ('lower', 2160, 12),
    ]
    # Lost are 2 of 8 in the upper one, 6 of 12 in the lower one.
    hectares = (240 * 2 / 8 + 2160 * 6 / 12) * PIXEL
    assert done.estimate.hectares.value[2] == pytest.approx(hectares)


def test_what_is_printed_and_written(change, rows, tmp_path, capsys):
    labels = write_rows(tmp_path / 'labels.csv', rows)
    change.with_suffix('.png').write_bytes(b'picture')
    change.with_suffix('.csv').write_text(
        'before,after,hectares\nfarmland,<water>,1234.5678\n'
    )
    main('estimate', [str(change), str(labels), '--out-dir', str(tmp_path)])
    said = capsys.readouterr().out
    found = re.search(r'cropland lost: ([\d.]+) ± ([\d.]+) ha', said)
    assert float(found[1]) == pytest.approx(640 * PIXEL, abs=0.05)
    # Of the share 0.8 of 800 pixels: 1.96 sqrt(0.8 * 0.2 / 9).
    margin = 800 * PIXEL * 1.96 * np.sqrt(0.16 / 9)
    assert float(found[2]) == pytest.approx(margin, abs=0.05)
    assert re.search(r'cropland lost +\| +0 \| +2 \| +8 \| +0 \|', said)
    with open(tmp_path / 'a_change_estimate.csv', newline='') as file:
        table = {row['class']: row for row in csv.DictReader(file)}
    assert float(table[LOST]['users']) == pytest.approx(0.8)
    assert float(table[LOST]['hectares_margin']) == pytest.approx(
        margin, rel=1e-4
    )
    assert table[KINDS[0]]['producers'] == ''
    page = (tmp_path / 'a_change_report.html').read_text()
    assert f'{found[1]} ± {found[2]} ha' in page
    assert 'data:image/png;base64,cGljdHVyZQ==' in page
    assert '<td>&lt;water&gt;</td><td>1,234.6</td>' in page
    assert 'http' not in page


def change_row(**changes):
    def act(rows):
        rows[2].update(changes)

    return act


@pytest.mark.parametrize(
    ('act', 'said'),
    [
        (change_row(label=''), '1 of 20 have no label: 3; label them'),
        (change_row(label='fortest'), r"'fortest' \(of 3\) are no classes"),
        (change_row(x=0), '1 points lie outside the map: 3;'),
        (
            change_row(y=UTM.f - 4 * 40.5),
            '1 points lie where the map has no data: 3',
        ),
        (change_row(x='west'), "x and y must be numbers.*'west'"),
        (lambda rows: rows.__delitem__(slice(11, None)), 'two labelled'),
        (
            lambda rows: [row.pop('x') for row in rows],
            'columns x and y, or longitude and latitude',
        ),
        (
            lambda rows: [row.update(remark=row.pop('label')) for row in rows],
            "no column 'label'; name another with --label-field",
        ),
        (
            lambda rows: [
                row.update(stratum='all', stratum_hectares=1) for row in rows
            ],
            'the strata have 1.00 hectares and the map 3.84',
        ),
        (
            lambda rows: [
                row.update(stratum='all', stratum_hectares='') for row in rows
            ],
            "point 1 has the stratum 'all' and stratum_hectares ''",
        ),
    ],
    ids=range(10),
)
def test_wrong_points(act, said, change, rows, tmp_path):
    act(rows)
    labels = write_rows(tmp_path / 'labels.csv', rows)
    with pytest.raises(ValueError, match=said):
        assess(change, labels, tmp_path / 'out')
    assert not (tmp_path / 'out_report.html').exists()


def test_points_without_a_label_may_be_left_out(change, rows, tmp_path):
    rows[2]['label'] = ''
    labels = write_rows(tmp_path / 'labels.csv', rows)
    done = assess(change, labels, tmp_path / 'a', drop=True)
    assert done.matrix.sum() == 19
    assert any('1 without a label' in note for note in done.notes)


def box(left, top, right, bottom):
    """A ring around pixels."""
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    corners = np.array([*corners, corners[0]])
    return [[tuple(p) for p in transform_points(UTM, corners).tolist()]]


def test_tables_in_another_encoding_are_named(change, tmp_path):
    labels = tmp_path / 'labels.csv'
    labels.write_bytes('x,y,label\n1,2,Grünland\n'.encode('cp1252'))
    with pytest.raises(ValueError, match=r'labels\.csv is not in UTF-8'):
        assess(change, labels, tmp_path / 'a')


def test_polygons(change, tmp_path):
    fields = [
        (box(0, 0, 10, 5), KEPT),
        (box(10, 0, 20, 5), KEPT),
        (box(35, 10, 45, 20), LOST),  # half and half
        (box(50, 30, 70, 45), LOST),  # beyond the edge and the data
    ]
    labels = write_features(tmp_path / 'labels.gpkg', 'Polygon', fields)
    done = assess(change, labels, tmp_path / 'a')
    matrix = np.zeros((4, 4))
    matrix[1, 1:3], matrix[2, 2] = (100, 50), 150
    np.testing.assert_allclose(done.matrix, matrix * PIXEL, rtol=1e-6)
    lost = (1600 * 50 / 150 + 800) * PIXEL
    assert done.estimate.hectares.value[2] == pytest.approx(lost, rel=1e-6)
    assert any('one observation each' in note for note in done.notes)
    for more, said in (
        ((box(5, 0, 8, 3), LOST), 'polygons 1 and 5 overlap'),
        ((box(90, 0, 95, 3), LOST), 'hold no pixel .* has data of: 5;'),
    ):
        write_features(labels, 'Polygon', [*fields, more])
        with pytest.raises(ValueError, match=said):
            assess(change, labels, tmp_path / 'a')
    write_features(labels, 'Polygon', fields[:2])
    with pytest.raises(ValueError, match='touches .* calls cropland lost'):
        assess(change, labels, tmp_path / 'a')


def test_outlines_that_cross_themselves(change, tmp_path):
    corners = [(0, 20), (10, 29), (10, 20), (0, 29), (0, 20)]
    places = transform_points(UTM, np.array(corners)).tolist()
    fields = [
        ([[tuple(place) for place in places]], KEPT),
        (box(10, 20, 20, 30), KEPT),
        (box(50, 30, 60, 40), LOST),
    ]
    labels = write_features(tmp_path / 'labels.gpkg', 'Polygon', fields)
    done = assess(change, labels, tmp_path / 'a')
    # Half of 10 x 9 pixels are within the two triangles.
    assert done.matrix[1, 1] / PIXEL == pytest.approx(45 + 100, abs=5)


def test_lines_are_no_reference(change, tmp_path):
    lines = [([(0, 0), (1, 1)], KEPT)]
    labels = write_features(tmp_path / 'a.gpkg', 'LineString', lines)
    with pytest.raises(ValueError, match='points or polygons.*LineString'):
        assess(change, labels, tmp_path / 'a')


def hectares_of_zones(folder, path, **zones):
    """What a map has in boxes of degrees: west, south, east, north."""
    names = [
        ([[(w, s), (e, s), (e, n), (w, n), (w, s)]], name)
        for name, (w, s, e, n) in zones.items()
    ]
    write_features(folder / 'zones.gpkg', 'Polygon', names, 'EPSG:4326')
    table = folder / 'zones.csv'
    write_zones(table, folder / 'zones.gpkg', path, 'label')
    found = dict.fromkeys(zones, 0.0)
    with table.open(newline='') as file:
        for row in csv.DictReader(file):
            found[row['zone']] += float(row['hectares'])
    return found


def test_zones_that_reach_around_the_earth(change, tmp_path):
    """UTM folds what is far away; a part of it would lie on the map."""
    zones = dict(here=(20, 20, 140, 50), opposite=(-73, -10, -60, 5))
    found = hectares_of_zones(tmp_path, change, **zones)
    expected = dict(here=2400 * PIXEL, opposite=0)
    assert found == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(
    ('crs', 'size', 'left', 'top'),
    [
        ('EPSG:4326', 0.01, 179.8, -16.3),
        # In the middle of these rows 180 degrees east is between columns.
        ('EPSG:3832', 1000, 3339584.7 - 20_000, -1_840_000),
    ],
)
def test_zones_on_both_sides_of_180_degrees(crs, size, left, top, tmp_path):
    path = write_map(
        tmp_path / 'a.tif',
        np.zeros((10, 40)),
        ('cropland',),
        crs=crs,
        transform=Affine(size, 0, left, 0, -size, top),
    )
    zones = dict(west=(170, -30, 180, 0), east=(-180, -30, -170, 0))
    found = hectares_of_zones(tmp_path, path, **zones)
    assert found['west'] == pytest.approx(found['east'], rel=1e-6)
    with MapReader(path) as grid:
        everything = PixelAreas(grid).pixels(0, 10).sum()
    assert sum(found.values()) == pytest.approx(everything, rel=1e-6)


def test_hectares_by_zone(change, tmp_path):
    zones = tmp_path / 'zones.gpkg'
    names = [
        (box(0, 0, 45, 10), 'north'),
        (box(0, 10, 60, 41), 'south'),
        (box(45, 0, 70, 10), 'north'),  # beyond the edge
    ]
    write_features(zones, 'Polygon', names)
    table = tmp_path / 'zones.csv'
    assert write_zones(table, zones, change, 'label') == 2
    with table.open(newline='') as file:
        found = {
            (row['zone'], row['class']): float(row['hectares'])
            for row in csv.DictReader(file)
        }
    expected = {
        ('north', KEPT): 400 * PIXEL,
        ('north', LOST): 200 * PIXEL,
        ('south', KEPT): 1200 * PIXEL,
        ('south', LOST): 600 * PIXEL,
    }
    assert {k: found[k] for k in expected} == pytest.approx(expected, abs=1e-4)
    assert sum(found.values()) == pytest.approx(2400 * PIXEL, abs=1e-3)
    write_features(zones, 'Polygon', [(box(90, 0, 95, 9), 'far')])
    with pytest.raises(ValueError, match='--zones: no zone .* on the map'):
        write_zones(table, zones, change, 'label')
    with pytest.raises(ValueError, match="no column 'name'"):
        write_zones(table, zones, change)
