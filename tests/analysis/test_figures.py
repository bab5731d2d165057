"""Pictures at the edges: many kernels, dead ones, no classes, two corners."""

import numpy as np
import pytest
import torch

pytest.importorskip('matplotlib')
pytest.importorskip('mmengine')

import cv2

from mmfdconv.analysis import canvas, figures, gates, spectra
from mmfdconv.analysis.attention import frequency_attention
from mmfdconv.analysis.kernels import principal_plane, similarity
from mmfdconv.layers import FDConv
from mmfdconv.layers.descriptors import FrequencyAttention

pytestmark = pytest.mark.core

PICTURE = np.full((40, 60, 3), 120, dtype=np.uint8)


def pixels(path):
    found = cv2.imread(str(path))
    assert found is not None
    return found


def study(shares, classes=('a', 'b')):
    layers = {}
    for name, rows in shares.items():
        rows = torch.as_tensor(rows)
        layers[name] = gates.LayerGates(rows, gates.relative_entropy(rows))
    number = len(next(iter(layers.values())).shares)
    present = torch.zeros(number, len(classes), dtype=torch.bool)
    present[::2, :1] = present[1::2, 1:] = True
    return gates.GateStudy(layers, present, classes)


def test_gates_of_layers_with_different_numbers_of_kernels(tmp_path):
    shares = dict(
        few=[[0.97, 0.02, 0.01], [0.98, 0.01, 0.01]],
        many=torch.rand(2, 20).softmax(dim=1),
    )
    with_classes = study(shares)
    assert with_classes.layers['few'].dead() == [1, 2]
    path = figures.draw_gates(with_classes, tmp_path / 'a.png', 'title')
    without = figures.draw_gates(
        study(shares, classes=()), tmp_path / 'b.png', 'title'
    )
    assert pixels(without).shape[0] < pixels(path).shape[0]


def test_kernels_without_extent_and_hundreds_of_them(tmp_path):
    out = tmp_path / 'a.png'
    # Cells of a warehouse: 1x1, and more than colours can tell apart.
    parallel = torch.randn(100, 4, 2, 1, 1)
    figures.draw_responses(parallel, out, 'title', 'cell', number=9)
    assert pixels(out).std() > 10
    alike, plane = similarity(parallel), principal_plane(parallel)
    assert alike.kernels.shape == (100, 100)
    figures.draw_similarity(alike, plane, out, 'title', 'cell')
    assert pixels(out).std() > 10


def test_frequency_attention_of_both_corners(tmp_path):
    fat = FrequencyAttention(3, pool_size=8, low_freq=2, high_freq=2)
    fat.reset_parameters()
    looked = frequency_attention(fat, torch.rand(1, 3, 20, 30))
    out = figures.draw_attention(looked, fat, PICTURE, tmp_path / 'a.png', 't')
    assert pixels(out).std() > 10


def test_bands_with_maps_of_their_own_and_neutral_ones(tmp_path):
    cfg = dict(lowfreq_att=True, spatial_group=2, k_list=[2, 4])
    layer = FDConv(4, 4, 3, kernel_num=4, fbm_cfg=cfg)
    bands = spectra.split_bands(layer, torch.rand(1, 4, 20, 30))
    names = spectra.band_names(layer)
    out = figures.draw_bands(bands, names, PICTURE, tmp_path / 'a.png', 't')
    assert pixels(out).std() > 10


def test_no_state_of_pyplot_is_touched(tmp_path):
    plt = pytest.importorskip('matplotlib.pyplot')
    before = plt.get_fignums()
    kernels = torch.randn(2, 3, 3, 3, 3)
    alike, plane = similarity(kernels), principal_plane(kernels)
    figures.draw_similarity(alike, plane, tmp_path / 'a.svg', 'title')
    assert plt.get_fignums() == before
    assert '<svg' in (tmp_path / 'a.svg').read_text()


def test_a_name_without_a_format_is_refused():
    with pytest.raises(
        ValueError, match=r"out: 'a.xyz' must end with .*\.png"
    ):
        canvas.check_picture('a.xyz')
