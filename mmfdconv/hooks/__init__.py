"""Hooks of MMEngine's runner; importing them registers them."""

from .temperature import TemperatureHook

__all__ = ['TemperatureHook']
