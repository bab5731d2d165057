"""Bands of feature maps."""

import math

import numpy as np
import pytest
import torch

pytest.importorskip('matplotlib')
pytest.importorskip('mmengine')

from mmfdconv.analysis.figures import bands
from mmfdconv.layers import FADConv, FDConv, record_bands

pytestmark = pytest.mark.core


def wave(fy, fx, size=(32, 48)):
    y, x = (torch.arange(n, dtype=torch.double) for n in size)
    angle = 2 * math.pi * (fy * y[:, None] + fx * x)
    return angle.sin()[None, None]


@pytest.mark.parametrize('lowfreq_att', [False, True])
def test_bands_add_up_and_maps_weigh_them(lowfreq_att):
    layer = FDConv(
        4,
        4,
        3,
        kernel_num=4,
        fbm_cfg=dict(init='default', lowfreq_att=lowfreq_att, spatial_group=2),
    )
    x = torch.randn(2, 4, 20, 17)
    split = bands.split_bands(layer, x)
    assert split.images.shape == (4, 2, 4, 20, 17)
    assert split.maps.shape == (4, 2, 2, 20, 17)
    assert torch.allclose(split.images.sum(dim=0), x, atol=1e-5)
    maps = split.maps.repeat_interleave(2, dim=2)
    modulated = (maps * split.images).sum(dim=0)
    assert torch.allclose(modulated, layer.FBM(x), atol=1e-5)
    assert bool((split.maps[-1] == 1).all()) is not lowfreq_att


def test_bands_hold_their_frequencies():
    layer = FDConv(4, 4, 3, kernel_num=4)
    names = bands.band_names(layer)
    assert names == (
        '0.25 and above',
        '0.125 to 0.25',
        '0.0625 to 0.125',
        'below 0.0625',
    )
    for frequency, band in ((0.375, 0), (0.1875, 1), (3 / 32, 2), (1 / 32, 3)):
        x = wave(0, frequency, (32, 32)).float().expand(1, 4, 32, 32)
        energy = bands.split_bands(layer, x).images.square().sum((1, 2, 3, 4))
        assert energy.argmax() == band
        assert energy[band] > 0.999 * energy.sum()


def test_layers_without_bands_are_told():
    assert 'FADConv has no Frequency' in bands.bands_misfit(FADConv(4, 4, 3))
    assert '1x1' in bands.bands_misfit(FDConv(4, 4, 1, kernel_num=4))
    assert bands.bands_misfit(FDConv(4, 4, 3, kernel_num=4)) is None


def test_maps_of_their_own_and_neutral_ones_are_drawn():
    cfg = dict(lowfreq_att=True, spatial_group=2, k_list=[2, 4])
    layer = FDConv(4, 4, 3, kernel_num=4, fbm_cfg=cfg)
    with torch.no_grad():
        for conv in layer.FBM.freq_weight_conv_list:
            torch.nn.init.normal_(conv.weight)
    x = torch.rand(1, 4, 20, 30)
    split, names = bands.split_bands(layer, x), bands.band_names(layer)
    picture = np.full((40, 60, 3), 120, dtype=np.uint8)
    figure = bands.draw_bands(split, names, picture, 'title')
    shown = [ax for ax in figure.axes if ax.images]
    maps = [ax for ax in shown if ax.get_title().startswith('map, ')]
    assert len(shown) == 2 * (1 + 3) and len(maps) == 3
    for ax, expected in zip(maps, split.maps[:, 0].mean(dim=1)):
        assert torch.equal(torch.as_tensor(ax.images[0].get_array()), expected)
        low, high = ax.images[0].get_clim()
        assert low + high == pytest.approx(2)  # 1 is the neutral colour


def test_maps_of_layers_with_fewer_bands_leave_room():
    model = torch.nn.Sequential(
        FDConv(4, 4, 3, padding=1, kernel_num=4, fbm_cfg=dict(k_list=[2, 4])),
        FDConv(4, 4, 3, padding=1, kernel_num=4),
    )
    with record_bands(model) as found:
        model(torch.rand(1, 4, 16, 16))
    figure = bands.draw_maps(found)
    titles = [ax.get_title() for ax in figure.axes if ax.images]
    assert [t.partition('\n')[0] for t in titles] == ['0', '', '1', '', '']
    assert 'band 0, ' in titles[0] and titles[0].endswith('of the energy')
