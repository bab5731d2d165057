"""No file that looks finished unless all are."""

import os
import tempfile

import pytest

from mmfdconv.cropland.atomic import Outputs

pytestmark = pytest.mark.core


def write(path, text):
    with open(path, 'w') as file:
        file.write(text)


def test_all_appear_at_the_end(tmp_path):
    target = tmp_path / 'new' / 'map.tif'
    stale = tmp_path / 'new' / 'map.tif.aux.xml'
    with Outputs() as outputs:
        temporary = outputs.add(target)
        stale.write_text('of an older map')
        assert temporary.endswith('/map.tif') and 'unfinished' in temporary
        write(temporary, 'map')
        assert not target.exists()
    assert [*target.parent.iterdir()] == [target]
    assert target.read_text() == 'map'


@pytest.mark.parametrize('error', [ValueError, KeyboardInterrupt, SystemExit])
def test_nothing_appears_after_an_error(tmp_path, error):
    old = tmp_path / 'map.tif'
    old.write_text('old')
    with pytest.raises(error):
        with Outputs() as outputs:
            for name in ('map.tif', 'polygons.gpkg'):
                temporary = outputs.add(tmp_path / name)
                write(temporary, 'half')
                write(f'{temporary}-journal', 'half')
            raise error
    assert [*tmp_path.iterdir()] == [old]
    assert old.read_text() == 'old'


def test_others_files_stay(tmp_path):
    """Two at the same outputs, in one process: their number tells nothing."""
    names = ('map.unfinished-1234.tif', f'map.unfinished-{os.getpid()}.tif')
    for name in names:
        write(tmp_path / name, 'of another process')
    target = tmp_path / 'map.tif'
    with Outputs() as first:
        write(first.add(target), 'first')
        with pytest.raises(KeyboardInterrupt):
            with Outputs() as second:
                write(second.add(target), 'second')
                raise KeyboardInterrupt
        with Outputs() as third:
            write(third.add(target), 'third')
        assert target.read_text() == 'third'
    assert target.read_text() == 'first'
    assert {path.name for path in tmp_path.iterdir()} == {*names, 'map.tif'}


def test_sidecars_come_along(tmp_path):
    with Outputs() as outputs:
        unfinished = outputs.add(tmp_path / 'map.tif')
        for name in (unfinished, f'{unfinished}.aux.xml', f'{unfinished}-x'):
            write(name, 'map')
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {'map.tif', 'map.tif.aux.xml'}


def test_a_missing_output_leaves_no_other(tmp_path):
    with pytest.raises(FileNotFoundError):
        with Outputs() as outputs:
            write(outputs.add(tmp_path / 'a'), 'a')
            outputs.add(tmp_path / 'b')
    assert [*tmp_path.iterdir()] == []


def test_an_input_is_not_replaced(tmp_path):
    scene = tmp_path / 'scene.tif'
    scene.write_text('pixels')
    with pytest.raises(ValueError, match='would replace the input'):
        Outputs([scene]).add(tmp_path / '.' / 'scene.tif')


def test_a_folder_that_cannot_be(tmp_path, monkeypatch):
    (tmp_path / 'file').write_text('')
    with pytest.raises(ValueError, match='cannot be made'):
        Outputs().add(tmp_path / 'file' / 'map.tif')
    with pytest.raises(ValueError, match='is a folder'):
        Outputs().add(tmp_path)

    def full(**options):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(tempfile, 'mkdtemp', full)
    with pytest.raises(ValueError, match='cannot be written to: No space'):
        Outputs().add(tmp_path / 'map.tif')
