"""A made-up landscape holds together, and its truth labels points."""

import csv

import numpy as np
import pytest
import rasterio

from mmfdconv.cropland.change import compare
from mmfdconv.cropland.landscape import label_points, make_landscape
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


@pytest.mark.parametrize(
    ('size', 'changed', 'said'), [(100, 0, '--size'), (600, 2, '--changed')]
)
def test_no_landscape(size, changed, said, tmp_path):
    with pytest.raises(ValueError, match=said):
        make_landscape(tmp_path, size, changed=changed)
