"""tools/cropland: from scenes to maps and changes, and what may go wrong."""

import csv
import os
import re
import runpy
import signal
import sys
import time

import numpy as np
import pytest

pytest.importorskip('rasterio')
pytest.importorskip('fiona')
pytest.importorskip('mmseg')

import rasterio

from ..cropland.helpers import (
    CLASSES,
    PIXEL,
    noise,
    write_checkpoint,
    write_config,
    write_scene,
)
from ..cropland.test_change import write_map
from ..processes import free_port
from .conftest import ROOT

pytestmark = pytest.mark.slow

NAMES = ('blue', 'green', 'red', 'nir')
# Of both scenes.
HECTARES = 260 * 300 * PIXEL
WINDOWS = ('--window', '128', '--overlap', '32', '--device', 'cpu')


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp('unet')
    config = write_config(folder)
    return config, write_checkpoint(config, folder / 'unet.pth')


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    """Two years; fields of the later one differ on the right."""
    folder = tmp_path_factory.mktemp('scenes')
    before = noise(4, 260, 300)
    after = before.copy()
    after[:, :, 200:] = noise(4, 260, 100, seed=1)
    return [
        write_scene(folder / f'{year}.tif', values, names=NAMES)
        for year, values in (('2015', before), ('2020', after))
    ]


def test_a_scene_is_mapped(tool, model, scenes, tmp_path):
    result = tool(
        'cropland/map_scene.py',
        scenes[0],
        *model,
        *WINDOWS,
        '--out-dir',
        'maps',
        '--probabilities',
        *('--conv', 'fadconv'),  # the stock checkpoint fits
        *('--gates', 'scene'),
    )
    assert result.returncode == 0, result.stdout[-4000:]
    assert sorted(p.name for p in (tmp_path / 'maps').iterdir()) == [
        '2015_classes.qml',
        '2015_classes.tif',
        '2015_classes.tif.aux.xml',
        '2015_hectares.csv',
        '2015_polygons.gpkg',
        '2015_probabilities.tif',
        '2015_quicklook.png',
    ]
    out = result.stdout
    assert 'the model sees band 1 (blue), band 2 (green), band 3' in out
    assert '18/18' in out  # the bar: a first pass, and the map
    assert f'{HECTARES:,.2f} ha' in out
    assert 'reading' in out and 'model' in out
    with rasterio.open(tmp_path / 'maps' / '2015_classes.tif') as file:
        assert file.shape == (260, 300)
        assert len(np.unique(file.read(1))) >= 3


@pytest.fixture
def two(start):
    """Run a tool in two processes that share its work; what they said."""

    def two(*words):
        world = dict(WORLD_SIZE='2', MASTER_ADDR='127.0.0.1')
        world['MASTER_PORT'] = free_port()
        words = (*words, '--launcher', 'pytorch', '--out-dir', 'out')
        ranks = [
            start(*words, RANK=rank, LOCAL_RANK=rank, **world) for rank in '01'
        ]
        for rank in ranks:
            assert rank.end().returncode == 0, rank.stdout[-4000:]
        return [rank.stdout for rank in ranks]

    return two


def test_two_processes_share_the_scenes(two, model, tmp_path):
    folder = tmp_path / 'scenes'
    folder.mkdir()
    for seed in range(3):
        write_scene(
            folder / f'{seed}.tif', noise(4, 70, 80, seed=seed), names=NAMES
        )
    said = two('cropland/map_scene.py', folder, *model, *WINDOWS)
    assert '2 scenes to map' in said[0] and '1 scenes to map' in said[1]
    assert '3 scenes together:' in said[0]
    assert 'together' not in said[1]
    # Each was written once, by one of them.
    for seed in range(3):
        line = f'wrote out/{seed}_classes.tif'
        assert [line in text for text in said] == [seed != 1, seed == 1]
    with open(tmp_path / 'out' / 'hectares.csv', newline='') as file:
        scenes = [row['scene'] for row in csv.DictReader(file)]
    assert len(set(scenes)) == 3
    assert len(scenes) == 3 * len(CLASSES)


def test_two_processes_share_the_pairs(two, tmp_path):
    """What either compares is in the table, which one of them writes."""
    rng = np.random.default_rng(0)
    for when in ('before', 'after'):
        (tmp_path / when).mkdir()
        for name in 'abc':
            values = rng.integers(1, 4, (40, 50))
            write_map(tmp_path / when / f'{name}_classes.tif', values)
    said = two('cropland/change.py', 'before', 'after')
    assert '2 pairs to compare' in said[0] and '1 pairs to compare' in said[1]
    assert '3 pairs together:' in said[0]
    assert 'together' not in said[1]
    for name in 'abc':
        line = f'wrote out/{name}_change.tif'
        assert [line in text for text in said] == [name != 'b', name == 'b']
    with open(tmp_path / 'out' / 'changes.csv', newline='') as file:
        pairs = {}
        for row in csv.DictReader(file):
            hectares = float(row['hectares'])
            pairs[row['pair']] = pairs.get(row['pair'], 0) + hectares
    expected = dict.fromkeys('abc', 40 * 50 * PIXEL)
    assert pairs == pytest.approx(expected, rel=1e-3)


def test_windows_are_measured(tool, model, scenes):
    result = tool(
        'cropland/windows.py',
        scenes[0],
        *model,
        *('--windows', '128-64', '--device', 'cpu'),
    )
    assert result.returncode == 0, result.stdout[-4000:]
    # Nothing in a static model sees where windows end, at this overlap.
    whole, windows = result.stdout.splitlines()[-2:]
    assert whole == '| scene at once |  |  | 0.00 |  |  |'
    assert windows.startswith('| window | 128 | 64 | 0.')
    result = tool('cropland/windows.py', scenes[0], *model, '--windows', '128')
    assert result.returncode != 0
    assert "--windows: must be like 512-128, not '128'" in result.stdout


def test_bands_by_name(tool, model, scenes, tmp_path):
    result = tool(
        'cropland/map_scene.py',
        scenes[0],
        *model,
        *WINDOWS,
        '--no-polygons',
        '--bands',
        *('nir', 'red', '2', 'blue'),
    )
    assert result.returncode == 0, result.stdout[-4000:]
    assert 'band 4 (nir), band 3 (red), band 2 (green)' in result.stdout
    assert not (tmp_path / '2015_polygons.gpkg').exists()


def test_change_between_scenes_and_between_their_maps(
    tool, model, scenes, tmp_path
):
    limit = ('--min-confidence', '25')
    result = tool(
        'cropland/change.py', *scenes, *limit, '--model', *model, *WINDOWS
    )
    assert result.returncode == 0, result.stdout[-4000:]
    names = {p.name for p in tmp_path.iterdir()}
    assert names >= {
        'before_classes.tif',
        'after_classes.tif',
        'cropland_change.tif',
        'cropland_change_confidence.tif',
        'cropland_change.gpkg',
        'cropland_change.png',
        'cropland_change.csv',
    }
    first = (tmp_path / 'cropland_change.csv').read_text()
    rows = [*csv.DictReader(first.splitlines())]
    total = sum(float(row['hectares']) for row in rows)
    assert total == pytest.approx(HECTARES, abs=0.01)
    kinds = {row['cropland'] for row in rows}
    assert kinds >= {'lost', 'gained', 'unsure'}
    assert {row['before'] for row in rows} <= {*CLASSES, 'unsure'}

    result = tool(
        'cropland/change.py',
        'before_classes.tif',
        'after_classes.tif',
        *limit,
        '--out-dir',
        'again',
    )
    assert result.returncode == 0, result.stdout[-4000:]
    assert 'farmland before' in result.stdout
    assert (tmp_path / 'again' / 'cropland_change.csv').read_text() == first


@pytest.fixture
def ends_with(monkeypatch, tmp_path):
    """Run a tool in this process and return the sentence it ends with."""
    monkeypatch.chdir(tmp_path)

    def ends_with(name, *args):
        path = str(ROOT / 'tools' / 'cropland' / name)
        monkeypatch.setattr(sys, 'argv', [path, *map(str, args)])
        with pytest.raises(SystemExit) as stop:
            runpy.run_path(path, run_name='__main__')
        assert [*tmp_path.glob('**/*classes*')] == []
        assert [*tmp_path.glob('**/*change*')] == []
        return stop.value.code

    return ends_with


def test_wrong_scenes_are_told(ends_with, model, scenes, tmp_path):
    values = noise(4, 64, 64)
    no_crs = write_scene(tmp_path / 'no_crs.tif', values, crs=None)
    nameless = write_scene(tmp_path / 'nameless.tif', values)
    few = write_scene(tmp_path / 'few.tif', values[:2])
    short = write_scene(tmp_path / 'short.tif', values)
    data = short.read_bytes()
    short.write_bytes(data[: len(data) // 2])
    for scene, message, *options in [
        (no_crs, 'no_crs.tif has no coordinate system'),
        (few, 'the model takes 4 bands; the bands of'),
        (nameless, "no band is called 'blue'; the bands of"),
        (short, 'short.tif is cut short'),
        ('none.tif', 'none.tif is not a file'),
        (few, "no band is called 'nir'", '--bands', *'nir 1 2 1'.split()),
        (scenes[0], '--window: must be', '--window', 100),
        (scenes[0], '--batch: must be at least 1', '--batch', 0),
        (scenes[0], '--conv odcnv: method must be', '--conv', 'odcnv'),
    ]:
        options += ['--device', 'cpu']
        said = ends_with('map_scene.py', scene, *model, *options)
        assert said.startswith('map_scene.py: error: ')
        assert message in said


def test_wrong_maps_are_told(ends_with, scenes):
    said = ends_with('change.py', *scenes)
    assert said.startswith('change.py: error: ')
    assert 'is no map of classes' in said
    said = ends_with('change.py', *scenes, '--launcher', 'pytorch')
    assert "--launcher: 'pytorch' shares out many pairs" in said


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_stopped(start, model, tmp_path, number):
    """On Ctrl-C, and when it is terminated, it leaves no file."""
    scene = write_scene(
        tmp_path / 'scene.tif', noise(4, 3000, 1500), names=NAMES
    )
    folder = tmp_path / 'out'
    run = start(
        'cropland/map_scene.py',
        *(scene, *model, *WINDOWS, '--batch', '1', '--out-dir', folder),
    )
    end = time.monotonic() + 120
    # The bar says that windows are done, and the map is not.
    while not re.search(r'\| *[1-9]\d*/\d+ \[', run.stdout):
        assert run.returncode is None and time.monotonic() < end, run.stdout
        time.sleep(0.05)
    unfinished = [p.name for p in folder.iterdir()]
    assert any('unfinished' in name for name in unfinished)
    assert not any(name == 'scene_classes.tif' for name in unfinished)
    os.kill(run.pid, number)
    assert run.end().returncode == (130 if number == signal.SIGINT else 1)
    assert 'unfinished files are deleted' in run.stdout
    assert 'Traceback' not in run.stdout
    assert [*folder.iterdir()] == []
