"""Masks survive COCO's format without the loss of a pixel."""

import numpy as np
import pytest

from mmfdconv.datasets.coco_format import bounding_box, mask_to_segmentation

coco_masks = pytest.importorskip('pycocotools.mask')


def decode(segmentation, height, width):
    """What pycocotools, and so mmdet, reads from a segmentation."""
    rle = coco_masks.frPyObjects(segmentation, height, width)
    if isinstance(segmentation, list):
        rle = coco_masks.merge(rle)
    return coco_masks.decode(rle).astype(bool)


def parse(*rows):
    return np.array([[z == '#' for z in row] for row in rows])


MASKS = dict(
    one_pixel=parse('...', '.#.', '...'),
    whole_image=parse('###', '###'),
    two_parts=parse('##...', '##.##', '...##'),
    touching_corners=parse('##..', '##..', '..##', '..##'),
    other_corners=parse('..##', '..##', '##..', '##..'),
    gap_closed_by_a_corner=parse('.###', '##.#', '#..#', '####'),
    hole=parse('#####', '#...#', '#.#.#', '#...#', '#####'),
    ends_with_ones=parse('..#', '###', '#.#'),
)


@pytest.mark.core
@pytest.mark.parametrize('name', MASKS)
def test_masks_decode_to_themselves(name):
    mask = MASKS[name]
    found = decode(mask_to_segmentation(mask), *mask.shape)
    np.testing.assert_array_equal(found, mask)


def test_random_masks_decode_to_themselves():
    # Noise has every way in which pixels can touch, many times over.
    rng = np.random.default_rng(0)
    for _ in range(500):
        height, width = rng.integers(1, 10, 2)
        mask = rng.random((height, width)) < rng.uniform(0.1, 1)
        if mask.any():
            found = decode(mask_to_segmentation(mask), int(height), int(width))
            np.testing.assert_array_equal(found, mask)


@pytest.mark.core
@pytest.mark.parametrize(
    ('name', 'polygons'),
    [
        ('one_pixel', [[1, 1, 2, 1, 2, 2, 1, 2]]),
        ('whole_image', [[0, 0, 3, 0, 3, 2, 0, 2]]),
        ('two_parts', [[0, 0, 2, 0, 2, 2, 0, 2], [3, 1, 5, 1, 5, 3, 3, 3]]),
    ],
)
def test_polygons_hold_nothing_but_corners(name, polygons):
    assert mask_to_segmentation(MASKS[name]) == polygons


@pytest.mark.core
def test_holes_are_written_as_runs():
    # Column by column, unset pixels first.
    found = mask_to_segmentation(parse('###', '#.#', '###'))
    assert found == dict(counts=[0, 4, 1, 4], size=[3, 3])
    # One part beside a hole is enough.
    assert isinstance(mask_to_segmentation(MASKS['hole']), dict)


@pytest.mark.core
def test_parts_that_touch_at_a_corner_are_apart():
    for name in ('touching_corners', 'other_corners'):
        assert len(mask_to_segmentation(MASKS[name])) == 2


@pytest.mark.core
def test_bounding_box():
    assert bounding_box(MASKS['one_pixel']) == [1, 1, 1, 1]
    assert bounding_box(MASKS['two_parts']) == [0, 0, 5, 3]
