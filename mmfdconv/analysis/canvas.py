"""What the pictures of the analysis have in common.

matplotlib is imported where it is used, so that nothing else needs it.
Figures are made without pyplot: no display is needed, and no state of the
caller's own figures is touched.
"""

from pathlib import Path
from typing import Any, Optional, Tuple

import numpy as np

from .outputs import PathLike, check_suffix

__all__ = [
    'DIVERGING',
    'OKABE_ITO',
    'RGB',
    'SEQUENTIAL',
    'check_picture',
    'new_figure',
    'save_figure',
    'series_colours',
    'show_map',
    'show_picture',
    'unit_colour',
]

RGB = Tuple[int, int, int]

OKABE_ITO: Tuple[RGB, ...] = (
    (0, 114, 178),
    (230, 159, 0),
    (0, 158, 115),
    (213, 94, 0),
    (204, 121, 167),
    (86, 180, 233),
    (240, 228, 66),
    (0, 0, 0),
)
"""Eight colours (RGB) that colour-blind readers can tell apart."""

SEQUENTIAL = 'viridis'
"""Colour map of amounts."""

DIVERGING = 'RdBu_r'
"""Colour map of what lies below and above a neutral value."""


def unit_colour(colour: RGB) -> Tuple[float, ...]:
    """Give a colour in matplotlib's range, 0 to 1."""
    return tuple(z / 255 for z in colour)


def series_colours(number: int) -> Any:
    """Colours of ``number`` curves: told apart, or in order where many."""
    if number <= len(OKABE_ITO):
        return [unit_colour(c) for c in OKABE_ITO[:number]]
    from matplotlib import colormaps

    return list(colormaps['cividis'](np.linspace(0, 1, number)))


def _canvas() -> Any:
    """Matplotlib's canvas that needs no display."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
    except ImportError as error:
        raise ValueError(
            'figures need matplotlib; install it: pip install matplotlib'
        ) from error
    return FigureCanvasAgg


def new_figure(width: float, height: float) -> Any:
    """Make a figure, in inches, that draws without display and pyplot."""
    canvas = _canvas()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout='constrained')
    canvas(figure)
    return figure


def check_picture(out: PathLike) -> None:
    """Refuse a name that no picture can have, before the work is done."""
    kinds = _canvas().get_supported_filetypes()
    check_suffix(out, [f'.{kind}' for kind in sorted(kinds)])


def save_figure(figure: Any, out: PathLike, dpi: int = 130) -> Path:
    """Write a figure; the ending of ``out`` names the format."""
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=dpi)
    return out


def show_picture(axes: Any, picture: np.ndarray, title: str) -> None:
    """Show an image ``(H, W, 3)``, without ticks."""
    axes.imshow(picture)
    axes.set(title=title, xticks=[], yticks=[])


def show_map(
    axes: Any,
    values: np.ndarray,
    title: str,
    label: Optional[str] = None,
    centre: Optional[float] = None,
    least: Optional[float] = None,
    ticks: bool = False,
    **options: Any,
) -> Any:
    """Show a map ``(H, W)`` in colours, with a colour bar.

    Args:
        axes: Where to draw.
        values: The map.
        title: Heading.
        label: What the colours mean; None: no colour bar.
        centre: The neutral value of a diverging map; None: amounts.
        least: The smallest value that a diverging map can have, so that its
            colours do not reach below.
        ticks: Whether the axes have ticks.
        options: Of matplotlib's ``imshow``.
    """
    if centre is not None:
        # All-neutral maps are shown neutral, not as amplified rounding.
        reach = max(float(np.nanmax(abs(values - centre))), 1e-3)
        options = {'cmap': DIVERGING, **options}
        if least is not None and centre - reach < least:
            from matplotlib.colors import TwoSlopeNorm

            options['norm'] = TwoSlopeNorm(centre, least, centre + reach)
        else:
            options.setdefault('vmin', centre - reach)
            options.setdefault('vmax', centre + reach)
    options = {'cmap': SEQUENTIAL, 'interpolation': 'nearest', **options}
    shown = axes.imshow(values, **options)
    axes.set_title(title)
    if not ticks:
        axes.set(xticks=[], yticks=[])
    if label is not None:
        bar = axes.figure.colorbar(shown, ax=axes, shrink=0.85, pad=0.03)
        bar.set_label(label)
        bar.ax.tick_params(labelsize='small')
        if centre is not None and hasattr(bar.formatter, 'set_useOffset'):
            bar.formatter.set_useOffset(False)
    return shown
