"""Parallel kernels: what they are, their responses, how similar they are."""

import math

import pytest
import torch
from torch import nn

from mmfdconv.analysis import kernels
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
    assert kernels.similarity(parallel).kernels.shape == (27, 27)


def test_layers_without_parallel_kernels_are_told():
    assert 'DCDConv has one static' in kernels.kernels_misfit(DCDConv(4, 4, 3))
    assert 'only one' in kernels.kernels_misfit(ODConv(4, 4, 3, num_experts=1))


def test_equal_kernels_are_similar_and_opposite_ones_opposed():
    kernel = torch.randn(5, 4, 3, 3)
    alike = kernels.similarity(torch.stack([kernel, kernel, -2 * kernel]))
    expected = torch.tensor([[1.0, 1, -1], [1, 1, -1], [-1, -1, 1]])
    assert torch.allclose(alike.kernels.float(), expected)
    assert torch.allclose(alike.magnitudes.float(), torch.ones(3, 3))
    assert alike.summary() == pytest.approx([-1 / 3, 1, 1, 1])


def test_groups_of_disjoint_frequencies_are_not_similar():
    layer = FDConv(16, 16, 3, kernel_num=16)
    alike = kernels.similarity(kernels.parallel_kernels(layer))
    off = ~torch.eye(16, dtype=torch.bool)
    # 0, but where both halves of a conjugate pair on the axis of the half
    # plane fall into neighbouring groups.
    far = (torch.arange(16)[:, None] - torch.arange(16)).abs() > 1
    for matrix in alike:
        assert matrix[far].abs().max() < 1e-6
        assert matrix[off].abs().max() < 0.1
        assert torch.allclose(matrix.diagonal().float(), torch.ones(16))


def test_a_kernel_of_zeros_is_similar_to_nothing():
    parallel = torch.stack([torch.zeros(2, 2, 3, 3), torch.ones(2, 2, 3, 3)])
    assert kernels.similarity(parallel).kernels[0].tolist() == [0, 0]


def test_magnitudes_of_white_noise_are_similar():
    """What the docstring says one must compare with."""
    alike = kernels.similarity(torch.randn(4, 32, 32, 3, 3))
    mean, _, magnitude, _ = alike.summary()
    assert abs(mean) < 0.02
    assert magnitude == pytest.approx(math.pi / 4, abs=0.02)


def test_cosines_do_not_depend_on_the_layout_of_the_spectrum():
    parallel = torch.randn(3, 4, 5, 3, 3)
    spectra = torch.fft.fft2(parallel, s=(8, 8)).flatten(1)
    inner = (spectra @ spectra.conj().T).real
    norm = inner.diagonal().sqrt()
    expected = inner / norm[:, None] / norm
    found = kernels.similarity(parallel).kernels.float()
    assert torch.allclose(found, expected, atol=1e-5)


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


def test_the_plane_parts_what_differs_most():
    low, high = torch.zeros(2, 6, 3, 2, 2)
    high = high + 5
    parallel = torch.stack([low, high]) + 0.01 * torch.randn(2, 6, 3, 2, 2)
    points, owner, how, filters = kernels.principal_plane(parallel)
    assert filters.tolist() == [*range(6)] * 2
    assert owner.tolist() == [0] * 6 + [1] * 6
    assert points.shape == (12, 2)
    first = points[owner == 0, 0]
    assert (first.sign() == first[0].sign()).all()
    assert (points[owner == 1, 0].sign() == -first[0].sign()).all()
    assert how == 'PCA, 100% of the variance'


def test_many_filters_are_thinned_out():
    points, owner, *_ = kernels.principal_plane(
        torch.randn(4, 30, 2, 1, 1), limit=40
    )
    assert len(points) == 40
    assert owner.bincount().tolist() == [10] * 4


def test_tsne_asks_for_scikit_learn(monkeypatch):
    monkeypatch.setitem(__import__('sys').modules, 'sklearn.manifold', None)
    with pytest.raises(ValueError, match="'tsne' needs scikit-learn"):
        kernels.principal_plane(torch.randn(2, 4, 2, 1, 1), 'tsne')
