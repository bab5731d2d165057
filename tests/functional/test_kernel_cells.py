"""Arithmetic of cells against loops."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmfdconv.functional import (
    CellShape,
    assign_cells,
    cell_shape,
    cells_to_kernels,
    kernel_to_cells,
    num_mixtures,
)
from tests.reference.kernel_warehouse import assemble

pytestmark = pytest.mark.core


def test_cell_is_the_common_divisor():
    kernels = [(64, 64, 3, 3), (256, 64, 1, 1), (128, 256, 1, 1)]
    cell = cell_shape(kernels)
    assert cell == CellShape(64, 64, 1, 1)
    assert [num_mixtures(k, cell) for k in kernels] == [9, 4, 8]


def test_ratios_and_whole_kernels():
    kernels = [(64, 32, 3, 3), (32, 32, 3, 3)]
    assert cell_shape(kernels, 0.5, 0.25) == CellShape(8, 16, 1, 1)
    whole = cell_shape(kernels, spatial_partition=False)
    assert whole == CellShape(32, 32, 3, 3)


@pytest.mark.parametrize(
    'kernels, options',
    [
        ([(64, 32, 3, 3), (64, 32, 1, 1)], dict(spatial_partition=False)),
        ([(6, 6, 1, 1)], dict(in_ratio=0.7)),
        ([(6, 6, 1, 1)], dict(out_ratio=2)),
    ],
)
def test_what_cannot_be_cut_is_told(kernels, options):
    with pytest.raises(ValueError, match='cannot be cut into cells'):
        cell_shape(kernels, **options)


def test_assignment_above_and_below_one():
    assert assign_cells(3, 1, 5) == [5, 6, 7]
    assert assign_cells(3, 4, 2) == [2, 6, 10]
    # One of two mixtures has a cell, in turn the first and the second.
    assert assign_cells(4, 0.5, 0) == [0, None, None, 1]
    assert assign_cells(93, 1 / 93, 0) == [0, *[None] * 92]


@given(
    co=st.integers(1, 3),
    ci=st.integers(1, 3),
    out=st.integers(1, 3),
    inner=st.integers(1, 3),
    kh=st.sampled_from([1, 2, 3]),
    kw=st.sampled_from([1, 3]),
    whole=st.booleans(),
)
def test_cutting_and_joining(co, ci, out, inner, kh, kw, whole):
    cell = CellShape(co, ci, kh, kw) if whole else CellShape(co, ci, 1, 1)
    shape = (co * out, ci * inner, kh, kw)
    kernel = torch.randn(shape, dtype=torch.float64)
    pieces = kernel_to_cells(kernel, cell)
    assert pieces.shape[0] == num_mixtures(shape, cell)
    joined = cells_to_kernels(pieces.flatten(1)[None], shape, cell)
    assert joined[0].equal(kernel)
    # The same order as the loops': mixture i is made of cell i alone.
    assert assemble(torch.eye(len(pieces)), pieces, shape).equal(kernel)
