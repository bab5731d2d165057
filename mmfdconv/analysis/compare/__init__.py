"""Trainings beside each other: their logs, curves and tables."""
