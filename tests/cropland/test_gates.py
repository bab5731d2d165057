"""With gates of the scene, a map does not depend on where windows end."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from mmfdconv.convert import LayerRule, convert_dynamic_
from mmfdconv.cropland.gates import SAMPLE, scene_gates
from mmfdconv.cropland.mapping import Tiling, count_windows, map_rows
from mmfdconv.cropland.scene import Scene
from mmfdconv.cropland.windows_compared import (
    compare_windows,
    format_scores,
)
from mmfdconv.layers import DYConv

from ..layers.test_recording import spread_router_
from .helpers import SIGHT, as_rows, noise, write_scene

pytestmark = pytest.mark.core

WINDOWS = Tiling(window=128, overlap=64, margin=24, gates='window')
OTHERS = WINDOWS._replace(window=192, overlap=96)
CONDCONV = dict(type='CondConv', num_experts=4)
# Sums of float32 in another order, through all layers; scores go up to 3.
ROUNDING = dict(rtol=0, atol=1e-5)


@pytest.fixture(scope='module')
def dynamic(predictor):
    """The U-Net with CondConv, whose gates differ between windows."""
    dynamic = copy.deepcopy(predictor)
    torch.manual_seed(0)
    backbone = dynamic.model.backbone
    for row in convert_dynamic_(backbone, CONDCONV, LayerRule()).converted:
        layer = backbone.get_submodule(row.name)
        for expert in layer.experts.data:
            nn.init.kaiming_normal_(expert)
        spread_router_(layer)
    return dynamic


@pytest.fixture
def scene(tmp_path):
    values = noise(4, 301, 270)
    values[:, :, 200:] //= 4  # one side is dark
    with Scene(write_scene(tmp_path / 'scene.tif', values), 4) as scene:
        yield scene


def scores(predictor, scene, tiling):
    rows = map_rows(scene, predictor, tiling)
    return torch.cat([part for _, part, _ in rows], 1)


def test_windows_end_where_they_will(dynamic, scene):
    """They give what the whole image gives, with the scene's gates."""
    assert WINDOWS.margin > SIGHT
    values = scene.read(0, scene.height).raw
    plans = WINDOWS.plans(scene, dynamic)
    with scene_gates(scene, dynamic, *plans):
        expected = dynamic([as_rows(values)])[0]
        for tiling in (WINDOWS, OTHERS):
            found = scores(dynamic, scene, tiling)
            torch.testing.assert_close(found, expected, **ROUNDING)
    found = scores(dynamic, scene, WINDOWS._replace(gates='scene'))
    torch.testing.assert_close(found, expected, **ROUNDING)
    assert len(expected.argmax(0).unique()) >= 3

    # Gates of the window are seen; and none is left fixed.
    found = scores(dynamic, scene, WINDOWS)
    assert (found.argmax(0) != expected.argmax(0)).float().mean() > 0.01


class Counting:
    """A predictor with one layer, and how often it was called."""

    multiple = 32

    def __init__(self):
        self.model = spread_router_(DYConv(1, 2, 1)).eval()
        self.seen = []

    def resizes(self):
        return False

    def __call__(self, windows):
        (window,) = windows
        self.seen.append(window.valid.mean())
        return self.model(torch.from_numpy(window.values)[None])


def flat_scene(height, width, valid=None):
    """Where every pixel has its row for a value."""
    values = np.arange(height, dtype='f4')[None, :, None]
    values = values.repeat(width, 2)
    rows = as_rows(values)
    if valid is not None:
        rows.valid[:] = valid
    return SimpleNamespace(
        height=height,
        width=width,
        read=lambda top, bottom: rows.part(slice(top, bottom), slice(None)),
    )


def test_the_first_pass_is_coarse_and_spread():
    predictor, scene = Counting(), flat_scene(1024, 512)
    tiling = Tiling(window=64, overlap=32)
    plans = tiling.plans(scene, predictor)
    windows = len(plans[0].starts) * len(plans[1].starts)
    assert windows == 31 * 15
    means = []
    for _ in range(2):
        with scene_gates(scene, predictor, *plans):
            (mean,) = (predictor.model.descriptor(torch.zeros(1, 1, 2, 2)),)
        means.append(mean.item())
    assert abs(len(predictor.seen) / 2 - SAMPLE) <= 2
    assert means[0] == means[1]
    # all over the scene: its mean is 511.5, and no row has more than its share
    assert abs(means[0] - 511.5) < 10
    counted = count_windows(scene, predictor, tiling._replace(gates='scene'))
    assert counted == windows + SAMPLE


def test_windows_without_data_do_not_count():
    valid = np.zeros((256, 256), bool)
    valid[:64, :96] = True
    predictor, scene = Counting(), flat_scene(256, 256, valid)
    plans = Tiling(window=64, overlap=32).plans(scene, predictor)
    with scene_gates(scene, predictor, *plans):
        assert len(predictor.seen) == 2 * 3
    assert min(predictor.seen) > 0

    empty = flat_scene(128, 128, False)
    plans = Tiling(window=64, overlap=32).plans(empty, predictor)
    with scene_gates(empty, predictor, *plans):
        assert len(predictor.seen) == 2 * 3


def test_enough_windows_are_seen_where_most_have_no_data():
    valid = np.zeros((1024, 1024), bool)
    valid[:320, :320] = True
    predictor, scene = Counting(), flat_scene(1024, 1024, valid)
    plans = Tiling(window=64, overlap=32).plans(scene, predictor)
    with scene_gates(scene, predictor, *plans):
        assert abs(len(predictor.seen) - SAMPLE) <= 2
    assert min(predictor.seen) > 0


def test_a_model_without_gates_sees_no_window_first(predictor, scene):
    once = WINDOWS._replace(gates='scene')
    windows = count_windows(scene, predictor, WINDOWS)
    assert count_windows(scene, predictor, once) == windows
    found = scores(predictor, scene, once)
    assert torch.equal(found, scores(predictor, scene, WINDOWS))


def test_gates_are_the_scenes_unless_asked_otherwise(dynamic, scene):
    windows = count_windows(scene, dynamic, WINDOWS)
    default = Tiling(window=128, overlap=64, margin=24)
    assert count_windows(scene, dynamic, default) == 2 * windows > 2
    # One window is the scene.
    assert count_windows(scene, dynamic, Tiling(window=512)) == 1


def test_an_unknown_kind_of_gates(predictor, scene):
    with pytest.raises(ValueError, match="--gates: must be .* 'tile'"):
        scores(predictor, scene, WINDOWS._replace(gates='tile'))


def test_comparison_of_windows(dynamic, scene):
    values = scene.read(0, scene.height).raw
    labels = dynamic.decide(dynamic([as_rows(values)])[0]).numpy()
    labels = labels.astype('u1')
    labels[:100] = 255
    whole, window, once = compare_windows(scene, dynamic, [WINDOWS], labels)
    assert whole[1:] == (None, None, 0, 1, 1)
    assert (window.gates, once.gates) == ('window', 'scene')
    assert window.differ > 0.01
    found = scores(dynamic, scene, WINDOWS).argmax(0).numpy()
    right = (found == labels)[100:]
    assert window.accuracy == pytest.approx(right.mean())
    unions = [
        ((found == k) & right_k, (found == k) | right_k)
        for k in np.unique([found[100:], labels[100:]])
        for right_k in [labels == k]
    ]
    ious = [a[100:].sum() / b[100:].sum() for a, b in unions]
    assert window.miou == pytest.approx(np.mean(ious))
    table = format_scores([whole, window]).splitlines()
    assert table[2] == '| scene at once |  |  | 0.00 | 100.00 | 100.00 |'
    assert table[3].startswith(
        f'| window | 128 | 64 | {window.differ:.2%}'[:-1]
    )


def test_comparison_without_gates_or_labels(predictor, scene):
    whole, window = compare_windows(scene, predictor, [WINDOWS])
    assert window.differ < 1e-4
    assert (window.accuracy, window.miou) == (None, None)
