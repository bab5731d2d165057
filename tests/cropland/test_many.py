"""Many scenes or pairs in one run: found, named, gone on with, added up."""

import csv
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from mmfdconv.commands import main
from mmfdconv.cropland.many import Pair, find_pairs, find_scenes, name_results
from mmfdconv.cropland.shares import fingerprint

from .helpers import BANDS, PIXEL, noise, write_scene
from .test_assess import box, write_features
from .test_change import write_map

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
    # As editors on Windows save it, with a mark of the encoding.
    names.write_text('\ufeffc.tif\n\n/vsizip/x.zip/d.tif\n', 'utf-8')
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
    assert '3 scenes to map; 0 are done' in run('--simplify', '9')
    os.utime(model_files[0])  # as if the config had been edited
    assert '3 scenes to map; 0 are done' in run('--simplify', '9')
    # So does what a config inherits; a remark there does not.
    base, heir = tmp_path / 'base.py', tmp_path / 'heir.py'
    text = Path(model_files[0]).read_text()
    base.write_text(text)
    heir.write_text("_base_ = 'base.py'")
    argv[1] = str(heir)
    assert '3 scenes to map; 0 are done' in run()
    base.write_text(f'{text}\n# a remark')
    assert '0 scenes to map; 3 are done' in run()
    base.write_text(f'{text}\nrandomness = dict(seed=1)')
    assert '3 scenes to map; 0 are done' in run()


@pytest.mark.parametrize('kind', ['mosaic', 'mosaics', 'archive', 'shape'])
def test_files_behind_a_name_are_part_of_the_fingerprint(tmp_path, kind):
    source = write_scene(tmp_path / 'a.tif', noise(1, 8, 9))
    names = {'mosaic': tmp_path / 'b.vrt', 'mosaics': tmp_path / 'c.vrt'}
    for file, path in (('a.tif', 'b.vrt'), ('b.vrt', 'c.vrt')):
        (tmp_path / path).write_text(
            '<VRTDataset rasterXSize="9" rasterYSize="8">'
            '<VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
            f'<SourceFilename relativeToVRT="1">{file}</SourceFilename>'
            '</SimpleSource></VRTRasterBand></VRTDataset>'
        )
    changed = source
    if kind == 'archive':
        changed = tmp_path / 'x.zip'
        with zipfile.ZipFile(changed, 'w') as file:
            file.write(source, 'a.tif')
        names[kind] = f'/vsizip/{changed}/a.tif'
    elif kind == 'shape':
        names[kind], changed = tmp_path / 's.shp', tmp_path / 's.dbf'
        touch(tmp_path, 's.shp', 's.dbf')

    def mark():
        return fingerprint([str(names[kind])], {}, ())

    before = mark()
    touch(tmp_path, 'a.tif.aux.xml')
    assert mark() == before
    os.utime(changed, (0, 0))
    assert mark() != before


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


def test_pairs_go_by_name_or_by_a_table(tmp_path):
    touch(tmp_path / 'a', 'x_classes.tif', 'x_confidence.tif', 'y_classes.tif')
    touch(tmp_path / 'b', 'y.tif', 'x.tif')
    early, late = tmp_path / 'a', tmp_path / 'b'
    assert find_pairs(str(early), str(late), maps=True) == [
        Pair(
            name, str(early / f'{name}_classes.tif'), str(late / f'{name}.tif')
        )
        for name in 'xy'
    ]
    touch(late, 'z.tif')
    with pytest.raises(ValueError, match='z is in only one of .*a and .*b;'):
        find_pairs(str(early), str(late), maps=True)
    table = tmp_path / 'pairs.csv'
    table.write_text('after,before\nb/x.tif,b/y.tif\n/vsizip/c.zip/x.tif,x\n')
    assert find_pairs(str(table)) == [
        Pair('y', str(late / 'y.tif'), str(late / 'x.tif')),
        Pair('x', 'x', '/vsizip/c.zip/x.tif'),
    ]
    for rows, message in (
        ('before,after\na,b\na,c\n', 'the name a comes twice'),
        ('before,then\na,b\n', 'row 2 lacks before or after; .* then'),
        ('before,after\n', 'pairs.csv has no pairs'),
    ):
        table.write_text(rows)
        with pytest.raises(ValueError, match=message):
            find_pairs(str(table))
    with pytest.raises(ValueError, match='x.tif: alone it must be a CSV'):
        find_pairs(str(late / 'x.tif'))


def test_pairs_are_compared_and_gone_on_with(tmp_path, capsys):
    (tmp_path / 'before').mkdir()
    (tmp_path / 'after').mkdir()
    values = np.full((30, 30), 3)
    values[:20] = 2
    for number, name in enumerate('abc', 1):
        after = values.copy()
        after[:number] = 1
        for when, year in (('before', values), ('after', after)):
            write_map(tmp_path / when / f'{name}_classes.tif', year)
    damaged = tmp_path / 'after' / 'b_classes.tif'
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:500])
    out = tmp_path / 'out'
    argv = [str(tmp_path / 'before'), str(tmp_path / 'after')]
    argv += ['--out-dir', str(out)]
    with pytest.raises(SystemExit, match='1 pairs were not compared: b: '):
        main('change', argv, 'change.py')
    said = capsys.readouterr().out
    assert '3 pairs to compare; 0 are done' in said
    assert '2 pairs together:' in said
    done = (out / 'a_change.tif').stat().st_ino
    damaged.write_bytes(whole)
    main('change', argv, 'change.py')
    said = capsys.readouterr().out
    assert '1 pairs to compare; 2 are done' in said
    assert f'lost         {(1 + 2 + 3) * 30 * PIXEL:>14,.2f} ha' in said
    assert (out / 'a_change.tif').stat().st_ino == done
    with (out / 'changes.csv').open(newline='') as file:
        lost = {
            row['pair']: float(row['hectares'])
            for row in csv.DictReader(file)
            if row['cropland'] == 'lost'
        }
    expected = {'a': 30 * PIXEL, 'b': 60 * PIXEL, 'c': 90 * PIXEL}
    assert lost == pytest.approx(expected, abs=1e-4)
    # By zones, in one table, too: all of it is in the first one.
    zones = tmp_path / 'zones.gpkg'
    features = [(box(0, 0, 30, 30), 'all'), (box(0, 0, 30, 1), 'top row')]
    write_features(zones, 'Polygon', features)
    more = ('--zones', str(zones), '--zone-field', 'label')
    main('change', [*argv, *more], 'change.py')
    assert '3 pairs to compare; 0 are done' in capsys.readouterr().out
    with (out / 'changes_zones.csv').open(newline='') as file:
        lost = {
            (row['pair'], row['zone']): float(row['hectares'])
            for row in csv.DictReader(file)
            if row['class'] == 'cropland lost'
        }
    rows = {('a', 'all'): 1, ('b', 'all'): 2, ('c', 'all'): 3}
    rows.update({(name, 'top row'): 1 for name in 'abc'})
    assert lost == pytest.approx(
        {key: count * 30 * PIXEL for key, count in rows.items()}, abs=1e-4
    )
    # Zones that are refused leave no table of earlier ones behind.
    write_features(zones, 'Polygon', [(box(90, 0, 95, 9), 'far')])
    with pytest.raises(SystemExit, match='3 pairs were not compared'):
        main('change', [*argv, *more], 'change.py')
    assert 'pairs together' not in capsys.readouterr().out
    with pytest.raises(SystemExit, match='--confidence: names that of two'):
        main('change', [*argv, '--confidence', 'a', 'b'], 'change.py')


def test_pairs_of_scenes_are_mapped_by_one_model(
    folder, model_files, tmp_path, capsys
):
    later = tmp_path / 'later'
    later.mkdir()
    (folder / 'c.tif').unlink()
    for seed, name in enumerate('ab', 5):
        values = noise(4, 70, 80, seed=seed)
        write_scene(later / f'{name}.tif', values, names=BANDS)
    out = tmp_path / 'out'
    argv = [str(folder), str(later), '--model', *model_files, *SIZE]
    argv += ['--out-dir', str(out)]
    main('change', argv, 'change.py')
    said = capsys.readouterr().out
    assert '2 pairs together:' in said
    scenes = f'{folder / "a.tif"} {later / "a.tif"}'
    assert f'{out / "a_change.tif"} --scenes {scenes}' in said
    maps = [*out.glob('*_classes.tif')]
    assert sorted(path.name for path in maps) == [
        'a_after_classes.tif',
        'a_before_classes.tif',
        'b_after_classes.tif',
        'b_before_classes.tif',
    ]
    times = [path.stat().st_ino for path in maps]
    # Another comparison of the same maps.
    more = ('--mmu', '0.01', '--simplify', '9')
    main('change', [*argv, *more], 'change.py')
    assert '2 pairs to compare; 0 are done' in capsys.readouterr().out
    assert [path.stat().st_ino for path in maps] == times
