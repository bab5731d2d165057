"""Looks at models and at runs, and never changes them.

cost/: parameters and FLOPs; speed: time and memory; figures/: what a model
learned; compare/: runs beside each other.
"""
