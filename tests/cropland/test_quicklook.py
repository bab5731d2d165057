"""Pictures of maps stand upright."""

import numpy as np
import pytest
from affine import Affine

from mmfdconv.cropland.quicklook import upright

pytestmark = pytest.mark.core

# Seen from the ground: north-west, north-east, north-west of the second row...
PICTURE = np.arange(6).reshape(3, 2)


@pytest.mark.parametrize(
    ('transform', 'stored'),
    [
        (Affine(4, 0, 0, 0, -4, 0), PICTURE),
        (Affine(4, 0, 0, 0, 4, 0), PICTURE[::-1]),
        (Affine(-4, 0, 0, 0, -4, 0), PICTURE[:, ::-1]),
        (Affine(-4, 0, 0, 0, 4, 0), PICTURE[::-1, ::-1]),
        # Rows run to the east, columns to the south, as after transposing.
        (Affine(0, 4, 0, -4, 0, 0), PICTURE.T),
        (Affine(0, 4, 0, 4, 0, 0), PICTURE.T[:, ::-1]),
        (Affine(0, -4, 0, -4, 0, 0), PICTURE.T[::-1]),
        (Affine(3, 1, 0, 1, -3, 0), PICTURE),
        (Affine(9, 1, 0, 2, -2, 0), PICTURE),  # long pixels, little turned
    ],
)
def test_north_is_up(transform, stored):
    np.testing.assert_array_equal(upright(stored, transform), PICTURE)
