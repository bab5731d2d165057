"""The order of frequencies, their groups, and the gates of these."""

import functools
import hashlib

import numpy as np
import pytest
import torch

from mmfdconv.functional import (
    group_sizes,
    radius_order,
    spread_over_groups,
)
from mmfdconv.functional.frequency_groups import (
    gate_groups,
    groups_of_frequencies,
    half_plane_of_lowest,
    sum_groups,
)

from ..reference import fdw as slow_fdw
from .helpers import assert_same_with_gradients

IMAGES = [(1, 1), (1, 6), (7, 1), (6, 4), (9, 5), (12, 11), (48, 48)]


@pytest.mark.core
@pytest.mark.parametrize('size', IMAGES, ids=str)
def test_radius_order(size):
    rows, cols = size
    order, rank = radius_order(*size)
    number = rows * (cols // 2 + 1)
    assert order.shape == rank.shape == (number,)
    assert torch.equal(order[rank.long()], torch.arange(number).int())
    assert torch.equal(rank[order.long()], torch.arange(number).int())
    # By radius, up to float32 rounding ...
    fy, fx = np.fft.fftfreq(rows), np.fft.rfftfreq(cols)
    radius = np.hypot(fy[:, None], fx).ravel()[order.numpy()]
    assert np.all(np.diff(radius) > -1e-6)
    # ... and in the published order among equals.
    assert order.tolist() == slow_fdw.sorted_frequencies(*size)


#: Of the kernels of ResNet-50's blocks, as images: the first digits of the
#: SHA-256 of their order, by which published checkpoints mean what they do.
RESNET50 = {
    (64, 64): '71e4e27b20c9',
    (64, 256): 'aa995305b7dc',
    (128, 256): '472995b19ea7',
    (128, 512): '3a83f4866be7',
    (192, 192): '0133c63aa20f',
    (256, 64): 'eeb30a5c77b9',
    (256, 512): 'e403756a9615',
    (256, 1024): '120ef13dfbab',
    (384, 384): 'a2626d6e8b45',
    (512, 128): '03715b7c77e1',
    (512, 1024): '5afe5d8d85f9',
    (512, 2048): '7f8ad13f54b2',
    (768, 768): '740356774f33',
    (1024, 256): '8f275ef350d0',
    (1536, 1536): '050ffc374896',
    (2048, 512): '4e0c56ac2ee2',
}


@pytest.mark.core
@pytest.mark.parametrize('size', RESNET50, ids=str)
def test_the_order_of_published_checkpoints(size):
    order, _ = radius_order(*size)
    digest = hashlib.sha256(order.numpy().tobytes()).hexdigest()
    assert digest.startswith(RESNET50[size])


def test_radius_order_is_the_same_wherever_it_is_asked_for():
    expected = radius_order(10, 14)[0].clone()
    radius_order.cache_clear()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device('meta'):
            order, rank = radius_order(10, 14)
    finally:
        torch.set_default_dtype(torch.float32)
    assert order.device.type == rank.device.type == 'cpu'
    assert torch.equal(order, expected)


@pytest.mark.core
@pytest.mark.parametrize('number', [1, 5, 12, 64, 1000])
@pytest.mark.parametrize('groups', [1, 2, 3, 5, 7, 64])
def test_groups_are_those_of_tensor_split(number, groups):
    parts = [len(p) for p in torch.arange(number).tensor_split(groups)]
    size, num_large = group_sizes(number, groups)
    assert parts == [size + 1] * num_large + [size] * (groups - num_large)
    if groups > number:
        return
    gate = torch.randn(2, groups)
    spread = spread_over_groups(gate, number)
    expected = [
        [gate[b, g].item() for g, n in enumerate(parts) for _ in range(n)]
        for b in range(2)
    ]
    assert torch.equal(spread, torch.tensor(expected))


def gated_by_definition(spectrum, gate, size):
    """Every frequency times the gate of its group, one after the other."""
    order, _ = radius_order(*size)
    parts = order.tensor_split(gate.shape[2])
    gated = torch.zeros(len(gate), order.numel(), 2, dtype=gate.dtype)
    for g, part in enumerate(parts):
        pairs = spectrum.flatten(1, 2)[:, part.long()]  # (R, n, 2)
        terms = gate[:, :, g, None, None] * pairs
        gated = gated.index_add(1, part, terms.sum(1))
    return gated.view(-1, *spectrum.shape[1:])


@pytest.mark.core
@pytest.mark.parametrize('num_groups', [1, 4])
@pytest.mark.parametrize('num_spectra', [1, 2])
@pytest.mark.parametrize('batch', [0, 1, 3])
def test_gates_of_groups(batch, num_spectra, num_groups):
    size = (6, 7)
    spectrum = torch.randn(num_spectra, 6, 4, 2, dtype=torch.double)
    gate = torch.rand(batch, num_spectra, num_groups, dtype=torch.double)
    order, rank = radius_order(*size)
    tensors = [spectrum.requires_grad_(), gate.requires_grad_()]

    def weigh(spectrum, gate):
        return gate_groups(spectrum, gate, order, rank, order.numel())

    assert_same_with_gradients(
        weigh, functools.partial(gated_by_definition, size=size), tensors
    )
    if batch:
        assert torch.autograd.gradgradcheck(weigh, tensors)


@pytest.mark.core
@pytest.mark.parametrize('num_kept', [5, 12, 24])
@pytest.mark.parametrize('num_groups', [1, 3, 5])
def test_table_of_groups(num_groups, num_kept):
    rows, cols = 6, 7
    order, _ = radius_order(rows, cols)
    table = groups_of_frequencies(
        rows, cols, num_groups, num_kept, torch.device('cpu')
    )
    assert table.dtype == torch.int64
    assert table.shape == (rows, cols // 2 + 1)
    table = table.flatten()
    parts = order[:num_kept].tensor_split(num_groups)
    for g, part in enumerate(parts):
        assert set(table[part.long()].tolist()) == {g}
    above = table[order[num_kept:].long()]
    assert set(above.tolist()) <= {num_groups - 1}


@pytest.mark.core
@pytest.mark.parametrize('number, groups', [(12, 5), (64, 64), (7, 1)])
def test_sums_are_the_adjoint_of_the_spread(number, groups):
    gate = torch.randn(3, groups).double().requires_grad_()
    x = torch.randn(3, number).double()
    spread = spread_over_groups(gate, number)
    (expected,) = torch.autograd.grad(spread, gate, x)
    torch.testing.assert_close(sum_groups(x, groups), expected)


@pytest.mark.core
def test_lowest_frequencies_find_their_places():
    order, rank = radius_order(6, 5)
    lowest = torch.randn(2, 7, 2).double().requires_grad_()
    whole = half_plane_of_lowest(lowest, order, rank)
    assert whole.shape == (2, 18, 2)
    assert torch.equal(whole[:, order[:7].long()], lowest)
    assert not whole[:, order[7:].long()].any()
    assert torch.autograd.gradcheck(
        lambda low: half_plane_of_lowest(low, order, rank), lowest
    )
