"""Hooks for MMEngine's runner. The import registers them."""

from .compiling import CompileLayersHook
from .dynamic_log import DynamicConvLogHook
from .temperature import TemperatureHook
from .training_data import TrainingDataHook

__all__ = [
    'CompileLayersHook',
    'DynamicConvLogHook',
    'TemperatureHook',
    'TrainingDataHook',
]
