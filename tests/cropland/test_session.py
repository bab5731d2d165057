"""What is said before and after a scene is mapped."""

import argparse

import pytest
import torch
from affine import Affine

from mmfdconv.cropland import options
from mmfdconv.cropland.predictor import Predictor
from mmfdconv.cropland.products import Products
from mmfdconv.cropland.scene import Scene, check_scenes
from mmfdconv.cropland.session import describe_scene, map_with_bar

from .helpers import BANDS, CLASSES, PALETTE, PIXEL, noise, write_scene

pytestmark = pytest.mark.core


def describe(path, predictor, crs=None):
    with Scene(path, 4, crs=crs, trained=predictor.bands) as scene:
        return describe_scene(scene, predictor)


def test_bands_and_size(predictor, tmp_path):
    names = ('nir', 'red', 'green', 'blue')
    path = write_scene(tmp_path / 'a.tif', noise(4, 20, 30), names=names)
    text = describe(path, predictor)
    assert '30 x 20 pixels, uint8, EPSG:32650' in text
    assert 'band 4 (blue), band 3 (green), band 2 (red), band 1 (nir)' in text
    assert 'trained on blue, green, red, nir' in text
    assert 'warning' not in text


def test_sixteen_bits_for_a_model_of_eight(predictor, tmp_path):
    path = write_scene(
        tmp_path / 'a.tif', noise(4, 20, 30, 'uint16'), names=BANDS
    )
    assert '--value-range LOW HIGH' in describe(path, predictor)
    scaled = Predictor(
        predictor.model,
        CLASSES,
        PALETTE,
        value_range=(0, 2047),
        bands=BANDS,
    )
    text = describe(path, scaled)
    assert '--value-range' not in text
    assert 'warning: the config has no normalisation' in text


def test_a_coordinate_system_that_is_given(predictor, tmp_path):
    path = write_scene(tmp_path / 'a.tif', noise(4, 20, 30), names=BANDS)
    assert 'the file says' not in describe(path, predictor)
    text = describe(path, predictor, 'EPSG:32651')
    assert 'uint8, EPSG:32651' in text
    assert 'the file says EPSG:32650; using EPSG:32651 from --crs' in text


def test_an_alpha_among_the_bands(predictor, tmp_path):
    values = noise(4, 20, 30)
    values[3] = 255
    path = write_scene(tmp_path / 'a.tif', values)
    with Scene(path, 4, [*'1234']) as scene:
        text = describe_scene(scene, predictor)
    assert 'calls one of these bands alpha' in text


def test_a_pipeline_that_resizes(predictor, tmp_path):
    path = write_scene(tmp_path / 'a.tif', noise(4, 20, 30), names=BANDS)
    assert 'the test pipeline' not in describe(path, predictor)
    resizing = Predictor(
        predictor.model,
        CLASSES,
        PALETTE,
        pipeline=[dict(type='Resize', scale=(64, 64))],
        bands=BANDS,
    )
    assert 'the test pipeline resizes images' in describe(path, resizing)


def test_a_projection_that_stretches_areas(predictor, tmp_path):
    path = write_scene(
        tmp_path / 'a.tif',
        noise(4, 20, 30),
        names=BANDS,
        crs='EPSG:3857',
        transform=Affine(10, 0, 12e6, 0, -10, 4865942),
    )
    assert 'areas look 1.71 times as large' in describe(path, predictor)


def test_a_scene_unlike_the_training_data(predictor, tmp_path, monkeypatch):
    def said_of(training_data, **options):
        monkeypatch.setattr(predictor, 'training_data', training_data)
        values = noise(4, 150, 160)  # from 1 to 250
        values[:, :20] = 0
        path = write_scene(
            tmp_path / 'a.tif', values, names=BANDS, nodata=0, **options
        )
        return describe(path, predictor)

    like = dict(pixel_size=5.0, low=20.0, high=200.0)
    assert 'training data' not in said_of(like)
    assert 'training data' not in said_of({**like, 'pixel_size': None})
    coarse = Affine(10, 0, 500000, 0, -10, 3400000)
    said = said_of(like, transform=coarse)
    assert "warning: the scene's pixels are 10 m wide and those of" in said
    assert 'training data 5 m' in said and 'values lie outside' not in said
    dark = said_of({**like, 'high': 30.0})
    assert "of the scene's values lie outside of 20 to 30" in dark
    assert 'm wide' not in dark
    assert 'training data' not in said_of(None, transform=coarse)


def test_words_about_the_result(predictor, tmp_path, capsys):
    values = noise(4, 70, 60)
    path = write_scene(tmp_path / 'a.tif', values, names=BANDS)
    parser = argparse.ArgumentParser()
    options.add_scene_options(parser)
    options.add_model_options(parser)
    args = parser.parse_args(['--window', '64', '--overlap', '32'])
    said = []
    mapped = map_with_bar(path, predictor, tmp_path / 'a', args, said.append)
    text = '\n'.join(said)
    assert f'{70 * 60 * PIXEL:,.2f} ha' in text
    assert f'{mapped.polygons.written} polygons; ' in text
    assert f'wrote {mapped.files["map"]}' in text
    assert 'reading 0.0 s' in text
    assert '2/2' in capsys.readouterr().err
    assert 'warning' not in text
    (tmp_path / 'a_b_confidence.tif').touch()  # another scene's
    (tmp_path / 'a_polygons.parquet').touch()
    said.clear()
    products = Products(polygons=False)
    map_with_bar(
        *(path, predictor, tmp_path / 'a', args, said.append),
        products=products,
    )
    assert [line for line in said if 'warning' in line] == [
        f'warning: {tmp_path}/a_polygons.{kind} is of an earlier run, and not '
        'of this map'
        for kind in ('gpkg', 'parquet')
    ]


def test_scenes_are_checked_without_a_model(tmp_path):
    values = noise(4, 20, 30)
    good = write_scene(tmp_path / 'good.tif', values)
    bad = write_scene(tmp_path / 'bad.tif', values, crs=None)
    check_scenes([good])
    with pytest.raises(ValueError, match='bad.tif has no coordinate system'):
        check_scenes([good, bad])
    check_scenes([good, bad], crs='EPSG:32650')
    with pytest.raises(ValueError, match="no band is called 'nir'"):
        check_scenes([good], ['1', 'nir'])


def test_wrong_option(capsys):
    args = argparse.Namespace(
        batch=0, window=64, overlap=32, margin=None, gates='window'
    )
    with pytest.raises(ValueError, match='--batch: must be at least 1'):
        options.tiling(args, torch.device('cpu'))
    args.batch = None
    assert options.tiling(args, torch.device('cpu')).batch == 1
    assert options.tiling(args, torch.device('cuda')).batch > 1
    with pytest.raises(SystemExit, match='a.py: error: no'):
        with options.stoppable('a.py'):
            raise ValueError('no')
    with pytest.raises(SystemExit) as stop:
        with options.stoppable('a.py'):
            raise KeyboardInterrupt
    assert stop.value.code == 130
    assert 'a.py: stopped' in capsys.readouterr().err
