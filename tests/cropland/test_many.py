"""Many scenes in one run: found, named, gone on with, added up."""

import csv
from pathlib import Path

import pytest

from mmfdconv.commands import main
from mmfdconv.cropland.many import find_scenes, name_results

from .helpers import BANDS, PIXEL, noise, write_scene

pytestmark = pytest.mark.core

SIZE = ('--window', '64', '--overlap', '32', '--device', 'cpu')


def touch(folder, *names):
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).touch()


def test_folders_and_lists_stand_for_scenes(tmp_path):
    touch(tmp_path / 'a', 'b.tif', 'a.TIF', 'a_classes.tif', 'notes.md')
    touch(tmp_path / 'b', 'c.tif')
    names = tmp_path / 'b' / 'scenes.txt'
    names.write_text('c.tif\n\n/vsizip/x.zip/d.tif\n')
    found = find_scenes([str(tmp_path / 'a'), str(names), 'e.vrt'])
    assert found == [
        str(tmp_path / 'a' / 'a.TIF'),
        str(tmp_path / 'a' / 'b.tif'),
        str(tmp_path / 'b' / 'c.tif'),
        '/vsizip/x.zip/d.tif',
        'e.vrt',
    ]
    with pytest.raises(ValueError, match='e.vrt comes twice'):
        find_scenes(['e.vrt', 'e.vrt'])
    touch(tmp_path / 'c')
    with pytest.raises(ValueError, match='c holds no scene; looked for .tif'):
        find_scenes([str(tmp_path / 'c')])


def test_no_two_scenes_write_the_same_files(tmp_path):
    assert name_results(['/x/a.tif', '/x/b.tif'], 'out') == [
        Path('out/a'),
        Path('out/b'),
    ]
    with pytest.raises(ValueError, match='/x/a.tif and /y/a.tif would both'):
        name_results(['/x/a.tif', '/y/a.tif'], 'out')


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / 'scenes'
    folder.mkdir()
    for seed, name in enumerate(('a', 'b', 'c')):
        values = noise(4, 70, 80, seed=seed)
        write_scene(folder / f'{name}.tif', values, names=BANDS)
    return folder


def test_a_folder_is_mapped_and_gone_on_with(
    folder, model_files, tmp_path, capsys
):
    out = tmp_path / 'out'
    argv = [str(folder), *model_files, *SIZE, '--out-dir', str(out)]

    def run(*more):
        main('map', [*argv, *more], 'map_scene.py')
        return capsys.readouterr().out

    assert '3 scenes to map; 0 are done' in run()
    with (out / 'hectares.csv').open(newline='') as file:
        rows = [*csv.DictReader(file)]
    sums = {}
    for row in rows:
        name = Path(row['scene']).stem
        sums[name] = sums.get(name, 0) + float(row['hectares'])
    expected = dict.fromkeys('abc', 70 * 80 * PIXEL)
    assert sums == pytest.approx(expected, rel=1e-3)

    # One is missing, one has changed, one is done.
    times = {name: (out / f'{name}_classes.tif').stat() for name in 'abc'}
    (out / 'a_polygons.gpkg').unlink()
    values = noise(4, 70, 80, seed=9)
    write_scene(folder / 'b.tif', values, names=BANDS)
    said = run()
    assert '2 scenes to map; 1 are done' in said
    assert '3 scenes together:' in said
    new = {name: (out / f'{name}_classes.tif').stat() for name in 'abc'}
    same = [name for name in 'abc' if new[name].st_ino == times[name].st_ino]
    assert same == ['c']
    # Other options make other maps; other batches do not.
    assert '0 scenes to map; 3 are done' in run('--batch', '2')
    assert '3 scenes to map; 0 are done' in run('--no-polygons')


def test_a_damaged_scene_does_not_stop_the_others(
    folder, model_files, tmp_path, capsys
):
    values = noise(4, 70, 80)
    write_scene(folder / 'b.tif', values, names=BANDS, compress='deflate')
    data = bytearray((folder / 'b.tif').read_bytes())
    data[1000:20000] = b'\xff' * 19000
    (folder / 'b.tif').write_bytes(data)
    out = tmp_path / 'out'
    argv = [str(folder), *model_files, *SIZE, '--out-dir', str(out)]
    with pytest.raises(SystemExit) as stopped:
        main('map', argv, 'map_scene.py')
    assert '1 scenes were not mapped' in str(stopped.value.code)
    assert 'b.tif: rows' in str(stopped.value.code)
    assert '2 scenes together:' in capsys.readouterr().out
    assert (out / 'c_classes.tif').is_file()
