"""GID, Hi-CNA and CamVid as datasets of mmsegmentation.

Importing this module imports mmseg. Configs do not need to: the names are
registered by :mod:`mmfdconv.datasets`, which comes here on first use.
"""

import os
from typing import Any, List, Optional

from mmseg.datasets import BaseSegDataset

from .checked_pipeline import CheckedPipeline, LabelCheck
from .landcover import (
    GID_CLASSES,
    GID_PALETTE,
    HI_CNA_CLASSES,
    HI_CNA_PALETTE,
)

CAMVID_CLASSES = (
    'sky',
    'building',
    'pole',
    'road',
    'pavement',
    'tree',
    'sign',
    'fence',
    'car',
    'pedestrian',
    'bicyclist',
)
#: SegNet's colours.
CAMVID_PALETTE = [
    [128, 128, 128],
    [128, 0, 0],
    [192, 192, 128],
    [128, 64, 128],
    [60, 40, 222],
    [128, 128, 0],
    [192, 128, 128],
    [64, 64, 128],
    [64, 0, 128],
    [64, 64, 0],
    [0, 128, 192],
]

# What a folder of images may hold. Sidecars such as .tfw and .aux.xml are
# not among them.
_IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.tif', '.tiff')


class _TiledDataset(BaseSegDataset):
    """``img_dir/{split}`` and ``ann_dir/{split}`` with files of one stem.

    What the pipeline does to an image is checked as
    :class:`.checked_pipeline.CheckedPipeline` tells.

    Args:
        img_suffix: Suffix of the images. None takes the one that the files
            of the folder have.
        seg_map_suffix: Suffix of the label images.
        ignore_index: Value of pixels of no class in the label images, 255 in
            mmseg's losses and metrics. None: every pixel has a class.
        **kwargs: Those of :class:`mmseg.datasets.BaseSegDataset`.

    Raises:
        FileNotFoundError: The folder of images is missing, or holds none.
        ValueError: The folder holds images of several kinds and
            ``img_suffix`` is None; or ``reduce_zero_label`` is asked for.
    """

    def __init__(
        self,
        img_suffix: Optional[str] = None,
        seg_map_suffix: str = '.png',
        ignore_index: Optional[int] = None,
        reduce_zero_label: bool = False,
        **kwargs: Any,
    ) -> None:
        classes = self.METAINFO['classes']
        if reduce_zero_label:
            raise ValueError(
                f'{type(self).__name__}: reduce_zero_label=True would shift '
                f'the ids and not the names, so that {classes[1]!r} scored '
                f'as {classes[0]!r}; to leave {classes[0]!r} out say '
                f'metainfo=dict(classes={classes[1:]})'
            )
        if ignore_index is not None:
            kwargs['ignore_index'] = ignore_index
        super().__init__(
            img_suffix=img_suffix, seg_map_suffix=seg_map_suffix, **kwargs
        )
        check = LabelCheck(
            self.metainfo['classes'], self.label_map, ignore_index
        )
        self.pipeline = CheckedPipeline(self.pipeline.transforms, check)

    def load_data_list(self) -> List[dict]:
        """List the images of the folder, or those of ``ann_file``."""
        folder = self.data_prefix['img_path']
        if self.img_suffix is None:
            self.img_suffix = _suffix_in(folder)
        items = super().load_data_list()
        if not items:
            raise FileNotFoundError(
                f'{type(self).__name__}: no image *{self.img_suffix} in '
                f'{folder!r}'
            )
        return items


class GIDDataset(_TiledDataset):
    """Gaofen Image Dataset, five classes of land cover (Tong et al., 2020).

    Label ids are 0 background (unlabelled), 1 built-up, 2 farmland, 3 forest,
    4 meadow, 5 water. ``tools/dataset_converters/gid.py`` makes the folders
    from the published scenes.

    The background is a class here, as in the label images. With
    ``metainfo=dict(classes=GID_CLASSES[1:])`` it becomes 255, which losses
    and metrics ignore, and built-up becomes 0.
    """

    METAINFO = dict(classes=GID_CLASSES, palette=list(map(list, GID_PALETTE)))


class HiCNADataset(_TiledDataset):
    """Hi-CNA, high-resolution cropland non-agriculturalisation: the masks.

    Label ids are 0 non-cropland, 1 cropland. The images have four bands,
    blue, green, red and near infrared, 8 or 16 bit: load them with
    ``LoadGeoTIFF``. ``tools/dataset_converters/hi_cna.py`` makes the folders.
    """

    METAINFO = dict(
        classes=HI_CNA_CLASSES, palette=list(map(list, HI_CNA_PALETTE))
    )


class CamVidDataset(_TiledDataset):
    """CamVid, road scenes of 480x360 (Brostow et al., 2009).

    The eleven classes and the split are those of SegNet (Badrinarayanan et
    al., arXiv:1511.00561): 367 images to train on, 101 to validate. Label ids
    are 0 sky to 10 bicyclist, and 255 stands for no class.
    """

    METAINFO = dict(classes=CAMVID_CLASSES, palette=CAMVID_PALETTE)

    def __init__(
        self, ignore_index: Optional[int] = 255, **kwargs: Any
    ) -> None:
        super().__init__(ignore_index=ignore_index, **kwargs)


def _suffix_in(folder: str) -> str:
    """The one image suffix among the files of a folder, as it is spelled."""
    if not os.path.isdir(folder):
        raise FileNotFoundError(f'no folder of images at {folder!r}')
    found = sorted(
        {
            suffix
            for _, _, files in os.walk(folder)
            for suffix in (os.path.splitext(name)[1] for name in files)
            if suffix.lower() in _IMAGE_SUFFIXES
        }
    )
    if not found:
        raise FileNotFoundError(
            f'no image ({", ".join(_IMAGE_SUFFIXES)}) in {folder!r}'
        )
    if len(found) > 1:
        raise ValueError(
            f'{folder!r} holds images ending in {" and ".join(found)}; '
            "say which by img_suffix, e.g. img_suffix='.png'"
        )
    return found[0]
