"""Bands, nodata, and every input that is not as it should be."""

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.enums import ColorInterp

from mmfdconv.cropland.scene import Scene
from mmfdconv.datasets.geotiff import read_bands

from .helpers import noise, write_scene

pytestmark = pytest.mark.core

NAMES = ('Blue', 'Green', 'Red', 'NIR')
GIVEN = ['1', '2', '3', '4']
LOCAL = 'LOCAL_CS["Site",UNIT["metre",1]]'


@pytest.fixture
def values():
    return noise(4, 60, 50)


@pytest.fixture
def path(tmp_path, values):
    return write_scene(tmp_path / 'scene.tif', values, names=NAMES)


@pytest.mark.parametrize(
    ('bands', 'picked'),
    [
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


VRT = """
<VRTDataset rasterXSize="20" rasterYSize="20">
  <SRS>EPSG:32650</SRS>
  <GeoTransform>500000, 4, 0, 3400000, 0, -4</GeoTransform>
  <VRTRasterBand dataType="UInt16" band="1">
    <NoDataValue>0</NoDataValue>
    <SimpleSource>
      <SourceFilename relativeToVRT="1">scene.tif</SourceFilename>
      <SourceBand>1</SourceBand>
    </SimpleSource>
  </VRTRasterBand>
  <VRTRasterBand dataType="UInt16" band="2">
    <NoDataValue>9999</NoDataValue>
    <SimpleSource>
      <SourceFilename relativeToVRT="1">scene.tif</SourceFilename>
      <SourceBand>2</SourceBand>
    </SimpleSource>
  </VRTRasterBand>
</VRTDataset>
"""


def test_each_band_has_its_own_nodata(tmp_path):
    values = noise(2, 20, 20, 'uint16')
    values[:, 5] = [[0], [9999]]
    write_scene(tmp_path / 'scene.tif', values)
    path = tmp_path / 'scene.vrt'
    path.write_text(VRT)
    with Scene(path, 2) as scene:
        rows = scene.read(0, 20)
    np.testing.assert_array_equal(rows.valid.all(1), np.arange(20) != 5)
    assert rows.missing[:, 5].all() and rows.missing.sum() == 40
    loaded = read_bands(str(path), fill=-1).transpose(2, 0, 1)  # in training
    np.testing.assert_array_equal(loaded == -1, rows.missing)
    path.write_text(VRT.replace('UInt16', 'Float32', 1))
    with pytest.raises(ValueError, match='of float32 and uint16; .*gdal_tra'):
        Scene(path, 2)


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


def test_an_alpha_tells_where_data_is(tmp_path):
    values = noise(4, 20, 20)
    values[3] = 255
    values[3, :, 12:] = 0
    path = write_scene(tmp_path / 'scene.tif', values, nodata=0)
    with Scene(path, 3) as scene:
        assert scene.bands == (1, 2, 3)
        np.testing.assert_array_equal(
            scene.read(0, 20).valid, values[3] == 255
        )


@pytest.mark.parametrize('names', [None, NAMES])
def test_near_infrared_that_gdal_calls_alpha_hides_nothing(tmp_path, names):
    values = noise(4, 20, 20)
    values[3, 5] = 0  # dark, as water is
    path = write_scene(tmp_path / 'scene.tif', values, names=names)
    with rasterio.open(path) as file:
        assert file.colorinterp[3] == ColorInterp.alpha
    for bands in ('1234', '321'):
        with Scene(path, len(bands), list(bands)) as scene:
            assert scene.read(0, 20).valid.all()


def test_without_coordinate_system(tmp_path, values):
    path = write_scene(tmp_path / 'scene.tif', values, crs=None)
    with pytest.raises(ValueError, match='no coordinate system.*--crs EPSG'):
        Scene(path, 4)
    with Scene(path, 4, GIVEN, crs='EPSG:32650') as scene:
        assert scene.crs.to_epsg() == 32650
    with pytest.raises(ValueError, match="--crs: 'EPSG:1' is not a coord"):
        Scene(path, 4, crs='EPSG:1')
    with pytest.raises(ValueError, match="--crs: 'EPSG:4978' is neither"):
        Scene(path, 4, crs='EPSG:4978')  # geocentric


def test_a_given_coordinate_system_wins(path):
    with Scene(path, 4, GIVEN, crs='EPSG:32651') as scene:
        assert scene.crs.to_epsg() == 32651
        assert scene.file_crs.to_epsg() == 32650


def test_a_coordinate_system_of_no_place(tmp_path, values):
    path = write_scene(tmp_path / 'scene.tif', values, crs=LOCAL)
    with pytest.raises(
        ValueError, match=r'without a place \(Site\).*--crs EPSG'
    ):
        Scene(path, 4)
    with Scene(path, 4, GIVEN, crs='EPSG:32650') as scene:
        assert scene.crs.to_epsg() == 32650


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
