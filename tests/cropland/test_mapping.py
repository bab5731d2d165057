"""Mapping in windows against the model on the whole image."""

import copy
import json
import resource
import threading

import fiona
import numpy as np
import pytest
import rasterio
import torch
from fiona.errors import FionaError
from rasterio.crs import CRS
from rasterio.errors import RasterioError

from mmfdconv.cropland.area import PixelAreas
from mmfdconv.cropland.change import compare
from mmfdconv.cropland.mapping import Tiling, count_windows, map_rows
from mmfdconv.cropland.polygon_files import PolygonOptions
from mmfdconv.cropland.products import Products, map_scene
from mmfdconv.cropland.scene import Scene
from mmfdconv.cropland.windows import RowBlend

from .helpers import (
    BANDS,
    CLASSES,
    PALETTE,
    PIXEL,
    SIGHT,
    UTM,
    as_rows,
    noise,
    write_scene,
)

pytestmark = pytest.mark.core

WINDOWS = Tiling(window=128, overlap=64, margin=24, batch=3)
ALL = PolygonOptions(min_area=0.0)
# Sums of float32 in another order.
ROUNDING = dict(rtol=0, atol=2e-6)


def whole(predictor, values):
    """Probabilities of the whole image at once, shape (K, H, W)."""
    return predictor.probabilities(predictor([as_rows(values)])[0])


def in_windows(predictor, scene, tiling):
    parts = [rows for _, rows, _ in map_rows(scene, predictor, tiling)]
    return predictor.probabilities(torch.cat(parts, 1))


@pytest.fixture
def scene(tmp_path):
    values = noise(4, 301, 270)
    path = write_scene(tmp_path / 'scene.tif', values)
    with Scene(path, 4) as scene:
        yield scene


def values_of(scene):
    return scene.read(0, scene.height).raw


def test_windows_give_what_the_whole_image_gives(predictor, scene):
    expected = whole(predictor, values_of(scene))
    assert len(expected.argmax(0).unique()) >= 3  # there is a map to see
    assert WINDOWS.margin > SIGHT
    found = in_windows(predictor, scene, WINDOWS)
    torch.testing.assert_close(found, expected, **ROUNDING)


def test_the_sight_is_as_said(predictor):
    """One changed pixel moves nothing further than SIGHT away."""
    values = noise(4, 96, 96)
    other = values.copy()
    other[:, 48, 48] += 50
    change = whole(predictor, other) - whole(predictor, values)
    rows, columns = (change.abs() > 1e-6).any(0).nonzero().T
    away = max((rows - 48).abs().max(), (columns - 48).abs().max())
    assert 4 < away <= SIGHT


def test_a_narrow_margin_shows_only_at_the_seams(predictor, scene):
    """Without margin the windows' edges are blended in, and seen."""
    tiling = Tiling(window=128, overlap=32, margin=0)
    expected = whole(predictor, values_of(scene))
    found = in_windows(predictor, scene, tiling)
    seams = torch.zeros(scene.height, scene.width, dtype=torch.bool)
    for axis, plan in enumerate(tiling.plans(scene, predictor)):
        spans = plan.spans()
        for (_, stop), (start, _) in zip(spans, spans[1:]):
            near = slice(start, stop)
            seams[near if axis == 0 else (slice(None), near)] = True
    wrong = ((found - expected).abs() > 1e-5).any(0)
    assert wrong.any()
    assert not wrong[~seams].any()


@pytest.mark.parametrize('size', [(40, 50), (128, 128), (129, 33), (1, 7)])
def test_small_scenes(predictor, tmp_path, size):
    values = noise(4, *size)
    path = write_scene(tmp_path / 'scene.tif', values, names=BANDS)
    with Scene(path, 4) as scene:
        found = in_windows(predictor, scene, WINDOWS)
    torch.testing.assert_close(found, whole(predictor, values), **ROUNDING)


def test_every_pixel_is_read_once_by_another_thread(predictor, scene):
    asked, threads = [], set()
    read = scene.read

    def spy(start, stop):
        asked.extend(range(start, stop))
        threads.add(threading.current_thread())
        return read(start, stop)

    scene.read = spy
    in_windows(predictor, scene, WINDOWS)
    assert asked == [*range(scene.height)]
    assert threading.current_thread() not in threads
    assert not any(thread.is_alive() for thread in threads)


def test_memory_ignores_the_height(predictor, tmp_path, monkeypatch):
    """Blend and rows held are as large for a scene three times as high."""
    held = {}

    class Spy(RowBlend):
        def add(self, *args):
            super().add(*args)
            sizes.append(self.nbytes)

    monkeypatch.setattr('mmfdconv.cropland.mapping.RowBlend', Spy)
    for height in (400, 1200):
        sizes = []
        path = write_scene(tmp_path / 'scene.tif', noise(4, height, 150))
        with Scene(path, 4) as scene:
            longest = max(
                len(valid)
                for _, _, valid in map_rows(scene, predictor, WINDOWS)
            )
        held[height] = max(sizes), longest
    assert held[400] == held[1200]
    assert held[400][0] == 4 * (6 + 1) * 128 * 150
    assert held[400][1] <= 128


def test_the_map_and_all_that_follows(predictor, tmp_path):
    values = noise(4, 301, 270, 'uint16')
    values[:, :40, :100] = 0
    values[:, 200:, 200:] = 0
    path = write_scene(tmp_path / 'scene.tif', values, nodata=0)
    windows = []
    with Scene(path, 4) as scene:
        count = count_windows(scene, predictor, WINDOWS)
        mapped = map_scene(
            scene,
            predictor,
            tmp_path / 'out' / 'scene',
            WINDOWS,
            Products(probabilities=True, options=ALL),
            progress=windows.append,
        )
    assert sum(windows) == count
    assert {p.name for p in (tmp_path / 'out').iterdir()} == {
        *(p.name for p in mapped.files.values()),
        'scene_classes.tif.aux.xml',  # the classes' names
        'scene_classes.qml',  # and colours, for QGIS
    }
    with Scene(path, 4) as scene:
        image = scene.read(0, 301)
        expected = predictor.probabilities(predictor([image])[0]).numpy()
    with rasterio.open(mapped.files['map']) as file:
        classes = file.read(1)
        assert file.crs == CRS.from_epsg(32650)
        assert file.transform == UTM
        assert file.nodata == 255
        colours = file.colormap(1)
        assert tuple(colours[i][:3] for i in range(6)) == PALETTE
        assert json.loads(file.tags()['CLASSES']) == list(CLASSES)
    np.testing.assert_array_equal(classes == 255, ~image.valid)
    # Two probabilities may be equal to the last digit.
    first, second = np.sort(expected, 0)[:-3:-1]
    sure = image.valid & (first - second > 1e-5)
    assert sure.sum() > 0.999 * image.valid.sum()
    np.testing.assert_array_equal(classes[sure], expected.argmax(0)[sure])
    with rasterio.open(mapped.files['probabilities']) as file:
        percent = file.read()
        assert file.descriptions == CLASSES
        assert file.nodata == 255
    close = np.abs(percent - expected * 100) <= 0.51
    assert close[:, image.valid].all()
    assert (percent[:, ~image.valid] == 255).all()

    # Areas: of pixels, of the table and of the polygons are the same.
    hectares = {
        name: (classes == i).sum() * PIXEL for i, name in enumerate(CLASSES)
    }
    assert mapped.hectares == pytest.approx(hectares, rel=1e-5)
    table = mapped.files['hectares'].read_text().splitlines()[1:]
    for line, name in zip(table, CLASSES):
        assert line.split(',')[0] == name
        assert float(line.split(',')[1]) == pytest.approx(
            hectares[name], abs=1e-4
        )
    drawn = dict.fromkeys(CLASSES, 0.0)
    with fiona.open(mapped.files['polygons']) as file:
        assert len(file) == mapped.polygons.written
        for feature in file:
            drawn[feature.properties['class']] += feature.properties[
                'hectares'
            ]
    # Each polygon's hectares are rounded to six digits.
    rounding = 5e-7 * mapped.polygons.written
    assert drawn == pytest.approx(hectares, abs=rounding)
    assert mapped.files['quicklook'].read_bytes()[:4] == b'\x89PNG'
    assert {'reading', 'waiting', 'model', 'writing'} <= set(mapped.seconds)


def test_hectares_in_degrees(predictor, tmp_path):
    step = 4e-5
    grid = rasterio.Affine(step, 0, 110, 0, -step, 45)
    path = write_scene(
        tmp_path / 'scene.tif', noise(4, 150, 140), 'EPSG:4326', transform=grid
    )
    with Scene(path, 4) as scene:
        mapped = map_scene(scene, predictor, tmp_path / 'scene', WINDOWS)
        pixels = PixelAreas(scene).pixels(0, 150)
    assert sum(mapped.hectares.values()) == pytest.approx(pixels.sum())
    # A degree of latitude at 45 north is 111.132 km, one of longitude
    # 78.847 km.
    assert pixels[0, 0] == pytest.approx(
        step**2 * 111132 * 78847 / 1e4, rel=1e-3
    )


@pytest.mark.parametrize('moment', ['start', 'later'])
def test_interrupted(predictor, scene, tmp_path, moment):
    def stop(windows):
        calls.append(windows)
        if moment == 'start' or len(calls) == 3:
            raise KeyboardInterrupt

    calls = []
    folder = tmp_path / 'out'
    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        map_scene(scene, predictor, folder / 'scene', WINDOWS, progress=stop)
    assert [*folder.iterdir()] == []
    assert threading.active_count() == before


def test_damaged_on_the_way(predictor, tmp_path):
    path = write_scene(
        tmp_path / 'scene.tif', noise(4, 600, 200), compress='deflate'
    )
    data = bytearray(path.read_bytes())
    data[-30000:-100] = bytes(29900)
    path.write_bytes(data)
    folder = tmp_path / 'out'
    with Scene(path, 4) as scene:
        with pytest.raises(ValueError, match='rows .* of 600 cannot be read'):
            map_scene(scene, predictor, folder / 'scene', WINDOWS)
    assert [*folder.iterdir()] == []


@pytest.mark.parametrize('kilobytes', [1, 20, 60])
def test_a_disk_that_is_full(predictor, scene, tmp_path, kilobytes):
    """A file that cannot grow fails while it is written or closed."""
    folder = tmp_path / 'out'
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1024 * kilobytes, hard))
        with pytest.raises((OSError, FionaError, RasterioError)):
            map_scene(
                scene,
                predictor,
                folder / 'scene',
                WINDOWS,
                Products(probabilities=True, options=ALL),
            )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [*folder.iterdir()] == []


def map_with(predictor, scene, folder, **products):
    """Map a scene; return the result, the map, and what else is asked for."""
    mapped = map_scene(
        scene, predictor, folder / 'a', WINDOWS, Products(**products)
    )
    rasters = {}
    for kind, path in mapped.files.items():
        if path.suffix == '.tif':
            with rasterio.open(path) as file:
                rasters[kind] = file.read().squeeze()
    return mapped, rasters


def test_confidence_and_what_is_unsure(predictor, scene, tmp_path):
    _, found = map_with(
        predictor, scene, tmp_path, probabilities=True, confidence=True
    )
    known = found['map'] != 255
    np.testing.assert_array_equal(
        found['confidence'][known], found['probabilities'].max(0)[known]
    )
    assert (found['confidence'][~known] == 255).all()
    limit = float(np.median(found['confidence'][known])) + 0.5
    mapped, unsure = map_with(
        predictor, scene, tmp_path / 'b', min_confidence=limit
    )
    expected = found['map'].copy()
    expected[known & (found['confidence'] < limit)] = len(CLASSES)
    # A percentage of the limit may have been rounded to it or away.
    near = np.abs(found['confidence'] - limit) < 1
    np.testing.assert_array_equal(unsure['map'][~near], expected[~near])
    assert [*mapped.hectares] == [*CLASSES, 'unsure']
    count = (unsure['map'] == len(CLASSES)).sum()
    assert count > 0.2 * known.sum()
    assert mapped.hectares['unsure'] == pytest.approx(count * PIXEL, rel=1e-6)
    with pytest.raises(ValueError, match='--min-confidence: .* but is 101'):
        map_with(predictor, scene, tmp_path, min_confidence=101)


def test_confidence_of_an_earlier_map_is_not_taken(predictor, scene, tmp_path):
    mapped, _ = map_with(predictor, scene, tmp_path, confidence=True)
    maps, sure = [mapped.files['map']] * 2, [mapped.files['confidence']] * 2
    # It holds while the model says the same, whatever else is done to the map.
    map_with(predictor, scene, tmp_path, options=PolygonOptions(20 * PIXEL))
    compare(*maps, tmp_path / 'out', confidence=sure)
    other = copy.deepcopy(predictor)
    other.model.decode_head.conv_seg.weight.data.neg_()
    map_with(other, scene, tmp_path)
    with pytest.raises(ValueError, match='a_confidence.* with another map'):
        compare(*maps, tmp_path / 'out', confidence=sure)


def test_a_minimum_mapping_unit_for_all(predictor, scene, tmp_path):
    unit = 20.2 * PIXEL
    mapped, found = map_with(
        predictor, scene, tmp_path, options=PolygonOptions(unit)
    )
    _, full = map_with(predictor, scene, tmp_path / 'b')
    assert (found['map'] != full['map']).any()
    np.testing.assert_array_equal(found['map'] == 255, full['map'] == 255)
    for value, name in enumerate(CLASSES):
        inside = (found['map'] == value).astype(np.uint8)
        assert mapped.hectares[name] == pytest.approx(
            inside.sum() * PIXEL, rel=1e-6
        )
    with fiona.open(mapped.files['polygons']) as file:
        sizes = [feature.properties['hectares'] for feature in file]
    assert min(sizes) >= unit
    assert sum(sizes) == pytest.approx(sum(mapped.hectares.values()))
    assert mapped.polygons.left_out == 0
    with pytest.raises(ValueError, match='--mmu: .* but is -1'):
        map_with(predictor, scene, tmp_path, options=PolygonOptions(-1))
