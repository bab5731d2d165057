"""A made-up landscape holds together, and its truth labels points."""

import csv

import cv2
import numpy as np
import pytest
import rasterio

from mmfdconv.cropland.change import compare
from mmfdconv.cropland.landscape import (
    label_points,
    make_landscape,
    read_textures,
)
from mmfdconv.cropland.raster import MapReader

pytestmark = pytest.mark.core


def test_scenes_truth_and_labels(tmp_path):
    files = make_landscape(tmp_path, 600, seed=2, changed=0.3)
    with MapReader(files['2016_label']) as grid:
        truth, names = grid.read(0, 600), grid.classes
    with rasterio.open(files['2016']) as file:
        scene = file.read().astype(float)
        assert (file.shape, file.count) == ((600, 600), 3)
    assert {names[value] for value in np.unique(truth)} >= {
        'farmland',
        'forest',
        'built-up',
    }
    farm, forest = (
        truth == value
        for value in (2, 3)  # GID's farmland and forest
    )
    assert scene[0][farm].mean() > scene[0][forest].mean() + 30
    change = compare(
        files['2016_label'], files['2020_label'], tmp_path / 'true'
    )
    _, kept, lost, _ = change.kinds().values()
    assert 0.1 < lost / (kept + lost) < 0.5
    again = make_landscape(tmp_path / 'again', 600, seed=2, changed=0.3)
    assert files['2020'].read_bytes() == again['2020'].read_bytes()

    points = tmp_path / 'points.csv'
    points.write_text(
        'x,y,label\n500002,3399998,\n500402,3398998,\n', encoding='utf-8'
    )
    label_points(str(points), str(files['2016_label']), tmp_path / 'out.csv')
    with (tmp_path / 'out.csv').open(newline='') as file:
        labels = [row['label'] for row in csv.DictReader(file)]
    assert labels == [names[truth[0, 0]], names[truth[250, 100]]]


def test_fields_are_covered_with_pieces_of_tiles(tmp_path):
    for part in ('img_dir', 'ann_dir'):
        (tmp_path / part / 'train').mkdir(parents=True)
    slope = np.arange(110, dtype=np.uint8)[:, None, None] // 4
    for value in range(1, 6):
        image = np.zeros((110, 110, 3), np.uint8) + slope
        image += np.array([0, 0, 40 * value], np.uint8)  # BGR: red
        label = np.full((110, 110), value, np.uint8)
        label[:9] = 0  # so the piece begins below
        for part, content in (('img_dir', image), ('ann_dir', label)):
            file = tmp_path / part / 'train' / f'{value}.png'
            cv2.imwrite(str(file), content)
    textures = read_textures(tmp_path, 'train')
    assert [pieces.shape for pieces in textures] == [(1, 192, 192, 3)] * 5
    piece = textures[1][0].astype(int)
    assert (piece[0] == (80 + 9 // 4, 9 // 4, 9 // 4)).all()
    assert (piece == piece[::-1]).all()  # no seam where it is repeated
    files = make_landscape(tmp_path, 600, textures=textures)
    with MapReader(files['2020_label']) as grid:
        truth = grid.read(0, 600)
    with rasterio.open(files['2020']) as file:
        red, green, _ = file.read().astype(int)
    for value in np.unique(truth):
        here = truth == value
        assert abs((red - green)[here].mean() - 40 * value) < 1
    (tmp_path / 'ann_dir' / 'train' / '4.png').unlink()
    with pytest.raises(ValueError, match='--textures: no label.* of meadow'):
        read_textures(tmp_path, 'train')


@pytest.mark.parametrize(
    ('size', 'changed', 'said'), [(100, 0, '--size'), (600, 2, '--changed')]
)
def test_no_landscape(size, changed, said, tmp_path):
    with pytest.raises(ValueError, match=said):
        make_landscape(tmp_path, size, changed=changed)
