"""Hi-CNA's converter: four bands, two dates, three splits."""

import numpy as np
import pytest

pytest.importorskip('rasterio')
pytest.importorskip('cv2')

import cv2
import rasterio
from rasterio.transform import from_origin

from mmfdconv.datasets import HI_CNA_BANDS, LoadGeoTIFF
from mmfdconv.datasets.hi_cna import convert_hi_cna

from .raw_scenes import SIDE, contents, hi_cna_pair, write_hi_cna, write_tif

pytestmark = pytest.mark.core

OPTIONS = dict(tile_size=SIDE, workers=1)


@pytest.fixture
def raw(tmp_path):
    return write_hi_cna(tmp_path / 'raw')


def splits(out):
    """The split of each image, by name."""
    return {
        path.stem: path.parent.name for path in out.rglob('ann_dir/*/*.png')
    }


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_tiles_keep_bands_and_depth(tmp_path, dtype):
    raw = write_hi_cna(tmp_path / 'raw', dtype=dtype)
    out = tmp_path / 'out'
    counts = convert_hi_cna(raw, out, **OPTIONS)
    assert counts == dict(train=12, val=4, test=4)
    assert len(splits(out)) == 20
    for name, split in splits(out).items():
        place, _, date = name[:-6].rpartition('_t')
        county, half = place[6:].split('_')
        image, mask = hi_cna_pair(
            int(county) * 2 + int(half), int(date), dtype
        )
        tile = out / 'img_dir' / split / f'{name}.tif'
        with rasterio.open(tile) as file:
            assert np.array_equal(file.read(), image)
            assert file.dtypes[0] == np.dtype(dtype).name
            assert file.descriptions == HI_CNA_BANDS
        label = cv2.imread(str(out / 'ann_dir' / split / f'{name}.png'), -1)
        assert np.array_equal(label, mask // 255)
        red = LoadGeoTIFF(['red'])(dict(img_path=str(tile)))['img']
        assert np.array_equal(red[..., 0], image[2])


def test_dates_and_groups_stay_together(raw, tmp_path):
    convert_hi_cna(raw, tmp_path / 'a', **OPTIONS)
    pairs = splits(tmp_path / 'a')
    for name in pairs:
        assert pairs[name] == pairs[name.replace('_t1', '_t2')]

    convert_hi_cna(raw, tmp_path / 'b', group=r'^(county\d+)_', **OPTIONS)
    grouped = splits(tmp_path / 'b')
    assert len({(n.split('_')[0], s) for n, s in grouped.items()}) == 5
    assert len({(n.split('_')[0], s) for n, s in pairs.items()}) > 5


def test_single_tiles_are_drawn_when_asked(raw, tmp_path):
    convert_hi_cna(raw, tmp_path / 'out', split='tile', **OPTIONS)
    drawn = splits(tmp_path / 'out')
    assert any(drawn[n] != drawn[n.replace('_t1', '_t2')] for n in drawn)


def test_larger_images_are_cut_with_their_georeference(raw, tmp_path):
    image = np.arange(4 * 2 * SIDE * 2 * SIDE, dtype=np.uint16)
    image = image.reshape(4, 2 * SIDE, 2 * SIDE)
    grid = from_origin(1000, 2000, 2, 2)
    write_tif(raw / 'image1/county0_0.tif', image, transform=grid, nodata=7)
    write_tif(raw / 'mask1/county0_0.tif', np.uint8(image[:1] * 0))
    out = tmp_path / 'out'
    assert sum(convert_hi_cna(raw, out, **OPTIONS).values()) == 23
    (tile,) = out.rglob('county0_0_t1_01_01.tif')
    with rasterio.open(tile) as file:
        assert np.array_equal(file.read(), image[:, SIDE:, SIDE:])
        assert (file.transform.c, file.transform.f) == (1032, 1968)
        assert file.nodata == 7


def test_a_second_run_writes_nothing(raw, tmp_path, monkeypatch):
    out = tmp_path / 'out'
    convert_hi_cna(raw, out, **OPTIONS)
    before = contents(out)
    monkeypatch.setattr(
        'mmfdconv.datasets.tile_writer.write_whole', lambda *args: 1 / 0
    )
    convert_hi_cna(raw, out, **OPTIONS)
    assert contents(out) == before
    with pytest.raises(ValueError, match='begun with cropland_values'):
        convert_hi_cna(raw, out, cropland_values=[255], **OPTIONS)


@pytest.mark.parametrize(
    ('spoil', 'message'),
    [
        (
            lambda raw: write_tif(
                raw / 'mask2/county1_0.tif', np.full((1, 16, 16), 9, np.uint8)
            ),
            'mask2/county1_0.tif: value 9 at row 0, column 0',
        ),
        (
            lambda raw: write_tif(
                raw / 'mask2/county1_0.tif', np.zeros((3, 16, 16), np.uint8)
            ),
            'mask2/county1_0.tif: has 3 bands, a mask has one',
        ),
        (
            lambda raw: (raw / 'mask2/county1_0.tif').unlink(),
            'mask2/county1_0.tif is missing',
        ),
        (
            lambda raw: write_tif(
                raw / 'mask1/county1_0.tif', np.zeros((1, 17, 16), np.uint8)
            ),
            'mask1/county1_0.tif: is 17x16, its image county1_0.tif 16x16',
        ),
        (
            lambda raw: write_hi_cna(raw, number=1, dtype=np.uint8),
            'image1/county0_1.tif: has 4 bands of uint16, the first image 4',
        ),
        (
            lambda raw: [
                write_tif(path, np.zeros((3, 16, 16), np.uint8))
                for path in raw.glob('image*/*')
            ],
            'has 3 bands, expected are 4: blue, green, red, nir',
        ),
        (
            lambda raw: (raw / 'mask1/county1_0.png').write_bytes(b''),
            'mask1/county1_0.tif: county1_0.png has the same name',
        ),
    ],
)
def test_bad_files_are_named(raw, tmp_path, spoil, message):
    spoil(raw)
    with pytest.raises(ValueError) as error:
        convert_hi_cna(raw, tmp_path / 'out', **OPTIONS)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(images=['image1']), 'must name as many folders'),
        (dict(images=['image1', 'x']), 'raw/x: no such folder'),
        (dict(fractions=(0.8, 0.2)), 'fractions must be three'),
        (dict(cropland_values=[0, 1]), 'other values than 0'),
        (dict(group='village'), "group 'village' is not in its name"),
        (dict(group='('), r"group '\(': "),
    ],
)
def test_wrong_options_are_named(raw, tmp_path, options, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        convert_hi_cna(raw, tmp_path / 'out', **dict(OPTIONS, **options))
    assert not (tmp_path / 'out').exists()
