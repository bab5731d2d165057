"""Parallel kernels: what they are, and what they answer to."""

import pytest
import torch
from torch import nn

pytest.importorskip('matplotlib')
pytest.importorskip('mmengine')

from mmfdconv.analysis.figures import kernels
from mmfdconv.layers import (
    CondConv,
    DCDConv,
    DYConv,
    FADConv,
    FDConv,
    KWConv,
    ODConv,
)
from mmfdconv.layers.warehouse import Warehouse

pytestmark = pytest.mark.core


@pytest.mark.parametrize('cls', [CondConv, DYConv, FADConv, ODConv])
def test_the_kernels_of_an_expert_method_are_its_experts(cls):
    layer = cls(4, 6, 3, num_experts=3)
    assert kernels.kernels_misfit(layer) is None
    assert kernels.kernel_noun(layer) == 'expert'
    assert torch.equal(kernels.parallel_kernels(layer), layer.experts)


@pytest.mark.parametrize(
    'options',
    [
        dict(kernel_num=8),
        dict(kernel_num=4, param_ratio=2),
        dict(kernel_num=5, convert_param=False),
    ],
)
def test_the_groups_of_fdconv_sum_to_its_kernel(options):
    conv = nn.Conv2d(6, 4, 3)
    layer = FDConv.from_conv(conv, **options)
    groups = kernels.parallel_kernels(layer)
    assert groups.shape == (
        options['kernel_num'] * options.get('param_ratio', 1),
        *conv.weight.shape,
    )
    assert torch.allclose(groups.sum(dim=0), conv.weight, atol=1e-6)


def test_the_kernels_of_kernel_warehouse_are_its_cells():
    warehouse = Warehouse([[(8, 4, 3, 3), (8, 8, 3, 3)]])
    layer = KWConv(4, 8, 3, warehouse=warehouse)
    assert kernels.kernels_misfit(layer) is None
    assert kernels.kernel_noun(layer) == 'cell'
    parallel = kernels.parallel_kernels(layer)
    assert torch.equal(parallel, warehouse.weights[0])


def test_layers_without_parallel_kernels_are_told():
    assert 'DCDConv has one static' in kernels.kernels_misfit(DCDConv(4, 4, 3))
    assert 'only one' in kernels.kernels_misfit(ODConv(4, 4, 3, num_experts=1))


def test_responses_of_known_filters():
    point = torch.zeros(3, 3)
    point[1, 1] = 2
    mean = torch.full((3, 3), 1 / 9)
    found = kernels.filter_response(torch.stack([point, mean])[:, None, None])
    assert torch.allclose(found[0], torch.full((32, 32), 2.0), atol=1e-6)
    assert found[1, 16, 16] == pytest.approx(1)
    assert found[1].argmax() == 16 * 32 + 16
    assert found[1, 16, 0] == pytest.approx(1 / 3, abs=1e-6)  # Nyquist


def test_rings_hold_their_radius():
    radius = kernels.frequency_radius(64, 48)
    assert radius[32, 24] == 0
    middles, means = kernels.radial_profile(radius, bins=10)
    assert torch.allclose(means, middles, atol=0.01)
    _, whole = kernels.radial_profile(torch.ones(2, 9, 12), bins=4)
    assert torch.allclose(whole, torch.ones(2, 4))


def test_hundreds_of_kernels_without_extent_are_drawn():
    # Cells of a warehouse: 1x1, which answer to all frequencies alike.
    parallel = torch.randn(100, 4, 2, 1, 1)
    figure = kernels.draw_responses(parallel, 'title', 'cell', number=9)
    maps = [
        ax.images[0].get_array()
        for row in figure.subfigs[:2]
        for ax in row.axes
        if ax.images
    ]
    assert len(maps) == 18
    assert all(abs(values - 1).max() < 1e-5 for values in maps[9:])
    legend = figure.subfigs[2].axes[1].get_legend().get_texts()
    assert [text.get_text() for text in legend][::8] == ['cell 1', 'cell 100']
