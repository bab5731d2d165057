"""What a model costs: parameters and FLOPs, part by part."""

from .counter import FlopCount, count_flops
from .model_cost import cost_of_config

__all__ = ['FlopCount', 'cost_of_config', 'count_flops']
