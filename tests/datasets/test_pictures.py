"""Images of any bands and depth become pictures that one can see."""

import numpy as np
import pytest

pytest.importorskip('rasterio')
pytest.importorskip('cv2')

import cv2
import rasterio

from mmfdconv.datasets.pictures import colour_picture, stretch

from .raw_scenes import write_tif

pytestmark = pytest.mark.core

NAMES = ('blue', 'green', 'red', 'nir')


def ramps(bands, dtype=np.uint16, low=200, high=1800):
    """Band k rises along rows and columns with its own slope."""
    rows, columns = np.mgrid[:32, :40] / 32
    image = [rows * (k + 1) + columns for k in range(bands)]
    scaled = [low + (high - low) * band / band.max() for band in image]
    return np.stack(scaled).astype(dtype)


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16, np.float32])
def test_contrast_is_full_at_any_depth(tmp_path, dtype):
    high = 60 if dtype == np.uint8 else 1800
    image = ramps(3, dtype, low=high // 2, high=high)
    picture = colour_picture(str(write_tif(tmp_path / 'a.tif', image)))
    assert picture.dtype == np.uint8
    assert picture.shape == (32, 40, 3)
    assert picture.min() == 0
    assert picture.max() == 255
    assert len(np.unique(picture)) > 20


@pytest.mark.parametrize(
    ('options', 'shown'),
    [
        (dict(), (3, 2, 1)),
        (dict(bands=['nir', 'green', 'blue']), (3, 2, 1)),
        (dict(band_names=[*'abcd']), (1, 2, 3)),
        (dict(band_names=[*'abcd'], bands=['d', 'b', 'a']), (4, 2, 1)),
        (dict(band_names=[*'abcd'], bands=[2, 1]), (2, 2, 2)),
        (dict(band_names=['red', 'green', 'nir', 'blue']), None),
    ],
)
def test_colours_are_those_of_the_bands(tmp_path, options, shown):
    image = ramps(4)
    path = str(write_tif(tmp_path / 'a.tif', image))
    with rasterio.open(path, 'r+') as file:
        file.descriptions = NAMES
    if shown is None:
        with pytest.raises(ValueError, match="band 1 as 'blue'"):
            colour_picture(path, **options)
        return
    expected = image[[band - 1 for band in shown]].astype(np.float32)
    found = colour_picture(path, **options)
    np.testing.assert_array_equal(found, stretch(np.moveaxis(expected, 0, -1)))


def test_no_data_is_white_and_counts_nothing(tmp_path):
    image = ramps(5)
    whole = colour_picture(str(write_tif(tmp_path / 'a.tif', image)))
    image[:, :, 20:] = 7
    path = str(write_tif(tmp_path / 'b.tif', image, nodata=7))
    found = colour_picture(path)
    assert (found[:, 20:] == 255).all()
    assert found[:, :20].max() == 255  # its own whites
    assert whole[:, :20].max() < 255


@pytest.mark.parametrize(
    ('bands', 'dtype'), [(4, np.uint16), (6, np.uint8), (4, np.float32)]
)
def test_the_hook_draws_what_the_stock_one_cannot(tmp_path, bands, dtype):
    pytest.importorskip('mmseg')
    import torch
    from mmengine.registry import HOOKS
    from mmengine.structures import PixelData
    from mmengine.visualization import Visualizer
    from mmseg.structures import SegDataSample
    from mmseg.visualization import SegLocalVisualizer

    high = 250 if dtype == np.uint8 else 1800
    path = write_tif(tmp_path / 'a.tif', ramps(bands, dtype, high=high))
    visualizer = SegLocalVisualizer(
        name=f'bands{bands}{np.dtype(dtype)}',
        vis_backends=[dict(type='LocalVisBackend')],
        save_dir=str(tmp_path),
        alpha=0.1,
    )
    visualizer.dataset_meta = dict(
        classes=('a', 'b'), palette=[[0, 0, 0], [0, 255, 0]]
    )
    Visualizer.get_instance('bands')  # that a hook can be built
    hook = HOOKS.build(
        dict(type='BandsVisualizationHook', draw=True, interval=1)
    )
    hook._visualizer = visualizer
    sample = SegDataSample(
        metainfo=dict(img_path=str(path)),
        pred_sem_seg=PixelData(data=torch.zeros(1, 32, 40, dtype=torch.long)),
    )

    class Runner:
        iter = 3

    hook.after_test_iter(Runner, 0, None, [sample, sample])
    hook.after_val_iter(Runner, 1, None, [sample])
    drawn = sorted((tmp_path / 'vis_data/vis_image').iterdir())
    assert [file.name for file in drawn] == [
        'test_a.tif_1.png',
        'test_a.tif_2.png',
        'val_a.tif_4.png',
    ]
    for file in drawn:
        image = cv2.imread(str(file))
        assert image.shape[:2] == (32, 40)
        assert image.std() > 40  # the stock hook's has 2
