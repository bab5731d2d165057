"""Opening rasters by every name, and what results are called."""

import zipfile

import pytest
import rasterio
from rasterio.windows import Window

from mmfdconv.cropland.files import (
    crs_label,
    open_raster,
    read_window,
    result_name,
)
from mmfdconv.cropland.raster import MapReader

from .helpers import noise, write_scene

pytestmark = pytest.mark.core


@pytest.fixture
def values():
    return noise(4, 60, 50)


@pytest.fixture
def zipped(tmp_path, values):
    path = write_scene(tmp_path / '2020.tif', values)
    with zipfile.ZipFile(tmp_path / 'all.zip', 'w') as file:
        file.write(path, 'north/2020.tif')
    return tmp_path / 'all.zip'


@pytest.mark.parametrize(
    'name',
    [
        '{0}/2020.tif',
        'GTIFF_DIR:1:{0}/2020.tif',
        '/vsizip/{0}/all.zip/north/2020.tif',
        'zip://{0}/all.zip!north/2020.tif',
        'file://{0}/2020.tif',
    ],
)
def test_gdal_decides_what_opens(zipped, values, name):
    with open_raster(name.format(zipped.parent)) as dataset:
        assert (dataset.read() == values).all()


@pytest.mark.filterwarnings('ignore::rasterio.errors.NotGeoreferencedWarning')
def test_several_rasters_in_one_file_are_listed(tmp_path, values):
    netcdf = pytest.importorskip('scipy.io').netcdf_file
    with netcdf(tmp_path / 'all.nc', 'w') as file:
        file.createDimension('y', 60)
        file.createDimension('x', 50)
        for name, band in zip('abcdef', [*values, *values]):
            file.createVariable(name, 'i2', ('y', 'x'))[:] = band
    with pytest.raises(
        ValueError, match='contains 6 rasters; give the name of one of them: '
    ) as e:
        open_raster(tmp_path / 'all.nc')
    listed = str(e.value).partition('one of them: ')[2].split(', ')
    assert len(listed) == 6
    assert listed[-1] == '...'
    for name, band in zip(listed[:-1], [*values, *values]):
        with open_raster(name) as dataset:
            assert (dataset.read(1)[::-1] == band).all()
    assert result_name(listed[1]) == 'all_b'


@pytest.mark.parametrize(
    ('path', 'name'),
    [
        ('maps/2020.tif', '2020'),
        ('GTIFF_DIR:2:/data/2020.tif', '2_2020'),
        ('GTIFF_DIR:2:2020.tif', '2_2020'),
        ('NETCDF:"/data/scene.nc":red', 'scene_red'),
        ('NETCDF:scene.nc:red', 'scene_red'),
        ('HDF5:"scene.h5"://bands/red', 'scene_red'),
        ('/vsizip/all.zip/north/2020.tif', '2020'),
        ('/vsizip//data/all.zip/2020.tif', '2020'),
        ('/vsicurl/https://a.org/2020.tif?key=a/b&c=1', '2020'),
        ('zip:///data/all.zip!north/2020.tif', '2020'),
        ('zip:///data/all.zip!2020.tif', '2020'),
        ('https://a.org:8080/2020.tif?key=1', '2020'),
        ('s3://bucket/2020.v2.tif', '2020.v2'),
        ('SENTINEL2_L2A:/data/S2.zip:10m:EPSG_32650', 'S2_10m_EPSG_32650'),
        ('WMS:<xml a="../../b">', 'b'),
        (':::', 'scene'),
    ],
)
def test_names_of_results_are_sensible_and_safe(path, name):
    assert result_name(path) == name


def test_a_file_gives_its_own_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ('a b:c!d?.tif', 'S\u00e3o Paulo.tif'):
        (tmp_path / name).touch()
        assert result_name(name) == name[:-4]


def test_no_raster(tmp_path):
    path = tmp_path / 'notes.tif'
    path.write_text('no pixels')
    with pytest.raises(ValueError, match='no raster that GDAL reads'):
        open_raster(path)
    with pytest.raises(ValueError, match='none.tif is not a file'):
        open_raster(tmp_path / 'none.tif')
    with pytest.raises(ValueError, match='NETCDF:none.nc:a cannot be opened'):
        open_raster('NETCDF:none.nc:a')
    with pytest.raises(ValueError, match='is not a file'):
        open_raster(tmp_path)


def test_damaged_inside(tmp_path, values):
    path = write_scene(tmp_path / 'scene.tif', values, compress='deflate')
    data = bytearray(path.read_bytes())
    data[-6000:-100] = bytes(5900)
    path.write_bytes(data)
    with open_raster(path) as dataset:
        with pytest.raises(ValueError, match='rows 0 to 59 of 60 cannot be'):
            read_window(dataset, [1, 2, 3, 4], Window(0, 0, 50, 60))


def test_a_map_of_no_place(tmp_path):
    path = write_scene(
        tmp_path / 'map.tif',
        noise(1, 9, 9),
        crs='LOCAL_CS["Site",UNIT["metre",1]]',
    )
    with pytest.raises(
        ValueError, match=r'without a place \(Site\).*gdal_edit.py'
    ):
        MapReader(path, ['a'])
    with rasterio.open(path) as file:
        assert crs_label(file.crs) == 'Site'
    assert crs_label(rasterio.CRS.from_epsg(32650)) == 'EPSG:32650'
