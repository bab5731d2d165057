"""What training and testing through MMEngine needs beyond the layers.

Importing it registers ``AutoAmpOptimWrapper``.
"""

from .optim_wrapper import build_auto_amp_optim_wrapper

__all__ = ['build_auto_amp_optim_wrapper']
