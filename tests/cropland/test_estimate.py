"""Areas with intervals, against the paper's example and known truths."""

import numpy as np
import pytest

from mmfdconv.cropland.estimate import (
    estimate_areas,
    estimate_from_polygons,
)

pytestmark = pytest.mark.core

# Olofsson et al. 2014, the worked example of section 5: deforestation, forest
# gain, stable forest, stable non-forest; pixels of 30 m.
PIXELS = np.array([200_000, 150_000, 3_200_000, 6_450_000])
MATRIX = np.array(
    [[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]]
)


def by_class(matrix):
    """Strata that are the map's classes, shape (K, K, K)."""
    return np.eye(len(matrix))[:, :, None] * matrix


def test_the_worked_example_of_the_paper():
    found = estimate_areas(by_class(MATRIX), PIXELS * 0.09)
    hectares = np.round(found.hectares.value), np.round(found.hectares.margin)
    assert hectares[0].tolist() == [21158, 11686, 285770, 581386]
    assert hectares[1].tolist() == [6158, 3756, 15510, 16282]
    for measure, value, margin in (
        (found.users, [0.88, 0.73, 0.93, 0.96], [0.07, 0.10, 0.04, 0.02]),
        (found.producers, [0.75, 0.85, 0.93, 0.96], [0.21, 0.25, 0.03, 0.02]),
        (found.overall, [0.95], [0.02]),
    ):
        assert np.round(measure.value, 2).tolist() == value
        assert np.round(measure.margin, 2).tolist() == margin
    assert found.shares.sum() == pytest.approx(1)


# A map that calls 5 % of stable cropland lost: four times the true loss of
# 0.8 %, of which a third is missed, beside what was found. Shares of the whole
# area by stratum (kept, other, loss, gain, beside change), class of the
# map, and class that is there (kept, other, loss, gain).
LANDSCAPE = np.zeros((5, 4, 4))
LANDSCAPE[0, 0] = 0.52, 0.02, 0, 0
LANDSCAPE[1, 1] = 0.02, 0.38, 0, 0
LANDSCAPE[2, 2] = 0.027, 0.001, 0.0054, 0
LANDSCAPE[3, 3] = 0, 0.004, 0, 0.006
LANDSCAPE[4, 0] = 0.03, 0.0005, 0.003, 0
LANDSCAPE[4, 1] = 0.0005, 0.013, 0, 0.002
LANDSCAPE /= LANDSCAPE.sum()


def test_intervals_hold_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(1)
    hectares = 1e5 * LANDSCAPE.sum((1, 2))
    points = 400, 300, 150, 100, 250
    counts = np.stack(
        [
            rng.multinomial(n, (p / p.sum()).ravel(), 2000).reshape(-1, 4, 4)
            for n, p in zip(points, LANDSCAPE)
        ],
        axis=1,
    )
    found = estimate_areas(counts, hectares)
    joint = LANDSCAPE.sum(0)
    there, mapped = joint.sum(0), joint.sum(1)
    assert found.hectares.value.shape == (2000, 4)
    assert mapped[2] > 3.9 * there[2]  # what the map's pixels say of the loss
    for measure, truth in (
        (found.hectares, 1e5 * there),
        (found.overall, [joint.trace()]),
        (found.users, joint.diagonal() / mapped),
        (found.producers, joint.diagonal() / there),
    ):
        off = np.abs(measure.value - truth)
        held = (off <= measure.margin).mean(0)
        assert (held >= 0.93).all(), held
        assert (held <= 0.97).all(), held
    # No bias: the mean of 2000 is within its own error of the truth.
    error = found.hectares.value.std(0) / np.sqrt(2000)
    off = np.abs(found.hectares.value.mean(0) - 1e5 * there)
    assert (off < 3 * error).all()


def test_a_class_that_is_not_on_the_map_or_not_there():
    matrix = np.array([[9, 1, 0], [1, 9, 0], [0, 0, 0]])
    found = estimate_areas(by_class(matrix), [50, 50, 0])
    assert found.hectares.value.tolist() == pytest.approx([50, 50, 0])
    assert found.hectares.margin[2] == 0
    for measure in (found.users, found.producers):
        assert np.isnan(measure.value[2])
        assert np.isnan(measure.margin[2])


def test_a_stratum_of_one_point_is_refused():
    with pytest.raises(ValueError, match='two labelled .* fewer: 1$'):
        estimate_areas(by_class([[9, 1], [0, 1]]), [50, 50])


def test_polygons_count_once_each():
    rng = np.random.default_rng(1)
    # 40 polygons of 20 places; in each the map errs all over or hardly.
    wrong = rng.choice([0.02, 0.6], (2000, 40, 2), p=[0.8, 0.2])
    size = rng.integers(5, 20, (2000, 40, 2))
    errors = rng.binomial(size, wrong)
    areas = np.zeros((2000, 40, 2, 2))
    for i in (0, 1):
        areas[..., i, i] = (size - errors)[..., i]
        areas[..., i, 1 - i] = errors[..., i]
    share = 0.8 * 0.02 + 0.2 * 0.6
    truth = 300 * (1 - share) + 700 * share
    held = naive = 0
    for one in areas[:500]:
        found = estimate_from_polygons(one, [300, 700]).hectares
        held += abs(found.value[0] - truth) <= found.margin[0]
        points = estimate_areas(by_class(one.sum(0)), [300, 700]).hectares
        naive += abs(points.value[0] - truth) <= points.margin[0]
    assert 0.92 <= held / 500 <= 0.98
    assert naive / 500 < 0.9  # as if pixels were points: too narrow


def test_what_polygons_must_be():
    areas = np.ones((3, 2, 2))
    areas[:, 1] = 0
    with pytest.raises(ValueError, match='no polygon touches .* calls 1;'):
        estimate_from_polygons(areas, [1, 1])
    with pytest.raises(ValueError, match='two polygons, not 1'):
        estimate_from_polygons(areas[:1], [1, 0])
