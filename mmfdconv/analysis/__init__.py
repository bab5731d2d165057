"""Looks at models and at runs, and never changes them."""

from .plots import plot_detections, plot_training, read_scalars

__all__ = ['plot_detections', 'plot_training', 'read_scalars']
