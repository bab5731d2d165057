"""Looks at models and at runs, and never changes them."""

from .run_curves import plot_training
from .runs import read_scalars

__all__ = ['plot_training', 'read_scalars']
