"""Datasets that the toolboxes lack."""

from .shapes import make_shapes
from .shapes_drawing import CLASSES as SHAPES_CLASSES
from .shapes_drawing import PALETTE as SHAPES_PALETTE

__all__ = ['SHAPES_CLASSES', 'SHAPES_PALETTE', 'make_shapes']
