"""What a config may name, registered at MMEngine's root registries.

Datasets and hook derive from mmseg's and are imported on first use.
"""

from importlib.util import find_spec

from mmengine.registry import DATASETS, HOOKS, TRANSFORMS

from ..registry import builder
from .geotiff import DistortBands, LoadGeoTIFF, NormalizeBands

_SEGMENTATION = f'{__package__}.segmentation'
CamVidDataset = builder(_SEGMENTATION, 'CamVidDataset')
GIDDataset = builder(_SEGMENTATION, 'GIDDataset')
HiCNADataset = builder(_SEGMENTATION, 'HiCNADataset')

for _transform in (DistortBands, LoadGeoTIFF, NormalizeBands):
    TRANSFORMS.register_module(module=_transform)
if find_spec('mmseg') is not None:
    for _dataset in (CamVidDataset, GIDDataset, HiCNADataset):
        DATASETS.register_module(module=_dataset)
    HOOKS.register_module(
        module=builder(
            f'{__package__}.visualization', 'BandsVisualizationHook'
        )
    )
