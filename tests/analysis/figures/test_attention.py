"""What frequency attention reads, and what it keeps of a feature map."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

pytest.importorskip('mmengine')

from mmfdconv.analysis.figures import attention
from mmfdconv.layers import FADConv, FDConv, ODConv
from mmfdconv.layers.descriptors import FrequencyAttention

pytestmark = pytest.mark.core


def test_the_inverse_dct_of_all_coefficients_is_the_pooled_map():
    pooled = torch.randn(2, 3, 8, 8, dtype=torch.double)
    found = attention.inverse_dct(attention.pooled_dct(pooled))
    assert torch.allclose(found, pooled)


def test_the_first_coefficient_is_the_mean_all_that_gap_reads():
    pooled = torch.randn(1, 2, 8, 8)
    coefficients = attention.pooled_dct(pooled)
    assert torch.allclose(coefficients[..., 0, 0], pooled.mean(dim=(2, 3)))
    coefficients[..., 1:, :] = coefficients[..., :, 1:] = 0
    found = attention.inverse_dct(coefficients)
    assert torch.allclose(found, pooled.mean((2, 3), True).expand_as(pooled))


def test_all_coefficients_keep_everything_and_one_keeps_the_mean():
    x = torch.randn(1, 3, 20, 30)
    whole = FrequencyAttention(3, pool_size=6, low_freq=6)
    whole.reset_parameters()
    looked = attention.frequency_attention(whole, x)
    assert torch.allclose(looked.kept, F.adaptive_avg_pool2d(x, 6), atol=1e-5)
    assert torch.allclose(looked.descriptor, whole(x), atol=1e-6)
    assert attention.kept_share(looked) == pytest.approx(1, abs=1e-4)
    mean = FrequencyAttention(3, pool_size=6, low_freq=1)
    mean.reset_parameters()
    looked = attention.frequency_attention(mean, x)
    assert attention.kept_share(looked) == pytest.approx(0, abs=1e-6)


def test_what_a_sum_answers_to():
    fat = FrequencyAttention(2, pool_size=6, low_freq=2, fusion='add')
    looked = attention.frequency_attention(fat, torch.randn(1, 2, 9, 9))
    expected = torch.zeros(1, 2, 6, 6)
    expected[..., :2, :2] = 1
    assert torch.allclose(looked.sensitivity, expected, atol=1e-5)


def test_what_the_net_answers_to():
    """Against a difference in one coefficient."""
    fat = FrequencyAttention(2, pool_size=8, low_freq=3, high_freq=1)
    fat.reset_parameters()
    fat = fat.double()
    x = torch.randn(1, 2, 8, 8, dtype=torch.double)
    looked = attention.frequency_attention(fat, x)
    for i, j in ((0, 0), (2, 1), (7, 7), (4, 4)):
        moved = attention.pooled_dct(x)
        moved[..., i, j] += 1e-5
        moved = attention.inverse_dct(moved)
        slope = (fat(moved) - fat(x)) / 1e-5
        found = looked.sensitivity[..., i, j].double()
        assert torch.allclose(found, slope, atol=1e-5)


def test_layers_with_and_without_frequency_attention():
    for layer in (FADConv(4, 4, 3), ODConv(4, 4, 3, descriptor='fat')):
        assert attention.attention_misfit(layer) is None
    for layer in (FDConv(4, 4, 3), ODConv(4, 4, 3)):
        assert 'without frequency attention' in attention.attention_misfit(
            layer
        )


def test_both_corners_are_drawn():
    fat = FrequencyAttention(3, pool_size=8, low_freq=2, high_freq=2)
    fat.reset_parameters()
    looked = attention.frequency_attention(fat, torch.rand(1, 3, 20, 30))
    picture = np.full((40, 60, 3), 120, dtype=np.uint8)
    figure = attention.draw_attention(looked, fat, picture, 'title')
    corners = [
        patch.get_xy()
        for part in figure.subfigs
        for axes in part.axes
        for patch in axes.patches
        if patch.get_linewidth() > 2
    ]
    assert corners == [(-0.5, -0.5), (5.5, 5.5)]
