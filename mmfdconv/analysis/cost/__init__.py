"""What a model costs: parameters and FLOPs, part by part."""

from .counter import FlopCount, count_flops
from .report import cost_of_config

__all__ = ['FlopCount', 'cost_of_config', 'count_flops']
