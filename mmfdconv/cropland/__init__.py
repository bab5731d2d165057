"""From a satellite scene to a map, to polygons and to hectares.

Needs rasterio and fiona, which nothing else in the package needs, so that
``import mmfdconv`` leaves this part alone.
"""
