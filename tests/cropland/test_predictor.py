"""The model as a function, and the checkpoints it refuses."""

import numpy as np
import pytest
import torch

from mmfdconv.cropland.heads import probabilities_of
from mmfdconv.cropland.predictor import Predictor, load_predictor
from mmfdconv.models import MaskDINOSegHead

from .helpers import (
    BANDS,
    CLASSES,
    PALETTE,
    as_rows,
    write_checkpoint,
    write_config,
)

pytestmark = pytest.mark.core

# As the config's.
NORMALISE = dict(type='NormalizeBands', mean=[100] * 4, std=[50] * 4)
MEANS = 'mean=[90] * 3, std=[9] * 3'
RGB = "type='LoadImageFromFile'"
GEO = "type='LoadGeoTIFF'"


def test_names_and_channels(predictor):
    assert predictor.classes == CLASSES
    assert tuple(predictor.palette) == PALETTE
    assert predictor.channels == 4
    assert predictor.bands == BANDS
    assert predictor.takes_bytes()


def test_classes_have_shares_of_what_mask_dino_scores():
    head = MaskDINOSegHead.__new__(MaskDINOSegHead)
    scores = torch.tensor([3.0, 1.0])[:, None, None]
    shares = probabilities_of(head)(scores).flatten().tolist()
    assert shares == [0.75, 0.25]


@pytest.mark.parametrize('size', [(37, 70), (64, 96), (1, 7)])
def test_any_size(predictor, size):
    """Though the U-Net refuses odd ones."""
    values = np.random.default_rng(0).uniform(0, 200, (4, *size))
    found = predictor([as_rows(values), as_rows(values[:, ::-1])])
    assert found.shape == (2, 6, *size)
    assert found.dtype == torch.float32
    alone = predictor([as_rows(values[:, ::-1])])[0]
    torch.testing.assert_close(found[1], alone)
    padded = np.pad(
        values, [(0, 0), *((0, -n % 32) for n in size)], constant_values=100
    )
    h, w = size
    whole = predictor([as_rows(padded)])[0, :, :h, :w]
    torch.testing.assert_close(found[0], whole)


def test_value_range(predictor):
    scaled = Predictor(
        predictor.model,
        CLASSES,
        PALETTE,
        value_range=(1000, 3000),
        pipeline=[NORMALISE],
    )
    values = np.random.default_rng(0).uniform(-10, 265, (4, 32, 32))
    torch.testing.assert_close(
        scaled([as_rows(values / 255 * 2000 + 1000)]),
        predictor([as_rows(values.clip(0, 255))]),
        rtol=0,
        atol=1e-4,
    )
    with pytest.raises(ValueError, match='--value-range: 5 must be less'):
        Predictor(predictor.model, CLASSES, PALETTE, value_range=(5, 5))


def test_half_precision_is_close(predictor):
    half = Predictor(
        predictor.model, CLASSES, PALETTE, amp=True, pipeline=[NORMALISE]
    )
    window = as_rows(np.random.default_rng(0).uniform(0, 200, (4, 64, 64)))
    found = half([window])
    assert found.dtype == torch.float32
    both = [one.probabilities(one([window])) for one in (half, predictor)]
    difference = (both[0] - both[1]).abs()
    assert 0 < difference.mean() < 0.02


def test_a_checkpoint_that_does_not_fit(model_files, tmp_path):
    config, _ = model_files
    other = write_config(tmp_path, channels=3)
    checkpoint = str(write_checkpoint(other, tmp_path / 'other.pth'))
    with pytest.raises(ValueError, match='does not fit the model'):
        load_predictor(config, checkpoint, device='cpu')
    torch.save(dict(state_dict={}), tmp_path / 'empty.pth')
    with pytest.raises(ValueError, match='does not fit the model'):
        load_predictor(config, str(tmp_path / 'empty.pth'), device='cpu')
    (tmp_path / 'text.pth').write_text('no weights')
    with pytest.raises(ValueError, match='cannot be read'):
        load_predictor(config, str(tmp_path / 'text.pth'), device='cpu')
    with pytest.raises(ValueError, match='is not a file'):
        load_predictor(config, 'none.pth')


def test_names_from_the_config(tmp_path):
    config = write_config(tmp_path)
    checkpoint = write_checkpoint(config, tmp_path / 'a.pth')
    state = torch.load(checkpoint)['state_dict']
    torch.save(dict(state_dict=state), checkpoint)
    unnamed = load_predictor(str(config), str(checkpoint), device='cpu')
    assert unnamed.classes == tuple(f'class {i}' for i in range(6))
    assert len(set(unnamed.palette)) == 6
    text = config.read_text() + (
        "test_dataloader['dataset'] = dict(dataset=dict("
        f"type='ADE20KDataset', metainfo=dict(classes={CLASSES!r}, "
        f'palette={PALETTE!r})))\n'
    )
    config.write_text(text)
    named = load_predictor(str(config), str(checkpoint), device='cpu')
    assert named.classes == CLASSES
    assert tuple(named.palette) == PALETTE


def test_more_names_than_classes(tmp_path):
    config = write_config(tmp_path)
    checkpoint = write_checkpoint(config, tmp_path / 'a.pth', CLASSES[:5])
    with pytest.raises(ValueError, match='names 5 classes .* model has 6'):
        load_predictor(str(config), str(checkpoint), device='cpu')


@pytest.mark.parametrize(
    ('preprocessor', 'step', 'bands'),
    [
        (MEANS + ', bgr_to_rgb=True', RGB, ('red', 'green', 'blue')),
        (MEANS, RGB, ('blue', 'green', 'red')),
        ('bgr_to_rgb=True', RGB, ('red', 'green', 'blue')),
        ('', RGB, ('blue', 'green', 'red')),
        ('', RGB + ", imdecode_backend='tifffile'", ()),
        ('', RGB + ", color_type='grayscale'", ()),
        ('', GEO + ", bands=['nir', 'red', 'b']", ('nir', 'red', 'b')),
        ('', GEO + ', bands=[3, 2, 1]', (3, 2, 1)),
        ('', GEO + ", bands=['nir', 2, 1]", ('nir', 2, 1)),
        ('', GEO, ()),
        (
            '',
            GEO + ", bands=[4, 2, 'c'], band_names=list('abcd')",
            ('d', 'b', 'c'),
        ),
        # A preprocessor turns three bands around, whatever they are.
        ('bgr_to_rgb=True', GEO + ', bands=[4, 2, 1]', (1, 2, 4)),
        (MEANS + ', bgr_to_rgb=True', GEO, (3, 2, 1)),
        ('', "type='LoadImageFromNDArray'", ()),
    ],
)
def test_bands_from_the_config(tmp_path, preprocessor, step, bands):
    config = write_config(tmp_path, channels=3)
    checkpoint = write_checkpoint(config, tmp_path / 'a.pth')
    text = config.read_text() + (
        "model['data_preprocessor'] = dict(\n"
        f"    type='SegDataPreProcessor', {preprocessor})\n"
        'test_dataloader = dict(dataset=dict(pipeline=[\n'
        f'    dict({step})]))\n'
    )
    config.write_text(text)
    found = load_predictor(str(config), str(checkpoint), device='cpu')
    assert found.bands == bands
    assert found.channels == 3
    assert (found.mean is None) == ('mean' not in preprocessor)
