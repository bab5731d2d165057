"""GID's converter: the tiles, the split, resumption, each bad input."""

import errno
import os

import numpy as np
import pytest

pytest.importorskip('rasterio')
pytest.importorskip('cv2')

import cv2
import rasterio
from PIL import Image

from mmfdconv.datasets import tile_files, tile_writer
from mmfdconv.datasets.gid import convert_gid
from mmfdconv.datasets.landcover import GID_PALETTE

from .raw_scenes import (
    SIDE,
    contents,
    gid_name,
    gid_scene,
    write_gid,
    write_tif,
)

OPTIONS = dict(tile_size=SIDE, workers=1)


@pytest.fixture(scope='module')
def raw(tmp_path_factory):
    return write_gid(tmp_path_factory.mktemp('raw'))


@pytest.fixture(scope='module')
def tiles(raw, tmp_path_factory):
    """The tiles of an uninterrupted run, to read only."""
    out = tmp_path_factory.mktemp('out') / 'gid'
    assert convert_gid(raw, out, **OPTIONS) == dict(train=24, val=6)
    return out


@pytest.fixture
def own_raw(tmp_path):
    return write_gid(tmp_path / 'raw', number=2)


def labels(out):
    return sorted((out / 'ann_dir').rglob('*.png'))


@pytest.mark.core
def test_tiles_are_the_pixels_of_their_scenes(tiles):
    assert len(labels(tiles)) == 30
    for path in labels(tiles):
        scene, row, column = path.stem.rsplit('_', 2)
        image, ids = gid_scene(int(scene[13:23]))
        part = np.s_[
            int(row) * SIDE : (int(row) + 1) * SIDE,
            int(column) * SIDE : (int(column) + 1) * SIDE,
        ]
        label = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert label.dtype == np.uint8
        assert np.array_equal(label, ids[part])
        tile = tiles / 'img_dir' / path.parent.name / path.name
        rgb = cv2.imread(str(tile))[..., ::-1]
        assert np.array_equal(rgb, image.transpose(1, 2, 0)[part])


@pytest.mark.core
def test_no_scene_is_in_both_splits(tiles):
    scenes = {
        split: {
            path.stem.rsplit('_', 2)[0]
            for path in (tiles / 'ann_dir' / split).iterdir()
        }
        for split in ('train', 'val')
    }
    assert len(scenes['train']) == 4
    assert len(scenes['val']) == 1
    assert not scenes['train'] & scenes['val']


def test_single_tiles_are_drawn_when_asked(raw, tmp_path):
    counts = convert_gid(raw, tmp_path / 'out', split='tile', **OPTIONS)
    assert counts == dict(train=24, val=6)
    names = [p.stem for p in (tmp_path / 'out/ann_dir/val').iterdir()]
    assert len({name.rsplit('_', 2)[0] for name in names}) > 1


def test_processes_write_what_one_writes(raw, tiles, tmp_path, capsys):
    out = tmp_path / 'out'
    convert_gid(raw, out, tile_size=SIDE, workers=3)
    assert contents(out) == contents(tiles)
    assert '] 30/30, ' in capsys.readouterr().err  # the progress bar


@pytest.mark.core
@pytest.mark.parametrize('writes', [1, 2, 9, 20])
def test_an_interrupted_run_goes_on(raw, tiles, tmp_path, monkeypatch, writes):
    out = tmp_path / 'out'
    replaced = []

    def interrupted(source, target):
        if len(replaced) == writes:
            raise KeyboardInterrupt
        replaced.append(str(target))
        return replace(source, target)

    replace = os.replace
    monkeypatch.setattr(tile_files.os, 'replace', interrupted)
    with pytest.raises(KeyboardInterrupt):
        convert_gid(raw, out, **OPTIONS)
    monkeypatch.setattr(tile_files.os, 'replace', replace)
    whole = contents(tiles)
    there = contents(out)
    assert len(there) == writes
    assert all(whole[name] == data for name, data in there.items())

    times = {path: path.stat().st_mtime_ns for path in labels(out)}
    convert_gid(raw, out, **OPTIONS)
    assert contents(out) == whole
    assert all(p.stat().st_mtime_ns == time for p, time in times.items())


@pytest.mark.core
def test_what_a_killed_run_leaves_is_cleared(raw, tiles, tmp_path):
    out = tmp_path / 'out'
    convert_gid(raw, out, **OPTIONS)
    lost = labels(out)[3]
    unfinished = lost.with_name(f'.{lost.name}.abc.partial')
    unfinished.mkdir()
    lost.rename(unfinished / lost.name)
    labels(out)[7].unlink()
    (
        out / 'img_dir/val' / next(iter((out / 'img_dir/val').iterdir()))
    ).unlink()
    convert_gid(raw, out, **OPTIONS)
    assert contents(out) == contents(tiles)


@pytest.mark.core
@pytest.mark.parametrize(
    ('option', 'value'),
    [('seed', 1), ('split', 'tile'), ('fractions', (0.6, 0.4))],
)
def test_other_options_do_not_go_on(raw, tiles, option, value):
    before = contents(tiles)
    with pytest.raises(ValueError, match=f'was begun with {option} '):
        convert_gid(raw, tiles, **dict(OPTIONS, **{option: value}))
    with pytest.raises(ValueError, match='begun with tile_size 16, .* 8;'):
        convert_gid(raw, tiles, tile_size=8, workers=1)
    assert contents(tiles) == before


def test_other_scenes_do_not_go_on(own_raw, tiles):
    with pytest.raises(ValueError, match=f'changed: {gid_name(2)}'):
        convert_gid(own_raw, tiles, **OPTIONS)


@pytest.mark.core
def test_a_folder_of_something_else_is_not_touched(raw, tmp_path):
    (tmp_path / 'thesis.txt').write_text('the only copy')
    with pytest.raises(ValueError, match='other files than tiles'):
        convert_gid(raw, tmp_path, **OPTIONS)
    assert [path.name for path in tmp_path.iterdir()] == ['thesis.txt']


@pytest.mark.core
@pytest.mark.parametrize('workers', [1, 2])
def test_an_unknown_colour_is_named(own_raw, tmp_path, workers):
    image, ids = gid_scene(1)
    colours = np.array(GID_PALETTE, np.uint8)[ids].transpose(2, 0, 1).copy()
    colours[:, 20, 33] = 200, 0, 0
    name = f'{gid_name(1)}_label.tif'
    write_tif(own_raw / 'label_5classes' / name, colours)
    with pytest.raises(ValueError) as error:
        convert_gid(own_raw, tmp_path / 'o', tile_size=SIDE, workers=workers)
    assert name in str(error.value)
    assert 'colour (200, 0, 0) at row 20, column 33' in str(error.value)


@pytest.mark.core
def test_bad_files_are_named_before_anything_is_written(own_raw, tmp_path):
    out = tmp_path / 'out'

    def message():
        with pytest.raises((ValueError, OSError)) as error:
            convert_gid(own_raw, out, **OPTIONS)
        assert not out.exists()
        return str(error.value)

    label = own_raw / 'label_5classes' / f'{gid_name(0)}_label.tif'
    image, ids = gid_scene(0)
    write_tif(label, image[:, :-1])
    assert f'{label}: is 36x55, its image {gid_name(0)}.tif 37x55' in message()

    label.unlink()
    (own_raw / 'label_5classes' / f'{gid_name(1)}_label.tif').unlink()
    both = message()
    assert f'its label {own_raw}/{gid_name(0)}_label.tif is missing' in both
    assert f'{gid_name(1)}_label.tif is missing' in both

    label.write_bytes(b'not an image')
    assert f'{label}: cannot be read' in message()

    write_gid(own_raw, number=2)
    small = own_raw / 'image_RGB' / f'{gid_name(1)}.tif'
    write_tif(small, image[:, : SIDE - 1])
    assert f'{small}: 15x55 is smaller than a tile of 16x16' in message()
    write_tif(small, image[:2])
    assert f'{small}: has 2 bands of uint8, the first image 3' in message()


def test_a_file_cut_short_is_named(own_raw, tmp_path):
    path = own_raw / 'image_RGB' / f'{gid_name(1)}.tif'
    path.write_bytes(path.read_bytes()[:-1500])
    with pytest.raises(OSError, match=f'{path}: cannot be read'):
        convert_gid(own_raw, tmp_path / 'out', **OPTIONS)


@pytest.mark.core
@pytest.mark.parametrize('workers', [1, 2])
def test_a_full_disk_is_named(raw, tmp_path, monkeypatch, workers, tiles):
    out = tmp_path / 'out'
    write = type(out).write_bytes

    def full(path, data):
        if '0003-' in path.name and 'ann_dir' in str(path):
            write(path, data[:10])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return write(path, data)

    monkeypatch.setattr(type(out), 'write_bytes', full)
    with pytest.raises(OSError) as error:
        convert_gid(raw, out, tile_size=SIDE, workers=workers)
    assert f'{gid_name(3)}_' in str(error.value)
    assert 'the disk is full. The ' in str(error.value)
    assert '.partial' not in str(error.value)
    assert not list(out.rglob('.*'))
    monkeypatch.undo()
    convert_gid(raw, out, **OPTIONS)
    assert contents(out) == contents(tiles)


def test_a_killed_worker_is_heard_of(raw, tmp_path, monkeypatch):
    monkeypatch.setattr(tile_writer, 'encode_png', lambda image: os._exit(9))
    with pytest.raises(OSError, match='a worker process was killed'):
        convert_gid(raw, tmp_path / 'out', tile_size=SIDE, workers=2)


@pytest.mark.core
@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(fractions=(0.5, 0.3, 0.2)), 'fractions must be two'),
        (dict(split='random'), "'scene' or 'tile', got 'random'"),
        (dict(workers=0), 'workers must be at least 1, got 0'),
        (dict(tile_size=0), 'tile_size must be a positive integer, got 0'),
    ],
)
def test_wrong_options_are_named(raw, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        convert_gid(raw, tmp_path / 'out', **dict(OPTIONS, **options))
    assert not (tmp_path / 'out').exists()


@pytest.mark.core
def test_the_folders_can_be_named(own_raw, tmp_path):
    twin = own_raw / 'image_NirRGB' / f'{gid_name(0)}.tif'
    write_tif(twin, gid_scene(0)[0])
    with pytest.raises(ValueError, match='has the same name'):
        convert_gid(own_raw, tmp_path / 'out', **OPTIONS)
    counts = convert_gid(
        own_raw,
        tmp_path / 'out',
        images=own_raw / 'image_RGB',
        labels=own_raw / 'label_5classes',
        **OPTIONS,
    )
    assert counts == dict(train=6, val=6)


def relabel(raw, write, suffix='_label.tif'):
    """Replace the labels of raw scenes by others of the same classes."""
    for path in (raw / 'label_5classes').iterdir():
        path.unlink()
        name = path.name[: -len('_label.tif')]
        _, ids = gid_scene(int(name[13:23]))
        write(path.with_name(name + suffix), ids)


def as_numbers(path, ids):
    write_tif(path, ids[None], photometric='minisblack')


def as_colours(path, ids):
    colours = np.array(GID_PALETTE, np.uint8)[ids]
    assert cv2.imwrite(str(path), colours[..., ::-1])


def as_png_numbers(path, ids):
    assert cv2.imwrite(str(path), ids)


def as_palette_tif(path, ids):
    """The values are not the classes' numbers; the colours are theirs."""
    write_tif(path, 5 - ids[None], photometric='palette')
    with rasterio.open(path, 'r+') as file:
        file.write_colormap(1, dict(enumerate(GID_PALETTE[::-1])))


def as_palette_png(path, ids):
    image = Image.fromarray(5 - ids, 'P')
    image.putpalette(np.array(GID_PALETTE[::-1], np.uint8).tobytes())
    image.save(path)


@pytest.mark.core
@pytest.mark.parametrize(
    ('write', 'suffix'),
    [
        (as_numbers, '_label.tif'),
        (as_numbers, '_5label.TIFF'),
        (as_colours, '_5label.png'),
        (as_png_numbers, '_label.png'),
        (as_palette_tif, '_label.tif'),
        (as_palette_png, '_5label.png'),
    ],
)
def test_labels_as_they_circulate(own_raw, tmp_path, write, suffix):
    convert_gid(own_raw, tmp_path / 'as_published', **OPTIONS)
    relabel(own_raw, write, suffix)
    # The fine labels may lie beside them.
    fine = own_raw / 'label_15classes' / f'{gid_name(0)}_15label.tif'
    write_tif(fine, np.zeros((1, 9, 9), np.uint8))
    convert_gid(own_raw, tmp_path / 'out', **OPTIONS)
    assert contents(tmp_path / 'out') == contents(tmp_path / 'as_published')


@pytest.mark.core
@pytest.mark.parametrize('kind', ['name', 'colour', 'number'])
def test_labels_of_fifteen_classes_are_named(own_raw, tmp_path, kind):
    def write(path, ids):
        if kind == 'number':
            return as_numbers(path, ids * 3)
        colours = np.zeros((3, *ids.shape), np.uint8)
        colours[:, ids == 5] = np.array([[150], [200], [150]])
        return write_tif(path, colours)

    relabel(own_raw, write, f'_{"15" * (kind == "name")}label.tif')
    with pytest.raises(ValueError, match='GF2.*version with 15 classes'):
        convert_gid(own_raw, tmp_path / 'out', **OPTIONS)


@pytest.mark.core
@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (
            lambda ids: ids + 250,
            r'value 25\d at row \d+, .* belongs to no class$',
        ),
        (lambda ids: ids + 0.5, 'has 1 bands of float64'),
        (lambda ids: np.stack([ids, ids]), 'has 2 bands of uint8'),
    ],
)
def test_labels_that_are_none(own_raw, tmp_path, change, message):
    def write(path, ids):
        ids = change(ids)
        write_tif(path, ids if ids.ndim == 3 else ids[None])

    relabel(own_raw, write)
    with pytest.raises(ValueError, match=message):
        convert_gid(own_raw, tmp_path / 'out', **OPTIONS)


@pytest.mark.core
def test_a_palette_of_other_colours(own_raw, tmp_path):
    def write(path, ids):
        write_tif(path, ids[None], photometric='palette')
        with rasterio.open(path, 'r+') as file:
            file.write_colormap(1, {k: (k, 9, 9) for k in range(6)})

    relabel(own_raw, write)
    with pytest.raises(ValueError, match="the file's palette; without one"):
        convert_gid(own_raw, tmp_path / 'out', **OPTIONS)


@pytest.mark.core
def test_two_labels_of_a_scene(own_raw, tmp_path):
    label = own_raw / 'label' / f'{gid_name(0)}_5label.png'
    label.parent.mkdir()
    as_png_numbers(label, gid_scene(0)[1])
    with pytest.raises(ValueError, match='label_5classes.*folder of labels'):
        convert_gid(own_raw, tmp_path / 'out', **OPTIONS)
    folder = own_raw / 'label_5classes'
    convert_gid(own_raw, tmp_path / 'out', labels=folder, **OPTIONS)


@pytest.mark.core
@pytest.mark.parametrize('photometric', ['minisblack', 'rgb'])
def test_tiles_say_of_their_bands_what_the_scenes_say(
    own_raw, tmp_path, photometric
):
    for path in (own_raw / 'image_RGB').iterdir():
        image, _ = gid_scene(int(path.stem[13:23]))
        bands = np.concatenate([image, image[:1]])
        write_tif(path, bands, photometric=photometric, alpha='unspecified')
    convert_gid(own_raw, tmp_path / 'out', **OPTIONS)
    with rasterio.open(path) as scene:
        for tile in (tmp_path / 'out').rglob('*.tif'):
            with rasterio.open(tile) as file:
                assert file.colorinterp == scene.colorinterp
                assert file.descriptions == (None,) * 4


def test_missing_folders_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='none: no such folder'):
        convert_gid(tmp_path / 'none', tmp_path / 'out')
    with pytest.raises(ValueError, match='contains no image'):
        convert_gid(tmp_path, tmp_path / 'out')


def test_what_another_process_writes_stays(tmp_path):
    """Of the same number, as two containers have."""
    theirs = tmp_path / f'.tile.png.{os.getpid()}.partial'
    theirs.write_bytes(b'half')
    tile_files.write_whole(tmp_path / 'tile.png', b'whole')
    assert theirs.read_bytes() == b'half'
    assert (tmp_path / 'tile.png').read_bytes() == b'whole'
    assert len([*tmp_path.iterdir()]) == 2
