"""What the figures have in common.

matplotlib is imported where it is used, so that nothing else needs it.
Figures are made without pyplot: no display is needed, and no state of the
caller's own figures is touched.
"""

from pathlib import Path
from typing import Any, List, Optional, Tuple

import numpy as np

from ..outputs import PathLike, check_suffix

COLOURS: Tuple[str, ...] = (
    '#0072b2',
    '#e69f00',
    '#009e73',
    '#d55e00',
    '#cc79a7',
    '#56b4e9',
    '#f0e442',
    '#000000',
)
"""Okabe and Ito's, which colour-blind readers tell apart, too."""


def series_colours(number: int) -> List[Any]:
    """Colours of ``number`` curves: told apart, or in order where many."""
    if number <= len(COLOURS):
        return list(COLOURS[:number])
    from matplotlib import colormaps

    return list(colormaps['cividis'](np.linspace(0, 1, number)))


def check_picture(out: PathLike) -> None:
    """Refuse a name that no picture can have, before the work is done."""
    try:
        from matplotlib.backend_bases import FigureCanvasBase
    except ImportError as error:
        raise ValueError(
            'figures need matplotlib; install it: pip install matplotlib'
        ) from error
    kinds = sorted(FigureCanvasBase.get_supported_filetypes())
    check_suffix(out, [f'.{kind}' for kind in kinds])


def new_figure(width: float, height: float, dpi: int = 130) -> Any:
    """Make a figure, in inches, that draws without display and pyplot."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=dpi, layout='constrained')


def save_figure(figure: Any, out: PathLike) -> Path:
    """Write a figure; the ending of ``out`` names the format."""
    check_picture(out)
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi='figure')
    return out


def pixels(figure: Any) -> np.ndarray:
    """Draw a figure as ``(H, W, 3)`` RGB of type uint8."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3].copy()


def plain_axes(axes: Any, **settings: Any) -> None:
    """Set titles and limits of a plot of curves, with a faint grid."""
    axes.set(**settings)
    axes.grid(alpha=0.3)
    axes.spines[['top', 'right']].set_visible(False)


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
        options = {'cmap': 'RdBu_r', **options}
        if least is not None and centre - reach < least:
            from matplotlib.colors import TwoSlopeNorm

            options['norm'] = TwoSlopeNorm(centre, least, centre + reach)
        else:
            options.setdefault('vmin', centre - reach)
            options.setdefault('vmax', centre + reach)
    shown = axes.imshow(values, **{'interpolation': 'nearest', **options})
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
