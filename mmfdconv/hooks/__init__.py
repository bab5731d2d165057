"""Hooks of MMEngine's runner; importing them registers them."""

from .dynamic_log import DynamicConvLogHook
from .temperature import TemperatureHook

__all__ = ['DynamicConvLogHook', 'TemperatureHook']
