"""Small areas become what is around them."""

import numpy as np
import pytest

from mmfdconv.cropland.mapping_unit import sieve, sieve_pairs

pytestmark = pytest.mark.core


def test_small_areas_become_what_is_around_them():
    values = np.zeros((20, 20), np.uint8)
    values[5:15, 5:15] = 1
    values[8, 8] = 0  # a hole
    values[2, 2:6] = 2  # a sliver
    values[10, 9] = 3  # two that are small even together
    values[10, 10] = 4
    values[18:, 18:] = 255
    values[19, 19] = 5  # nothing but no data beside it
    found = sieve(values, 8)
    expected = np.zeros((20, 20), np.uint8)
    expected[5:15, 5:15] = 1
    expected[18:, 18:] = 255
    expected[19, 19] = 5
    np.testing.assert_array_equal(found, expected)
    assert sieve(values, 1) is values


def test_the_classes_follow_what_became_of_a_pixel():
    """A pixel takes the pair of classes of what it was merged with."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 9, (15, 12)).repeat(6, 0).repeat(6, 1)
    noise = rng.integers(0, 9, coarse.shape)
    pairs = np.where(rng.random(coarse.shape) < 0.1, noise, coarse)
    pairs[:20, :20] = 65535
    kinds = np.full(65536, 255, np.uint8)
    kinds[:9] = [0, 0, 2, 0, 0, 2, 3, 3, 1]  # of three classes each
    found = sieve_pairs(pairs.astype(np.uint16), kinds, 20)
    np.testing.assert_array_equal(
        kinds[found], sieve(kinds[pairs.astype(np.uint16)], 20)
    )
    moved = kinds[found] != kinds[pairs]
    assert moved.sum() > 100
    np.testing.assert_array_equal(found[~moved], pairs[~moved])


def test_the_most_frequent_neighbour_says_which_classes():
    pairs = np.array(
        [
            [1, 1, 1, 1, 1],
            [1, 1, 9, 4, 1],
            [1, 4, 9, 4, 1],
            [1, 4, 4, 4, 1],
        ],
        np.uint16,
    )
    kinds = np.zeros(65536, np.uint8)
    kinds[9] = 1
    found = sieve_pairs(pairs, kinds, 3)
    expected = np.where(pairs == 9, 4, pairs)
    np.testing.assert_array_equal(found, expected)
