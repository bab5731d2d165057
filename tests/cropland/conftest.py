"""What the tests of the cropland tools share."""

from importlib.util import find_spec

import pytest

NEEDED = ('rasterio', 'fiona', 'mmseg')
MISSING = [name for name in NEEDED if find_spec(name) is None]
if MISSING:
    collect_ignore_glob = ['test_*.py']


@pytest.fixture(scope='session')
def model_files(tmp_path_factory):
    """Config and checkpoint of a U-Net for four bands."""
    from .helpers import write_checkpoint, write_config

    folder = tmp_path_factory.mktemp('unet')
    config = write_config(folder)
    return str(config), str(write_checkpoint(config, folder / 'unet.pth'))


@pytest.fixture(scope='session')
def predictor(model_files):
    """The U-Net, loaded as the tools load it."""
    from mmfdconv.cropland.predictor import load_predictor

    return load_predictor(*model_files, device='cpu')
