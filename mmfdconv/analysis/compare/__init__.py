"""Runs beside each other: trained here, with each method, or elsewhere."""
