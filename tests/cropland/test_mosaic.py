"""A scene of tiles: where they lie, its labels, another date."""

import numpy as np
import pytest
import rasterio
from PIL import Image

from mmfdconv.cropland.change import compare
from mmfdconv.cropland.mosaic import lay_out, make_mosaic
from mmfdconv.cropland.raster import MapReader

pytestmark = pytest.mark.core

SIDE = 16


@pytest.fixture
def tiles(tmp_path):
    """Six tiles; number i has the colour i + 10 and the class i."""
    for number in range(6):
        for kind, suffix, values in (
            ('img', 'png', np.full((SIDE, SIDE, 3), number + 10)),
            ('ann', 'png', np.full((SIDE, SIDE), number)),
        ):
            path = tmp_path / kind / f'{number}.{suffix}'
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(values.astype(np.uint8)).save(path)
    return tmp_path


def test_scene_and_labels_agree(tiles, tmp_path):
    layout = lay_out(tiles / 'img', 3, 4)
    files = make_mosaic(layout, tmp_path / 'a.tif', tiles / 'ann')
    with rasterio.open(files['scene']) as file:
        scene = file.read()
        assert file.crs.is_projected and file.nodata == 0
        assert file.descriptions == ('red', 'green', 'blue')
    assert scene.shape == (3, 3 * SIDE, 4 * SIDE)
    assert (scene == scene[0]).all()
    with MapReader(files['map']) as done:
        labels = done.read(0, done.height)
    known = scene[0] != 0
    assert 0.8 < known.mean() < 1
    np.testing.assert_array_equal(labels[known] + 10, scene[0][known])
    assert (labels[~known] == 255).all()
    # All six tiles are used before one comes twice.
    assert len({path for row in layout.tiles for path in row}) == 6


def test_another_date_differs_in_some_tiles(tiles, tmp_path):
    before, after = (lay_out(tiles / 'img', 8, 10, 3, c) for c in (0, 0.25))
    moved = sum(
        a != b
        for rows in zip(before.tiles, after.tiles)
        for a, b in zip(*rows)
    )
    assert 5 <= moved <= 20  # of 20 drawn, some are drawn as they were
    assert before == lay_out(tiles / 'img', 8, 10, 3)
    maps = [
        make_mosaic(layout, tmp_path / f'{year}.tif', tiles / 'ann')['map']
        for year, layout in (('2016', before), ('2020', after))
    ]
    change = compare(*maps, tmp_path / 'out')
    differing = change.hectares.sum() - np.trace(change.hectares)
    assert 0 < differing <= moved * SIDE**2 * 16.02e-4


def test_what_cannot_be_laid_out(tiles, tmp_path):
    (tmp_path / 'empty').mkdir()
    for args, message in [
        ((tmp_path / 'absent', 1, 1), 'is not a folder'),
        ((tmp_path / 'empty', 1, 1), 'holds no images'),
        ((tiles / 'img', 0, 1), 'rows must be at least 1'),
        ((tiles / 'img', 1, 1, 0, 2.0), 'changed must be in'),
    ]:
        with pytest.raises(ValueError, match=message):
            lay_out(*args)
    layout = lay_out(tiles / 'img', 2, 3)
    (tiles / 'ann' / '2.png').unlink()
    with pytest.raises(ValueError, match='2.png is missing'):
        make_mosaic(layout, tmp_path / 'a.tif', tiles / 'ann')
    assert [*tmp_path.glob('a*')] == [tmp_path / 'ann']
    Image.new('RGB', (8, 16)).save(tiles / 'img' / '4.png')
    with pytest.raises(ValueError, match='4.png is 8x16, where the first'):
        make_mosaic(layout, tmp_path / 'a.tif')
