"""Pictures and annotations in the layouts that the stock configs expect."""

from pathlib import Path

import numpy as np
from PIL import Image

__all__ = ['SEG_SUFFIXES', 'make_classified', 'make_segmented']

_TILES = (
    ('img_dir/train', 'ann_dir/train'),
    ('img_dir/val', 'ann_dir/val'),
    ('.jpg', '.png'),
)
#: Folders and endings of pictures and of annotations, as in the datasets.
SEG_SUFFIXES = {
    'ADE20KDataset': (
        ('images/training', 'annotations/training'),
        ('images/validation', 'annotations/validation'),
        ('.jpg', '.png'),
    ),
    'CamVidDataset': _TILES,
    'GIDDataset': _TILES,
    'CityscapesDataset': (
        ('leftImg8bit/train', 'gtFine/train'),
        ('leftImg8bit/val', 'gtFine/val'),
        ('_leftImg8bit.png', '_gtFine_labelTrainIds.png'),
    ),
}


def make_segmented(root: Path, dataset: str, height: int, width: int) -> Path:
    """Two pictures to train on and one to validate; four classes each."""
    rng = np.random.default_rng(0)
    *splits, suffixes = SEG_SUFFIXES[dataset]
    for split, number in zip(splits, (2, 1)):
        for folder in split:
            (root / folder).mkdir(parents=True)
        for i in range(number):
            # four corners that meet at a random point; ids from 1 are
            # classes in ADE20K and Cityscapes alike
            rows = np.arange(height)[:, None] > rng.integers(20, height - 20)
            columns = np.arange(width) > rng.integers(20, width - 20)
            labels = (1 + 2 * rows + columns).astype(np.uint8)
            image = 50 * labels[..., None] + rng.integers(
                0, 50, (height, width, 3)
            )
            for folder, suffix, array in zip(split, suffixes, (image, labels)):
                path = root / folder / f'{i}{suffix}'
                Image.fromarray(array.astype(np.uint8)).save(path)
    return root


def make_classified(root: Path, size: int) -> Path:
    """ImageNet's layout with two classes, dark and bright."""
    rng = np.random.default_rng(0)
    for split in ('train', 'val'):
        for name, low in (('bright', 128), ('dark', 0)):
            folder = root / split / name
            folder.mkdir(parents=True)
            image = rng.integers(low, low + 128, (size, size, 3))
            Image.fromarray(image.astype(np.uint8)).save(folder / '0.JPEG')
    return root
