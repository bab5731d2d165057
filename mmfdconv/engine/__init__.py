"""Training and testing with MMEngine: options, launching, mixed precision.

Importing it registers ``AutoAmpOptimWrapper`` and
``CpuDistributedDataParallel``.
"""

from .cpu_ddp import CpuDistributedDataParallel
from .optim_wrapper import build_auto_amp_optim_wrapper

__all__ = ['CpuDistributedDataParallel', 'build_auto_amp_optim_wrapper']
