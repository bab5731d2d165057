"""What a config may name, registered at MMEngine's root registries.

The datasets derive from mmseg's, which takes seconds to import, and
``import mmfdconv`` must stay light also for those who train detectors. So
functions of the same names are registered, that make the datasets.
"""

from importlib.util import find_spec
from typing import Any

from mmengine.registry import DATASETS, TRANSFORMS

from .geotiff import LoadGeoTIFF, NormalizeBands

__all__ = ['GIDDataset', 'HiCNADataset']

for _transform in (LoadGeoTIFF, NormalizeBands):
    TRANSFORMS.register_module(module=_transform)


def GIDDataset(*args: Any, **kwargs: Any) -> Any:
    """Make a :class:`mmfdconv.datasets.segmentation.GIDDataset`."""
    from . import segmentation

    return segmentation.GIDDataset(*args, **kwargs)


def HiCNADataset(*args: Any, **kwargs: Any) -> Any:
    """Make a :class:`mmfdconv.datasets.segmentation.HiCNADataset`."""
    from . import segmentation

    return segmentation.HiCNADataset(*args, **kwargs)


if find_spec('mmseg') is not None:
    for _dataset in (GIDDataset, HiCNADataset):
        DATASETS.register_module(module=_dataset)
