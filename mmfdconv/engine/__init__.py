"""What training and testing through MMEngine needs beyond the layers.

Importing it registers ``AutoAmpOptimWrapper`` and
``CpuDistributedDataParallel``.
"""

from .cpu_ddp import CpuDistributedDataParallel
from .optim_wrapper import build_auto_amp_optim_wrapper

__all__ = ['CpuDistributedDataParallel', 'build_auto_amp_optim_wrapper']
