"""Bands, nodata, and every input that is not as it should be."""

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.enums import ColorInterp
from rasterio.windows import Window

from mmfdconv.cropland.scene import Scene, open_raster, read_window

from .helpers import noise, write_scene

pytestmark = pytest.mark.core

NAMES = ('Blue', 'Green', 'Red', 'NIR')


@pytest.fixture
def values():
    return noise(4, 60, 50)


@pytest.fixture
def path(tmp_path, values):
    return write_scene(tmp_path / 'scene.tif', values, names=NAMES)


@pytest.mark.parametrize(
    ('bands', 'picked'),
    [
        (None, (1, 2, 3)),
        (['red', 'green', 'BLUE'], (3, 2, 1)),
        (['4', 'red', '2'], (4, 3, 2)),
    ],
)
def test_bands_by_name_and_position(path, values, bands, picked):
    with Scene(path, 3, bands) as scene:
        assert scene.bands == picked
        assert scene.band_names == [NAMES[band - 1] for band in picked]
        rows = scene.read(10, 30)
    expected = values[[band - 1 for band in picked], 10:30]
    np.testing.assert_array_equal(rows.values, expected)
    assert rows.values.dtype == np.float32
    assert rows.valid.all()


@pytest.mark.parametrize(
    ('expected', 'picked'),
    [
        (('red', 'green', 'blue'), (3, 2, 1)),
        (('red', 'green', 'swir'), (1, 2, 3)),  # not all: the first ones
        ((), (1, 2, 3)),
    ],
)
def test_bands_that_the_model_expects(path, expected, picked):
    with Scene(path, 3, expected=expected) as scene:
        assert scene.bands == picked
    with Scene(path, 3, ['1', '2', '4'], expected=expected) as scene:
        assert scene.bands == (1, 2, 4)


def test_bands_by_colour(tmp_path):
    path = write_scene(tmp_path / 'rgb.tif', noise(3, 9, 9), photometric='rgb')
    with Scene(path, 3, ['blue', 'green', 'red']) as scene:
        assert scene.bands == (3, 2, 1)


@pytest.mark.parametrize(
    ('bands', 'message'),
    [
        (['red', 'green', 'swir'], "no band is called 'swir'; .*3 .Red."),
        (['1', '2', '5'], 'there is no band 5; the bands of .* 4 .NIR.'),
        (['0', '1', '2'], 'there is no band 0'),
        (['red'], 'the model takes 3 bands, not 1 .red.'),
    ],
)
def test_bands_that_are_missing(path, bands, message):
    with pytest.raises(ValueError, match=message):
        Scene(path, 3, bands)


def test_fewer_bands_than_the_model_takes(tmp_path):
    path = write_scene(tmp_path / 'scene.tif', noise(3, 9, 9))
    with pytest.raises(ValueError, match='takes 4 bands; the bands of .* 1'):
        Scene(path, 4)


def test_two_bands_of_one_name(tmp_path):
    path = write_scene(
        tmp_path / 'scene.tif', noise(2, 9, 9), names=('red', 'red')
    )
    with pytest.raises(ValueError, match="more than one band is called 'red'"):
        Scene(path, 1, ['red'])


def test_complex_numbers_are_no_bands(tmp_path):
    path = write_scene(tmp_path / 'sar.tif', noise(1, 9, 9, 'complex64'))
    with pytest.raises(ValueError, match='complex64, not plain numbers'):
        Scene(path, 1)


@pytest.mark.parametrize(
    ('dtype', 'nodata'),
    [('uint8', 0), ('uint16', 65535), ('float32', -9999.0)],
)
def test_nodata_is_where_every_band_lacks_data(tmp_path, dtype, nodata):
    values = noise(3, 20, 20, dtype)
    values[:, :5] = nodata
    values[1, 10] = nodata
    path = write_scene(tmp_path / 'scene.tif', values, nodata=nodata)
    with Scene(path, 3) as scene:
        rows = scene.read(0, 20)
    assert not rows.valid[:5].any()
    assert rows.valid[5:].all()
    assert np.isnan(rows.values[:, :5]).all()
    # One band alone: a zero may be measured, the other values cannot.
    assert np.isnan(rows.values[1, 10]).all() == (nodata != 0)
    assert np.isfinite(rows.values[0, 5:]).all()


def test_nan_is_nodata(tmp_path):
    values = noise(2, 20, 20, 'float32')
    values[:, 3] = np.nan
    path = write_scene(tmp_path / 'scene.tif', values)
    with Scene(path, 2) as scene:
        assert not scene.read(0, 20).valid[3].any()


def test_nodata_by_option_and_by_mask(tmp_path):
    values = noise(3, 20, 20)
    values[:, :4] = 7
    path = write_scene(tmp_path / 'scene.tif', values)
    with Scene(path, 3, nodata=7) as scene:
        assert scene.read(0, 20).valid.sum() == 16 * 20
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        with rasterio.open(path, 'r+') as file:
            mask = np.full((20, 20), 255, np.uint8)
            mask[:, 15:] = 0
            file.write_mask(mask)
    with Scene(path, 3) as scene:
        valid = scene.read(0, 20).valid
    np.testing.assert_array_equal(valid, mask > 0)


def test_a_fourth_band_that_gdal_calls_alpha_hides_nothing(tmp_path):
    values = noise(4, 20, 20)
    values[3, 5] = 0  # dark in the near infrared, as water is
    path = write_scene(
        tmp_path / 'scene.tif', values, photometric='rgb', alpha='yes'
    )
    with rasterio.open(path) as file:
        assert file.colorinterp[3] == ColorInterp.alpha
    with Scene(path, 4) as scene:
        assert scene.read(0, 20).valid.all()
    with Scene(path, 3) as scene:  # as alpha it does
        assert not scene.read(0, 20).valid[5].any()


def test_without_coordinate_system(tmp_path, values):
    path = write_scene(tmp_path / 'scene.tif', values, crs=None)
    with pytest.raises(ValueError, match='no coordinate system.*--crs EPSG'):
        Scene(path, 4)
    with Scene(path, 4, crs='EPSG:32650') as scene:
        assert scene.crs.to_epsg() == 32650
    with pytest.raises(ValueError, match="--crs: 'EPSG:1' is no coordinate"):
        Scene(path, 4, crs='EPSG:1')


def test_control_points_instead_of_coordinates(tmp_path, values):
    path = write_scene(tmp_path / 'scene.tif', values, crs=None)
    with rasterio.open(path, 'r+') as file:
        points = [
            rasterio.control.GroundControlPoint(row, column, column, row)
            for row, column in ((0, 0), (0, 40), (40, 0))
        ]
        file.gcps = (points, rasterio.crs.CRS.from_epsg(4326))
    with pytest.raises(ValueError, match='rectify it first with gdalwarp'):
        Scene(path, 4)


@pytest.mark.filterwarnings('ignore::rasterio.errors.NotGeoreferencedWarning')
def test_without_place(tmp_path, values):
    path = write_scene(
        tmp_path / 'scene.tif', values, transform=Affine.identity()
    )
    with pytest.raises(ValueError, match='does not say where its pixels lie'):
        Scene(path, 4)


@pytest.mark.parametrize(
    'layout',
    [
        dict(),
        dict(compress='deflate'),
        dict(tiled=True, blockxsize=16, blockysize=16),
        dict(interleave='band', compress='lzw'),
    ],
)
def test_cut_short(path, tmp_path, values, layout):
    whole = write_scene(tmp_path / 'whole.tif', values, **layout)
    Scene(whole, 4).close()
    data = whole.read_bytes()
    short = tmp_path / 'short.tif'
    short.write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(ValueError, match='short.tif .*cut short'):
        Scene(short, 4)


def test_no_raster(tmp_path):
    path = tmp_path / 'notes.tif'
    path.write_text('no pixels')
    with pytest.raises(ValueError, match='no raster that GDAL reads'):
        Scene(path, 3)
    with pytest.raises(ValueError, match='none.tif is not a file'):
        Scene(tmp_path / 'none.tif', 3)


def test_damaged_inside(tmp_path, values):
    path = write_scene(tmp_path / 'scene.tif', values, compress='deflate')
    data = bytearray(path.read_bytes())
    data[-6000:-100] = bytes(5900)
    path.write_bytes(data)
    with open_raster(path) as dataset:
        with pytest.raises(ValueError, match='rows 0 to 59 of 60 cannot be'):
            read_window(dataset, [1, 2, 3, 4], Window(0, 0, 50, 60))
