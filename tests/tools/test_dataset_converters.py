"""tools/dataset_converters: as a user runs them, and kills them."""

import time

import pytest

pytest.importorskip('rasterio')
pytest.importorskip('cv2')

import cv2
import rasterio

from tests.datasets.raw_scenes import SIDE, contents, write_gid, write_hi_cna

pytestmark = pytest.mark.slow


def test_gid_is_killed_and_goes_on(tool, start, tmp_path):
    raw = write_gid(tmp_path / 'raw', number=6, height=160, width=320)
    options = ('--tile-size', SIDE, '--workers', 2)
    whole = tmp_path / 'whole'
    result = tool('dataset_converters/gid.py', raw, whole, *options)
    assert result.returncode == 0, result.stdout[-4000:]
    assert '1000 train, 200 val; 1200 tiles written now' in result.stdout

    out = tmp_path / 'out'
    run = start('dataset_converters/gid.py', raw, out, *options)
    deadline = time.monotonic() + 120
    while len(list(out.glob('ann_dir/*/*.png'))) < 50:
        assert time.monotonic() < deadline
        assert run.returncode is None, run.stdout
        time.sleep(0.005)
    run.kill()

    expected = contents(whole)
    left = contents(out)
    assert 50 < len(left) < len(expected)
    for name, data in left.items():
        if '.partial/' not in name:
            assert data == expected[name]
    result = tool('dataset_converters/gid.py', raw, out, *options)
    assert result.returncode == 0, result.stdout[-4000:]
    assert '1000 train, 200 val' in result.stdout
    assert ' 0 were there' not in result.stdout
    assert contents(out) == expected


def test_gid_says_what_is_wrong(tool, tmp_path):
    raw = write_gid(tmp_path / 'raw', number=2)
    name = 'dataset_converters/gid.py'
    (lost,) = raw.glob('label_5classes/*0001-MSS1_label.tif')
    lost.unlink()
    result = tool(name, raw, tmp_path / 'out', '--tile-size', SIDE)
    assert result.returncode == 1
    assert 'gid.py: error: ' in result.stdout
    assert 'its label' in result.stdout and lost.name in result.stdout
    assert 'Traceback' not in result.stdout
    assert '--split {scene,tile}' in tool(name, '--help').stdout


def test_hi_cna(tool, tmp_path):
    raw = write_hi_cna(tmp_path / 'raw')
    (raw / 'image1').rename(raw / 'before')
    name = 'dataset_converters/hi_cna.py'
    options = ('--tile-size', SIDE, '--fractions', 0.4, 0.3, 0.3)
    result = tool(name, raw, tmp_path / 'out', *options)
    assert result.returncode == 1
    assert f'hi_cna.py: error: {raw}/image1: no such folder' in result.stdout
    options += ('--images', 'before', 'image2', '--cropland-values', 255)
    result = tool(name, raw, tmp_path / 'out', *options)
    assert result.returncode == 0, result.stdout[-4000:]
    assert '8 train, 6 val, 6 test' in result.stdout
    images = sorted((tmp_path / 'out/img_dir/test').iterdir())
    assert len(images) == 6
    with rasterio.open(images[0]) as file:
        assert file.count == 4
    label = tmp_path / 'out/ann_dir/test' / f'{images[0].stem}.png'
    assert set(cv2.imread(str(label), -1).ravel()) == {0, 1}
    assert 'RAW_DIR/mask1/NAME.tif' in tool(name, '--help').stdout
