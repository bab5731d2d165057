"""How alike parallel kernels are."""

import math

import pytest
import torch

pytest.importorskip('matplotlib')
pytest.importorskip('mmengine')

from mmfdconv.analysis.figures import similarity
from mmfdconv.analysis.figures.canvas import save_figure
from mmfdconv.analysis.figures.kernels import parallel_kernels
from mmfdconv.layers import FDConv

pytestmark = pytest.mark.core


def test_equal_kernels_are_similar_and_opposite_ones_opposed():
    kernel = torch.randn(5, 4, 3, 3)
    alike = similarity.compare_kernels(
        torch.stack([kernel, kernel, -2 * kernel])
    )
    expected = torch.tensor([[1.0, 1, -1], [1, 1, -1], [-1, -1, 1]])
    assert torch.allclose(alike.kernels.float(), expected)
    assert torch.allclose(alike.magnitudes.float(), torch.ones(3, 3))
    assert alike.summary() == pytest.approx([-1 / 3, 1, 1, 1])


def test_groups_of_disjoint_frequencies_are_not_similar():
    layer = FDConv(16, 16, 3, kernel_num=16)
    alike = similarity.compare_kernels(parallel_kernels(layer))
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
    assert similarity.compare_kernels(parallel).kernels[0].tolist() == [0, 0]


def test_magnitudes_of_white_noise_are_similar():
    """What the docstring says one must compare with."""
    alike = similarity.compare_kernels(torch.randn(4, 32, 32, 3, 3))
    mean, _, magnitude, _ = alike.summary()
    assert abs(mean) < 0.02
    assert magnitude == pytest.approx(math.pi / 4, abs=0.02)


def test_cosines_do_not_depend_on_the_layout_of_the_spectrum():
    parallel = torch.randn(3, 4, 5, 3, 3)
    spectra = torch.fft.fft2(parallel, s=(8, 8)).flatten(1)
    inner = (spectra @ spectra.conj().T).real
    norm = inner.diagonal().sqrt()
    expected = inner / norm[:, None] / norm
    found = similarity.compare_kernels(parallel).kernels.float()
    assert torch.allclose(found, expected, atol=1e-5)


def test_the_plane_parts_what_differs_most():
    low, high = torch.zeros(2, 6, 3, 2, 2)
    high = high + 5
    parallel = torch.stack([low, high]) + 0.01 * torch.randn(2, 6, 3, 2, 2)
    points, owner, how = similarity.principal_plane(parallel)
    assert owner.tolist() == [0] * 6 + [1] * 6
    assert points.shape == (12, 2)
    first = points[owner == 0, 0]
    assert (first.sign() == first[0].sign()).all()
    assert (points[owner == 1, 0].sign() == -first[0].sign()).all()
    assert how == 'PCA, 100% of the variance'


def test_many_filters_are_thinned_out():
    points, owner, _ = similarity.principal_plane(
        torch.randn(4, 30, 2, 1, 1), limit=40
    )
    assert len(points) == 40
    assert owner.bincount().tolist() == [10] * 4


def test_hundreds_of_kernels_are_drawn():
    # Cells of a warehouse: 1x1, and more than colours can tell apart.
    parallel = torch.randn(100, 4, 2, 1, 1)
    alike = similarity.compare_kernels(parallel)
    plane = similarity.principal_plane(parallel)
    figure = similarity.draw_similarity(alike, plane, 'title', 'cell')
    first = figure.axes[0]
    assert first.images[0].get_array().shape == (100, 100)
    ticks = [text.get_text() for text in first.get_xticklabels()]
    assert ticks == ['1', '26', '51', '75', '100']
    assert not first.texts  # a hundred numbers a side cannot be read


def test_few_cosines_are_written_and_no_state_of_pyplot_is_touched(tmp_path):
    plt = pytest.importorskip('matplotlib.pyplot')
    before = plt.get_fignums()
    parallel = torch.randn(2, 3, 3, 3, 3)
    alike = similarity.compare_kernels(parallel)
    plane = similarity.principal_plane(parallel)
    figure = similarity.draw_similarity(alike, plane, 'title')
    save_figure(figure, tmp_path / 'new' / 'a.svg')
    assert '<svg' in (tmp_path / 'new' / 'a.svg').read_text()
    assert plt.get_fignums() == before
    written = [text.get_text() for text in figure.axes[0].texts]
    assert written == [f'{c:.3f}' for c in alike.kernels.flatten().tolist()]
