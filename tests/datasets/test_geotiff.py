"""Loading images of any bands, and normalising them."""

import sys

import numpy as np
import pytest
from mmengine.registry import TRANSFORMS

pytest.importorskip('rasterio')

import rasterio

from mmfdconv.datasets import (
    HI_CNA_BANDS,
    DistortBands,
    LoadGeoTIFF,
    NormalizeBands,
)

from .raw_scenes import write_tif

pytestmark = pytest.mark.core


def make(tmp_path, dtype=np.uint16, bands=4, **profile):
    rng = np.random.default_rng(0)
    image = rng.integers(1, 250, (bands, 5, 7)).astype(dtype)
    return image, str(write_tif(tmp_path / 'image.tif', image, **profile))


def load(path, **options):
    return LoadGeoTIFF(**options)(dict(img_path=path))


@pytest.mark.parametrize(
    'dtype', [np.uint8, np.uint16, np.int16, np.float32, np.float64]
)
@pytest.mark.parametrize('bands', [1, 2, 4, 7])
def test_all_bands_in_order(tmp_path, dtype, bands):
    image, path = make(tmp_path, dtype, bands, photometric='minisblack')
    results = load(path)
    assert results['img'].dtype == np.float32
    assert results['img'].flags.c_contiguous
    assert np.array_equal(results['img'], image.transpose(1, 2, 0))
    assert results['img_shape'] == results['ori_shape'] == (5, 7)


def test_sixteen_bits_are_not_cut(tmp_path):
    image = np.array([0, 255, 256, 65535], np.uint16).reshape(1, 2, 2)
    path = str(write_tif(tmp_path / 'image.tif', image))
    assert load(path)['img'].ravel().tolist() == [0, 255, 256, 65535]


def test_eight_bits_stay_when_asked(tmp_path):
    _, path = make(tmp_path, np.uint8, 3)
    assert load(path, to_float32=False)['img'].dtype == np.uint8
    _, path = make(tmp_path, np.uint16)
    assert load(path, to_float32=False)['img'].dtype == np.float32


def test_bands_by_number_and_name(tmp_path):
    image, path = make(tmp_path)
    chosen = image[[2, 1, 0]].transpose(1, 2, 0)
    assert np.array_equal(load(path, bands=[3, 2, 1])['img'], chosen)
    names = dict(bands=['red', 'green', 'blue'], band_names=HI_CNA_BANDS)
    assert np.array_equal(load(path, **names)['img'], chosen)
    with rasterio.open(path, 'r+') as file:
        file.descriptions = HI_CNA_BANDS
    mixed = load(path, bands=['red', 2, 'blue'])['img']
    assert np.array_equal(mixed, chosen)


def test_bands_by_colour(tmp_path):
    image, path = make(tmp_path, np.uint8, 3)
    turned = load(path, bands=['Blue', 'green', 'RED'])['img']
    assert np.array_equal(turned, image[::-1].transpose(1, 2, 0))


def describe(path, *names):
    with rasterio.open(path, 'r+') as file:
        file.descriptions = names


def test_one_name_is_one_band(tmp_path):
    _, path = make(tmp_path)
    describe(path, 'red', 'green', 'Red', None)
    with pytest.raises(ValueError, match="more than one band is called 'red'"):
        load(path, bands=['red'])


def test_names_that_the_file_contradicts(tmp_path):
    image, path = make(tmp_path)
    describe(path, 'Red', 'Green', 'Blue', 'NIR')
    with pytest.raises(ValueError, match="band 1 as 'Red'.* calls it 'blue'"):
        load(path, band_names=HI_CNA_BANDS)
    named = load(path, bands=HI_CNA_BANDS)['img']
    assert np.array_equal(named, image[[2, 1, 0, 3]].transpose(1, 2, 0))
    describe(path, 'B2', 'B3', 'B4', 'B8')  # names of another kind
    assert load(path, band_names=HI_CNA_BANDS)['img'].shape == (5, 7, 4)


def test_an_alpha_is_read_only_if_it_is_named(tmp_path):
    """As rasterio writes four 8-bit bands, whatever they are."""
    image, path = make(tmp_path, np.uint8)
    ways = r'Say bands=\[1, 2, 3\], or bands=\[1, 2, 3, 4\] if'
    with pytest.raises(ValueError, match=f'image.tif: .*4 .alpha.*{ways}'):
        load(path)
    whole = image.transpose(1, 2, 0)
    for options in (dict(bands=[1, 2, 3, 4]), dict(band_names=HI_CNA_BANDS)):
        assert np.array_equal(load(path, **options)['img'], whole)
    describe(path, *HI_CNA_BANDS)
    assert np.array_equal(load(path)['img'], whole)


@pytest.mark.parametrize('nodata', [9, None])
def test_the_files_nodata_is_filled(tmp_path, nodata):
    image, _ = make(tmp_path)
    image[1, 2, 3] = 9
    path = str(write_tif(tmp_path / 'image.tif', image, nodata=nodata))
    assert load(path, nodata=None)['img'][2, 3, 1] == 9
    assert load(path, nodata=9)['img'][2, 3, 1] == 0
    expected = image.transpose(1, 2, 0).astype(np.float32)
    if nodata is not None:
        expected[expected == 9] = 0
    assert np.array_equal(load(path)['img'], expected)


def test_nodata_takes_its_bands_fill_and_becomes_the_mean(tmp_path):
    image, _ = make(tmp_path)
    image[:, 0, 0] = 0
    path = str(write_tif(tmp_path / 'image.tif', image, nodata=0))
    mean = [10.25, 20, 30.5, -40]  # as no pixel of 16 bits can be
    results = load(path, bands=[4, 3, 2, 1], fill=mean)
    assert results['img'][0, 0].tolist() == mean
    results = NormalizeBands(mean, [2, 2, 2, 2])(results)
    assert results['img'][0, 0].tolist() == [0, 0, 0, 0]


def test_nan_is_filled(tmp_path):
    image, _ = make(tmp_path, np.float32)
    image[0, 1, 1] = np.nan
    path = str(write_tif(tmp_path / 'image.tif', image))
    assert load(path)['img'][1, 1, 0] == 0
    assert np.isnan(load(path, nodata=None)['img'][1, 1, 0])


def test_bad_files_are_named(tmp_path):
    _, path = make(tmp_path)
    with pytest.raises(
        ValueError, match='image.tif: there is no band 5; its bands are 1, 2'
    ):
        load(path, bands=[5])
    with pytest.raises(ValueError, match="no band is called 'nir'; .* 1, 2"):
        load(path, bands=['nir'])
    with pytest.raises(ValueError, match='has 4 bands, band_names names 3'):
        load(path, bands=['nir'], band_names=['red', 'green', 'nir'])
    with pytest.raises(OSError, match='none.tif: cannot be read'):
        load(str(tmp_path / 'none.tif'))
    (tmp_path / 'text.tif').write_text('text')
    with pytest.raises(OSError, match='text.tif: cannot be read'):
        load(str(tmp_path / 'text.tif'))


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(bands=[0]), 'counted from 1, got 0'),
        (dict(bands=[]), 'bands must be a list'),
        (dict(bands='red'), 'bands must be a list'),
        (dict(bands=[1.5]), '1.5 is no name'),
        (dict(nodata='zero'), "got 'zero'"),
        (dict(bands=[1, 2], fill=[0, 0, 0]), 'fill has 3 numbers for 2'),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        LoadGeoTIFF(**options)


def test_without_rasterio_one_sentence_says_so(tmp_path, monkeypatch):
    _, path = make(tmp_path)
    monkeypatch.setitem(sys.modules, 'rasterio', None)
    with pytest.raises(ImportError, match='pip install rasterio'):
        load(path)


def test_every_band_is_normalised_by_its_own(tmp_path):
    image, path = make(tmp_path)
    mean, std = [1, 2, 3, 4], [5, 6, 7, 8]
    results = NormalizeBands(mean, std)(load(path))
    flat = (image.reshape(4, -1) - np.c_[mean]) / np.c_[std]
    assert results['img'].dtype == np.float32
    np.testing.assert_allclose(
        results['img'].transpose(2, 0, 1).reshape(4, -1), flat, rtol=1e-6
    )
    with pytest.raises(ValueError, match='image.tif has 4 bands, .* of 3'):
        NormalizeBands(mean[:3], std[:3])(load(path))


@pytest.mark.parametrize(
    ('mean', 'std'), [([1, 2], [1]), (1, 1), ([0], [0]), ([0], [-1])]
)
def test_wrong_statistics_are_named(mean, std):
    with pytest.raises(ValueError, match='std'):
        NormalizeBands(mean, std)


def test_brightness_and_contrast_are_those_of_all_bands(tmp_path):
    image, path = make(tmp_path, bands=13)
    mean, std = [100.0] * 13, [*range(1, 14)]
    normal = NormalizeBands(mean, std)(load(path))
    before = normal['img'].copy()
    distort = DistortBands(brightness=2.0, contrast=(0.5, 1.5))
    seen = set()
    for seed in range(40):
        np.random.seed(seed)
        after = distort(dict(normal, img=before))['img']
        assert after.dtype == np.float32
        factor, added = np.polyfit(before.ravel(), after.ravel(), 1)
        np.testing.assert_allclose(after, before * factor + added, atol=1e-3)
        assert 0.49 < factor < 1.51
        assert abs(added) < 2.01
        seen.add((abs(factor - 1) > 1e-3, abs(added) > 1e-3))
    assert len(seen) == 4
    with pytest.raises(ValueError, match='image.tif: .* behind NormalizeB'):
        distort(load(path))


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(brightness=-1), 'brightness must not be negative, got -1'),
        (dict(contrast=(0, 1)), r'two positive factors, .* got \(0, 1\)'),
        (dict(contrast=(2, 1)), 'two positive factors'),
        (dict(contrast=(1,)), 'two positive factors'),
    ],
)
def test_wrong_distortions_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        DistortBands(**options)


def test_configs_find_them_by_name(tmp_path):
    _, path = make(tmp_path)
    loader = TRANSFORMS.build(dict(type='LoadGeoTIFF', bands=[1]))
    assert loader(dict(img_path=path))['img'].shape == (5, 7, 1)
    assert 'bands=[1]' in repr(loader)
    scale = TRANSFORMS.build(dict(type='NormalizeBands', mean=[0], std=[2]))
    assert 'std=[2.0]' in repr(scale)
    distort = TRANSFORMS.build(dict(type='DistortBands', brightness=2))
    assert 'brightness=2' in repr(distort)
