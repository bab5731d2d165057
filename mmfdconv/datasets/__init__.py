"""Data sets and transforms that the toolboxes lack.

Importing it registers the transforms ``LoadGeoTIFF``, ``NormalizeBands`` and
``DistortBands`` and, if mmsegmentation is installed, ``CamVidDataset``,
``GIDDataset``, ``HiCNADataset`` and ``BandsVisualizationHook``.
"""

from .geotiff import DistortBands, LoadGeoTIFF, NormalizeBands
from .landcover import (
    GID_BANDS,
    GID_CLASSES,
    GID_PALETTE,
    HI_CNA_BANDS,
    HI_CNA_CLASSES,
    HI_CNA_PALETTE,
)
from .registered import CamVidDataset, GIDDataset, HiCNADataset
from .shapes import make_shapes
from .shapes_drawing import CLASSES as SHAPES_CLASSES

__all__ = [
    'GID_BANDS',
    'GID_CLASSES',
    'GID_PALETTE',
    'HI_CNA_BANDS',
    'HI_CNA_CLASSES',
    'HI_CNA_PALETTE',
    'SHAPES_CLASSES',
    'CamVidDataset',
    'DistortBands',
    'GIDDataset',
    'HiCNADataset',
    'LoadGeoTIFF',
    'NormalizeBands',
    'make_shapes',
]
