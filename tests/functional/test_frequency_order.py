"""The order of frequencies, and their groups."""

import copy
import gc
import hashlib
import pickle
import weakref

import numpy as np
import pytest
import torch

from mmfdconv.functional import frequency_order, half_plane_of_lowest
from mmfdconv.functional.frequency_order import (
    radius_order,
    spread_over_groups,
    sum_over_groups,
)

from ..reference import fdw as slow_fdw

CPU = torch.device('cpu')

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
    expected, _ = radius_order(10, 14)
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device('meta'):
            order, rank = radius_order(10, 14)
    finally:
        torch.set_default_dtype(torch.float32)
    assert order.device.type == rank.device.type == 'cpu'
    assert torch.equal(order, expected)


@pytest.mark.core
def test_one_order_for_all_who_hold_it():
    order = frequency_order(10, 14, CPU)
    assert frequency_order(10, 14, CPU) is order
    assert copy.deepcopy(order) is order
    assert pickle.loads(pickle.dumps(order)) is order
    assert len(pickle.dumps(order)) < 500  # no table in a file
    meta = frequency_order(10, 14, torch.device('meta'))
    assert meta is not order
    assert meta.rank.shape == order.rank.shape
    assert meta.order.is_meta
    gone = weakref.ref(order)
    del order
    gc.collect()
    assert gone() is None


def test_a_model_for_inference_may_ask_first():
    with torch.inference_mode():
        order = frequency_order(9, 16, CPU)
        groups = order.groups(3, 40)
    for tensor in (order.order, order.rank, groups):
        assert not tensor.is_inference()


@pytest.mark.core
@pytest.mark.parametrize('number', [1, 5, 12, 64, 1000])
@pytest.mark.parametrize('groups', [1, 2, 3, 5, 7, 64])
def test_groups_are_those_of_tensor_split(number, groups):
    parts = [len(p) for p in torch.arange(number).tensor_split(groups)]
    if groups > number:
        return
    gate = torch.randn(2, groups)
    spread = spread_over_groups(gate, number)
    expected = [
        [gate[b, g].item() for g, n in enumerate(parts) for _ in range(n)]
        for b in range(2)
    ]
    assert torch.equal(spread, torch.tensor(expected))
    values = torch.randn(2, number, dtype=torch.double)
    sums = [part.sum(1) for part in values.tensor_split(groups, dim=1)]
    torch.testing.assert_close(
        sum_over_groups(values, groups), torch.stack(sums, dim=1)
    )


@pytest.mark.core
@pytest.mark.parametrize('num_kept', [5, 12, 24])
@pytest.mark.parametrize('num_groups', [1, 3, 5])
def test_table_of_groups(num_groups, num_kept):
    rows, cols = 6, 7
    order, _ = radius_order(rows, cols)
    table = frequency_order(rows, cols, CPU).groups(num_groups, num_kept)
    assert table.dtype == torch.int64
    assert table.shape == (rows, cols // 2 + 1)
    table = table.flatten()
    parts = order[:num_kept].tensor_split(num_groups)
    for g, part in enumerate(parts):
        assert set(table[part.long()].tolist()) == {g}
    above = table[order[num_kept:].long()]
    assert set(above.tolist()) <= {num_groups - 1}


@pytest.mark.core
def test_lowest_frequencies_find_their_places():
    table = frequency_order(6, 5, CPU)
    lowest = torch.randn(2, 7, 2).double().requires_grad_()
    whole = half_plane_of_lowest(lowest, table)
    assert whole.shape == (2, 18, 2)
    assert torch.equal(whole[:, table.order[:7].long()], lowest)
    assert not whole[:, table.order[7:].long()].any()
    assert torch.autograd.gradcheck(
        lambda low: half_plane_of_lowest(low, table), lowest
    )
