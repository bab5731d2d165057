"""What is kept of the training images, and where it stands."""

import uuid
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip('mmengine', reason='MMEngine is not installed')
pytest.importorskip('rasterio', reason='rasterio is not installed')
import rasterio
from mmengine.dataset import BaseDataset
from mmengine.model import BaseModel
from mmengine.runner import Runner

from mmfdconv.datasets import LoadGeoTIFF
from mmfdconv.datasets.pixel_size import pixel_size
from mmfdconv.hooks import TrainingDataHook

pytestmark = pytest.mark.core

UTM = rasterio.Affine(2.5, 0, 500000, 0, -2.5, 3400000)


def write_tile(path, values, crs='EPSG:32650', transform=UTM):
    """Write a GeoTIFF of shape (bands, H, W)."""
    count, height, width = values.shape
    with rasterio.open(
        path,
        'w',
        driver='GTiff',
        count=count,
        height=height,
        width=width,
        dtype=values.dtype,
        crs=crs,
        transform=transform,
    ) as file:
        file.write(values)
    return str(path)


class Tiles(BaseDataset):
    """Files, of any kind."""

    def __init__(self, paths):
        self.paths = paths
        pack = [lambda found: dict(inputs=torch.ones(1))]
        super().__init__(pipeline=[LoadGeoTIFF(), *pack])

    def load_data_list(self):
        return [dict(img_path=path) for path in self.paths]


class Net(BaseModel):
    """Learns nothing of the images."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, inputs, mode='tensor'):
        return dict(loss=self.weight.square().sum())


@pytest.fixture
def tiles(tmp_path):
    """Values 0 to 9999, a hundredth in each tile."""
    values = np.arange(10000, dtype=np.uint16).reshape(100, 4, 5, 5)
    return Tiles(
        [write_tile(tmp_path / f'{i}.tif', v) for i, v in enumerate(values)]
    )


def test_it_stands_in_the_checkpoint(tiles, tmp_path):
    runner = Runner(
        model=Net(),
        work_dir=str(tmp_path),
        train_dataloader=dict(
            batch_size=1,
            num_workers=0,
            dataset=tiles,
            sampler=dict(type='DefaultSampler', shuffle=False),
        ),
        train_cfg=dict(by_epoch=False, max_iters=1),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        default_hooks=dict(
            checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=1)
        ),
        custom_hooks=[dict(type='TrainingDataHook', images=100)],
        experiment_name=uuid.uuid4().hex,
        log_level='WARNING',
    )
    runner.train()
    kept = torch.load(tmp_path / 'iter_1.pth', weights_only=False)['meta']
    # In the middle of its zone UTM shows lengths 0.9996 times.
    assert kept['training_data'] == pytest.approx(
        dict(pixel_size=2.5 / 0.9996, low=99.99, high=9899.01), rel=5e-3
    )


def found_in(dataset, **options):
    hook = TrainingDataHook(**options)
    loader = SimpleNamespace(dataset=SimpleNamespace(dataset=dataset))
    hook.before_train(SimpleNamespace(train_dataloader=loader))
    checkpoint = dict(meta={})
    hook.before_save_checkpoint(None, checkpoint)
    return checkpoint['meta']['training_data']


def test_files_that_do_not_say_where_they_lie(tmp_path):
    values = np.ones((1, 5, 5), np.uint8)
    values[0, 0] = 7
    path = write_tile(
        tmp_path / 'a.tif', values, None, rasterio.Affine(1, 0, 0, 0, 1, 0)
    )
    expected = dict(pixel_size=None, low=1, high=7)
    assert found_in(Tiles([path])) == expected
    expected['pixel_size'] = 4
    assert found_in(Tiles([path]), pixel_size=4) == expected


def test_every_band_is_looked_at(tmp_path):
    values = np.ones((2, 128, 128), np.uint8)
    values[1] = 200
    found = found_in(Tiles([write_tile(tmp_path / 'a.tif', values)]))
    assert (found['low'], found['high']) == (1, 200)


def test_what_does_not_fit_is_told():
    with pytest.raises(ValueError, match='pixel_size must be a number > 0'):
        TrainingDataHook(pixel_size=-1)
    with pytest.raises(ValueError, match='images must be an integer >= 1'):
        TrainingDataHook(images=0)
    with pytest.raises(ValueError, match='SimpleNamespace has no pipeline'):
        found_in(SimpleNamespace())


def test_a_pixel_is_measured_on_the_ground():
    """Of a projection, of degrees, and of nothing."""

    def measure(crs, *transform):
        crs = rasterio.CRS.from_user_input(crs) if crs else None
        grid = dict(transform=rasterio.Affine(*transform), crs=crs)
        return pixel_size(SimpleNamespace(width=10, height=10, **grid))

    mercator = measure('EPSG:3857', 10, 0, 12e6, 0, -10, 4865942)
    assert mercator == pytest.approx(10 / 1.7061**0.5, rel=5e-3)
    degrees = measure('EPSG:4326', 1e-4, 0, 10, 0, -1e-4, 60)
    assert degrees == pytest.approx((5.580 * 11.141) ** 0.5, rel=5e-3)
    assert measure(None, 10, 0, 12e6, 0, -10, 4865942) is None
    assert measure('EPSG:4326', 1, 0, 0, 0, 1, 0) is None
