"""Data sets and images of a config: read, looked at, refused."""

from types import SimpleNamespace

import pytest
import torch

pytest.importorskip('mmseg')

from mmengine.config import Config
from mmseg.registry import TRANSFORMS

from mmfdconv.analysis.figures import data

from ...tools.experiments import write_mmseg
from .samples import Sample

pytestmark = pytest.mark.core


@pytest.fixture
def cfg(tmp_path):
    return Config.fromfile(write_mmseg(tmp_path))


@pytest.mark.parametrize(
    ('content', 'words'),
    [(None, 'is not a file'), (b'no image', 'cannot be read')],
)
def test_wrong_images_are_told(cfg, tmp_path, content, words):
    path = tmp_path / 'wrong.png'
    if content:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=f'image: .*wrong.png.* {words}'):
        data.read_image(cfg, str(path))


def test_a_config_without_data_is_told(cfg):
    cfg.pop('test_dataloader')
    with pytest.raises(ValueError, match='no test_dataloader'):
        data.read_image(cfg, 'image.png')


def test_training_data_come_without_augmentation(cfg):
    """Concatenated, repeated, or mixed by a wrapper's own pipeline."""
    inner = cfg.train_dataloader.dataset
    both = dict(type='ConcatDataset', datasets=[inner, inner])
    mixed = dict(type='MultiImageMixDataset', dataset=both, pipeline=[1])
    cfg.train_dataloader.dataset = dict(
        type='RepeatDataset', times=2, dataset=mixed
    )
    found = data.build_data(cfg, 'train')
    assert len(found) == 2 * 2 * 2
    read = found.dataset.datasets[1].pipeline.transforms
    tested = cfg.test_dataloader.dataset.pipeline
    assert [type(step).__name__ for step in read] == [t.type for t in tested]


def test_annotations_of_pure_python_configs_are_left_out(cfg):
    pipeline = cfg.test_dataloader.dataset.pipeline
    for step in pipeline:
        step.type = TRANSFORMS.get(step.type)
    names = [step['type'].__name__ for step in data.test_pipeline(cfg)]
    assert 'LoadImageFromFile' in names and 'LoadAnnotations' not in names


def test_pictures_of_other_bands_are_stretched():
    inputs = torch.rand(4, 8, 8) * 4000
    picture = data.displayable(inputs)
    assert picture.shape == (8, 8, 3)
    assert picture.min() == 0
    assert picture.max() == 255
    assert data.displayable(inputs[:1]).shape == (8, 8, 3)


def test_classes_of_every_kind_of_sample():
    labels = torch.tensor([3, 1, 3])
    instances = Sample(gt_instances=SimpleNamespace(labels=labels))
    assert data.classes_in(instances) == [1, 3]
    pixels = torch.zeros(1, 20, 20, dtype=torch.long)
    pixels[0, 0, :2] = 4  # less than 1 %
    pixels[0, 1] = 2
    pixels[0, 2] = 255
    segments = Sample(gt_sem_seg=SimpleNamespace(data=pixels))
    assert data.classes_in(segments) == [0, 2]
    assert data.classes_in(Sample(gt_label=torch.tensor([5]))) == [5]
    assert data.classes_in(Sample()) == []
