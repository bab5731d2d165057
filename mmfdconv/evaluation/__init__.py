"""Metrics that the toolboxes lack. The import registers them."""

from .cropland_metric import CroplandMetric, cropland_scores

__all__ = ['CroplandMetric', 'cropland_scores']
