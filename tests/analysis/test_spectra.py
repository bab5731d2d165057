"""Bands of feature maps, their spectra and effective frequencies."""

import math

import pytest
import torch

from mmfdconv.analysis import spectra
from mmfdconv.layers import FADConv, FDConv

pytestmark = pytest.mark.core


def wave(fy, fx, size=(32, 48)):
    y, x = (torch.arange(n, dtype=torch.double) for n in size)
    angle = 2 * math.pi * (fy * y[:, None] + fx * x)
    return angle.sin()[None, None]


@pytest.mark.parametrize(
    ('fy', 'fx'), [(0, 0.25), (3 / 32, 0), (4 / 32, 6 / 48), (0.5 - 1 / 32, 0)]
)
def test_a_sine_has_its_own_frequency(fy, fx):
    x = torch.cat([wave(fy, fx) * 3 + 100, -wave(fy, fx)], dim=1)
    found = spectra.effective_frequency(x)
    assert found.tolist() == pytest.approx([math.hypot(fy, fx)])


def test_energies_weigh_the_frequencies():
    x = wave(0, 0.25) + 3 * wave(0.125, 0)
    expected = (0.25 + 9 * 0.125) / 10
    assert spectra.effective_frequency(x).item() == pytest.approx(expected)


def test_a_constant_map_has_none():
    assert spectra.effective_frequency(torch.ones(2, 3, 8, 8)).isnan().all()


def test_the_profile_peaks_where_the_wave_is():
    radius, power = spectra.power_profile(wave(0, 0.25), bins=16)
    peak = radius[power[0].nan_to_num().argmax()]
    assert abs(peak - 0.25) < 0.5 / 16
    _, power = spectra.power_profile(torch.randn(1, 2, 4, 4), bins=16)
    assert power.isnan().sum() == 12  # 0, 0.25, 0.354, 0.5 are all it has


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
    bands = spectra.split_bands(layer, x)
    assert bands.images.shape == (4, 2, 4, 20, 17)
    assert bands.maps.shape == (4, 2, 2, 20, 17)
    assert torch.allclose(bands.images.sum(dim=0), x, atol=1e-5)
    maps = bands.maps.repeat_interleave(2, dim=2)
    modulated = (maps * bands.images).sum(dim=0)
    assert torch.allclose(modulated, layer.FBM(x), atol=1e-5)
    assert bool((bands.maps[-1] == 1).all()) is not lowfreq_att


def test_bands_hold_their_frequencies():
    layer = FDConv(4, 4, 3, kernel_num=4)
    names = spectra.band_names(layer)
    assert names == (
        '0.25 and above',
        '0.125 to 0.25',
        '0.0625 to 0.125',
        'below 0.0625',
    )
    for frequency, band in ((0.375, 0), (0.1875, 1), (3 / 32, 2), (1 / 32, 3)):
        x = wave(0, frequency, (32, 32)).float().expand(1, 4, 32, 32)
        energy = (
            spectra.split_bands(layer, x).images.square().sum((1, 2, 3, 4))
        )
        assert energy.argmax() == band
        assert energy[band] > 0.999 * energy.sum()


def test_layers_without_bands_are_told():
    assert 'FADConv has no Frequency' in spectra.bands_misfit(FADConv(4, 4, 3))
    assert '1x1' in spectra.bands_misfit(FDConv(4, 4, 1, kernel_num=4))
    assert spectra.bands_misfit(FDConv(4, 4, 3, kernel_num=4)) is None
