"""Looks at models and at runs, and never changes them."""

from .detections import plot_detections
from .run_curves import plot_training
from .runs import read_scalars

__all__ = ['plot_detections', 'plot_training', 'read_scalars']
