"""Windows cover the image, and their blend leaves no trace of them."""

import numpy as np
import pytest
import torch

from mmfdconv.cropland.windows import RowBlend, WindowPlan

pytestmark = pytest.mark.core


@pytest.mark.parametrize('length', [1, 31, 64, 65, 128, 129, 160, 300, 1000])
@pytest.mark.parametrize(('size', 'overlap'), [(64, 32), (128, 32)])
def test_windows_cover_the_axis(length, size, overlap):
    plan = WindowPlan(length, size, overlap)
    spans = plan.spans()
    assert spans[0][0] == 0
    assert spans[-1][1] == length
    for (_, stop), (start, _) in zip(spans, spans[1:]):
        assert stop - start >= overlap
    assert all(start % 32 == 0 for start, _ in spans)
    assert all(stop - start <= size for start, stop in spans)
    counted = torch.zeros(length)
    for start, stop in spans:
        counted[start:stop] += plan.weights(start, stop)
    assert counted.min() > 0.9


def test_weights_of_neighbours_sum_to_one():
    plan = WindowPlan(160, 96, 32, margin=8)  # starts 0, 64
    left, right = (plan.weights(*span) for span in plan.spans())
    assert plan.starts == [0, 64]
    torch.testing.assert_close(left[64:] + right[:32], torch.ones(32))
    assert (right[:8] == 0).all()  # the margin sees no neighbours
    assert (left[:64] == 1).all()  # and the image's edge counts in full
    inner = right[8:24]
    assert (inner[1:] > inner[:-1]).all()


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(size=100, overlap=32), '--window: .* multiple .* 32, not 100'),
        (dict(size=0, overlap=32), '--window: .* not 0'),
        (dict(size=128, overlap=30), '--overlap: .* not 30'),
        (dict(size=128, overlap=96), '--overlap: 96 is more than half'),
        (dict(size=128, overlap=64, margin=32), '--margin: .* not 32'),
        (dict(size=128, overlap=64, margin=-1), '--margin: .* not -1'),
    ],
)
def test_wrong_windows_are_told(options, message):
    with pytest.raises(ValueError, match=message):
        WindowPlan(1000, **options)


def test_blend_is_the_weighted_mean():
    height, width, classes = 224, 170, 3
    down, across = WindowPlan(height, 96, 32), WindowPlan(width, 96, 32)
    sums = np.zeros((classes, height, width))
    weights = np.zeros((height, width))
    blend = RowBlend(classes, 96, width, 'cpu')
    parts = []
    for (top, bottom), until in zip(down.spans(), [*down.starts[1:], height]):
        for left, right in across.spans():
            value = torch.rand(classes, bottom - top, right - left)
            weight = down.weights(top, bottom)[:, None]
            weight = weight * across.weights(left, right)
            blend.add(value, top, left, weight)
            sums[:, top:bottom, left:right] += (value * weight).numpy()
            weights[top:bottom, left:right] += weight.numpy()
        parts.append(blend.finish(until))
    np.testing.assert_allclose(
        torch.cat(parts, 1).numpy(), sums / weights, rtol=1e-5
    )


def test_rows_without_windows_are_zero():
    blend = RowBlend(2, 32, 8, 'cpu')
    assert (blend.finish(32) == 0).all()
