"""What a config may name, registered at MMEngine's root registries.

Datasets and hook derive from mmseg's, which takes seconds to import, and
``import mmfdconv`` must stay light also for those who train detectors. So
functions of the same names are registered, that make them.
"""

from importlib.util import find_spec
from typing import Any

from mmengine.registry import DATASETS, HOOKS, TRANSFORMS

from .geotiff import DistortBands, LoadGeoTIFF, NormalizeBands

__all__ = [
    'BandsVisualizationHook',
    'CamVidDataset',
    'GIDDataset',
    'HiCNADataset',
]

for _transform in (DistortBands, LoadGeoTIFF, NormalizeBands):
    TRANSFORMS.register_module(module=_transform)


def CamVidDataset(*args: Any, **kwargs: Any) -> Any:
    """Make a :class:`mmfdconv.datasets.segmentation.CamVidDataset`."""
    from . import segmentation

    return segmentation.CamVidDataset(*args, **kwargs)


def GIDDataset(*args: Any, **kwargs: Any) -> Any:
    """Make a :class:`mmfdconv.datasets.segmentation.GIDDataset`."""
    from . import segmentation

    return segmentation.GIDDataset(*args, **kwargs)


def HiCNADataset(*args: Any, **kwargs: Any) -> Any:
    """Make a :class:`mmfdconv.datasets.segmentation.HiCNADataset`."""
    from . import segmentation

    return segmentation.HiCNADataset(*args, **kwargs)


def BandsVisualizationHook(*args: Any, **kwargs: Any) -> Any:
    """Make a :class:`.visualization.BandsVisualizationHook`."""
    from . import visualization

    return visualization.BandsVisualizationHook(*args, **kwargs)


if find_spec('mmseg') is not None:
    for _dataset in (CamVidDataset, GIDDataset, HiCNADataset):
        DATASETS.register_module(module=_dataset)
    HOOKS.register_module(module=BandsVisualizationHook)
