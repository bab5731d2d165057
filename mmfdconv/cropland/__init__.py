"""Map satellite scenes, compare dates, and estimate hectares.

This part needs rasterio and fiona, so ``import mmfdconv`` does not import it.
"""
