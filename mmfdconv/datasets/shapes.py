"""A small instance-segmentation dataset of textured shapes, in COCO format.

It stands in for COCO wherever a full run must fit into minutes: the files
have COCO's layout, so that the stock ``CocoDataset`` and ``CocoMetric`` read
them and only the paths, the classes and the sizes in a config differ.

What the images show is in :mod:`.shapes_drawing`. Masks are run lengths, as
pycocotools writes them.
"""

import json
import os
import tempfile
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Union

import numpy as np
from mmengine.logging import print_log

from .shapes_drawing import CLASSES, draw_image

# Raised whenever the same settings would give other pictures, so that a
# dataset of an older version is not taken for a current one.
_VERSION = 2
_RECORD = 'shapes.json'
_SPLITS = ('train', 'val')

_JPEG_QUALITY = 95


def make_shapes(
    out_dir: Union[str, os.PathLike],
    *,
    num_train: int = 800,
    num_val: int = 80,
    image_size: int = 128,
    seed: int = 0,
    overwrite: bool = False,
) -> Path:
    """Write the dataset, or keep the one that is there already.

    Each image has a random stream of its own, keyed by seed, split and
    index: the same settings give the same annotations byte for byte, train
    and val share no image, and a larger dataset starts with the images of
    the smaller one.

    The dataset appears under its name only once it is complete; an
    interrupted run leaves nothing there.

    Args:
        out_dir: Folder of the dataset. It gets ``train/``, ``val/`` and
            ``annotations/instances_{train,val}.json``.
        num_train: Number of images to train on.
        num_val: Number of images to evaluate on.
        image_size: Side of the square images, in pixels.
        seed: Seed of the random streams.
        overwrite: Replace a dataset that this function wrote with other
            settings, or that lacks files. Anything else that occupies
            ``out_dir`` is never touched.

    Returns:
        ``out_dir`` as a path.
    """
    settings = dict(
        version=_VERSION,
        num_train=_whole('num_train', num_train, 1),
        num_val=_whole('num_val', num_val, 1),
        image_size=_whole('image_size', image_size, 64),
        seed=_whole('seed', seed, 0),
    )
    out = Path(out_dir)

    replace = False
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        if not (out / _RECORD).is_file():
            raise ValueError(
                f'out_dir={str(out)!r} holds something that is not a shapes '
                'dataset; name a new or an empty folder'
            )
        fault = f'has other settings than {settings}'
        if json.loads((out / _RECORD).read_text()) == settings:
            lost = [
                name for name in _files(settings) if not (out / name).is_file()
            ]
            if not lost:
                print_log(f'{out}: kept, it is complete already', 'current')
                return out
            fault = f'lacks {len(lost)} of its files, such as {lost[0]}'
        if not overwrite:
            raise ValueError(
                f'out_dir={str(out)!r} holds a shapes dataset that {fault}; '
                'name another folder, or pass overwrite=True'
            )
        replace = True

    # Where out_dir is a link, the link stays and what it points to changes.
    target = out.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    # Beside the target, so that the final rename stays on one file system; of
    # a name that no other process has, on other machines neither.
    with tempfile.TemporaryDirectory(
        prefix=f'.{target.name}.', suffix='.partial', dir=target.parent
    ) as folder:
        partial, old = Path(folder, 'new'), Path(folder, 'old')
        for split in _SPLITS:
            _write_split(
                partial,
                split,
                number=settings[f'num_{split}'],
                image_size=settings['image_size'],
                seed=settings['seed'],
            )
        (partial / _RECORD).write_text(json.dumps(settings, indent=2) + '\n')
        if replace:
            print_log(f'{out}: replaced, it {fault}', 'current')
            os.replace(target, old)
        os.replace(partial, target)
    print_log(
        f'{out}: {num_train} images to train on, {num_val} to evaluate on',
        'current',
    )
    return out


def _files(settings: Mapping[str, int]) -> Iterator[str]:
    for split in _SPLITS:
        yield f'annotations/instances_{split}.json'
        for index in range(settings[f'num_{split}']):
            yield f'{split}/{index:06d}.jpg'


def _whole(name: str, value: Any, least: int) -> int:
    """Return ``value`` as int; raise ValueError if it is none or too low."""
    integral = isinstance(value, (int, np.integer))
    if not integral or isinstance(value, bool) or value < least:
        raise ValueError(
            f'{name} must be an integer of at least {least}, got {value!r}'
        )
    return int(value)


def _write_split(
    out: Path, split: str, number: int, image_size: int, seed: int
) -> None:
    import cv2
    from pycocotools import mask as coco

    (out / split).mkdir(parents=True)
    images: List[Dict[str, Any]] = []
    annotations: List[Dict[str, Any]] = []
    for index in range(number):
        rng = np.random.default_rng([seed, _SPLITS.index(split), index])
        image, shapes = draw_image(rng, image_size)
        name = f'{index:06d}.jpg'
        ok, data = cv2.imencode(
            '.jpg', image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
        )
        if not ok:
            raise RuntimeError(f'OpenCV could not encode {split}/{name}')
        (out / split / name).write_bytes(data.tobytes())
        images.append(
            dict(
                id=index + 1,
                file_name=name,
                height=image_size,
                width=image_size,
            )
        )
        for label, mask in shapes:
            runs = coco.encode(np.asfortranarray(mask, np.uint8))
            box = coco.toBbox(runs).tolist()
            runs['counts'] = runs['counts'].decode()  # JSON has no bytes
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=index + 1,
                    category_id=label + 1,
                    segmentation=runs,
                    area=int(mask.sum()),
                    bbox=box,
                    iscrowd=0,
                )
            )
        if (index + 1) % 100 == 0 or index + 1 == number:
            print_log(f'{split}: {index + 1}/{number} images', 'current')

    content = dict(
        info=dict(description='Textured shapes', version=str(_VERSION)),
        licenses=[],
        images=images,
        annotations=annotations,
        categories=[
            dict(id=k + 1, name=name, supercategory='shape')
            for k, name in enumerate(CLASSES)
        ],
    )
    path = out / 'annotations' / f'instances_{split}.json'
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content, separators=(',', ':')))
