"""The model as a function, and the checkpoints it refuses."""

import pytest
import torch

from mmfdconv.cropland.predictor import Predictor, load_predictor

from .helpers import BANDS, CLASSES, PALETTE, write_checkpoint, write_config

pytestmark = pytest.mark.core

NORMALISE = [100] * 4, [50] * 4  # as the config's pipeline does
MEANS = 'mean=[90] * 3, std=[9] * 3'
RGB = "type='LoadImageFromFile'"
GEO = "type='LoadGeoTIFF'"


def test_names_and_channels(predictor):
    assert predictor.classes == CLASSES
    assert tuple(predictor.palette) == PALETTE
    assert predictor.channels == 4
    assert predictor.bands == BANDS
    assert predictor.takes_bytes()


def test_probabilities_are_those_of_test_step(predictor):
    values = torch.rand(1, 4, 64, 96) * 200
    normal = (values[0] - 100) / 50  # as the config's pipeline does
    (sample,) = predictor.model.test_step({'inputs': [normal]})
    expected = sample.seg_logits.data.softmax(0)
    torch.testing.assert_close(predictor(values)[0], expected)


def test_any_size_and_no_data(predictor):
    values = torch.rand(2, 4, 37, 70) * 200
    found = predictor(values)
    assert found.shape == (2, 6, 37, 70)
    torch.testing.assert_close(found.sum(1), torch.ones(2, 37, 70))
    values[:, :, :5] = torch.nan
    mean = torch.where(values.isnan(), predictor.mean, values)
    torch.testing.assert_close(predictor(values), predictor(mean))


def test_value_range(predictor):
    scaled = Predictor(
        predictor.model,
        CLASSES,
        PALETTE,
        value_range=(1000, 3000),
        normalise=NORMALISE,
    )
    values = torch.rand(1, 4, 32, 32) * 255
    torch.testing.assert_close(
        scaled(values / 255 * 2000 + 1000), predictor(values)
    )
    with pytest.raises(ValueError, match='--value-range: 5 must be less'):
        Predictor(predictor.model, CLASSES, PALETTE, value_range=(5, 5))


def test_half_precision_is_close(predictor):
    half = Predictor(
        predictor.model, CLASSES, PALETTE, amp=True, normalise=NORMALISE
    )
    values = torch.rand(1, 4, 64, 64) * 200
    found = half(values)
    assert found.dtype == torch.float32
    difference = (found - predictor(values)).abs()
    assert 0 < difference.mean() < 0.02


def test_one_logit_is_two_classes(predictor):
    class One(torch.nn.Module):
        data_preprocessor = predictor.model.data_preprocessor
        backbone = predictor.model.backbone

        def encode_decode(self, x, metas):
            return x[:, :1]

    two = Predictor(One(), CLASSES[:2], PALETTE[:2], normalise=NORMALISE)
    found = two(torch.full((1, 4, 32, 32), 150.0))
    torch.testing.assert_close(found[:, 1], torch.full((1, 32, 32), 0.7310586))


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


def test_what_turns_the_bands_turns_their_means(tmp_path):
    config = write_config(tmp_path, channels=3)
    checkpoint = write_checkpoint(config, tmp_path / 'a.pth')
    text = config.read_text() + (
        "model['data_preprocessor'] = dict(\n"
        "    type='SegDataPreProcessor', bgr_to_rgb=True)\n"
        'test_dataloader = dict(dataset=dict(pipeline=[\n'
        f'    dict({GEO}, bands=[4, 2, 1]),\n'
        "    dict(type='NormalizeBands', mean=[4, 2, 1], std=[8, 4, 2])]))\n"
    )
    config.write_text(text)
    found = load_predictor(str(config), str(checkpoint), device='cpu')
    assert found.bands == (1, 2, 4)
    assert found.mean.flatten().tolist() == [1, 2, 4]
    assert found.std.flatten().tolist() == [2, 4, 8]
