"""A small picture of a map, next to its scene if there is one."""

from typing import Any, Mapping, Optional, Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ..datasets.pictures import stretch
from ..datasets.raster_bands import shown_bands
from .raster import MapReader, spans
from .scene import Scene

__all__ = ['write_quicklook']

PIXELS = 1000  # of the longer side of a panel
DPI = 100


def write_quicklook(
    path: str,
    classes: MapReader,
    palette: Sequence[Sequence[int]],
    hectares: Mapping[str, float],
    scene: Optional[Scene] = None,
    title: str = 'Map',
) -> None:
    """Draw a map with its legend as PNG.

    Args:
        path: File to write.
        classes: The map.
        palette: Colours by value.
        hectares: Hectares by legend text, in the order of the values.
        scene: Drawn to the left.
        title: Heading of the map.
    """
    every = max(1, -(-max(classes.height, classes.width) // PIXELS))
    colours = np.full((256, 3), 255, np.uint8)  # no data is white
    colours[: len(palette)] = palette
    values = thin(classes.read, classes.height, every)
    panels = [(title, upright(colours[values], classes.transform))]
    if scene is not None:
        bands = np.array(shown_bands(scene.band_names)) - 1

        def colours_of(start: int, stop: int) -> np.ndarray:
            return np.moveaxis(scene.read(start, stop).values[bands], 0, -1)

        picture = stretch(thin(colours_of, scene.height, every))
        panels.insert(0, ('Scene', upright(picture, scene.transform)))
    _draw(path, panels, palette, hectares)


def thin(read: Any, height: int, every: int, rows: int = 512) -> np.ndarray:
    """Return every ``every``-th pixel, reading some rows at a time."""
    rows = max(1, rows // every) * every
    parts = [read(*span)[::every, ::every] for span in spans(height, rows)]
    return np.concatenate(parts)


def upright(picture: np.ndarray, transform: Any) -> np.ndarray:
    """Turn a picture of a grid so that north is more up than down.

    Args:
        picture: Shape (H, W, 3).
        transform: The grid's, from (column, row) to (east, north).

    Returns:
        Shape (H, W, 3) or (W, H, 3).
    """
    t = transform
    east, north = t.a, t.e  # of a column's step, and of a row's
    # Which side of a pixel leads north, whatever the sides' lengths.
    if abs(t.d) * np.hypot(t.b, t.e) > abs(t.e) * np.hypot(t.a, t.d):
        picture, (east, north) = picture.swapaxes(0, 1), (t.b, t.d)
    return picture[:: -1 if north > 0 else 1, :: -1 if east < 0 else 1]


def _draw(path, panels, palette, hectares) -> None:
    height, width = panels[0][1].shape[:2]
    scale = PIXELS / max(height, width)
    wide, high = width * scale / DPI, height * scale / DPI
    legend = 2.6  # inches
    figure = Figure((wide * len(panels) + legend, high + 0.4), dpi=DPI)
    FigureCanvasAgg(figure)
    full = wide * len(panels) + legend
    for i, (title, picture) in enumerate(panels):
        place = (i * wide / full, 0.0, 0.99 * wide / full, high / (high + 0.4))
        axes = figure.add_axes(place)
        axes.imshow(picture, interpolation='nearest', aspect='auto')
        axes.set_title(title, fontsize=11)
        axes.set_axis_off()
    handles = [
        Patch(
            facecolor=np.array(colour) / 255,
            edgecolor='black',
            linewidth=0.5,
            label=f'{name}\n{hectares[name]:,.1f} ha',
        )
        for name, colour in zip(hectares, palette)
    ]
    figure.legend(
        handles=handles,
        loc='center left',
        bbox_to_anchor=(1 - legend / full + 0.005, 0.5),
        fontsize=10,
        frameon=False,
        labelspacing=1.0,
    )
    figure.savefig(path, format='png')
