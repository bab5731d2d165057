"""How the time of a step grows with the batch, the channels and the image."""

import math
from typing import Any, Dict, List, Mapping, NamedTuple, Sequence, Tuple

import numpy as np
import torch

from .benchmark import STOCK, Result, measure
from .canvas import new_figure, save_figure, series_colours
from .outputs import PathLike
from .text_table import markdown
from .workloads import LayerShape, layers

__all__ = ['AXES', 'Series', 'draw', 'exponent', 'measure_axis', 'to_text']

#: What grows, and the sizes that are timed. Sides: powers of two, primes and
#: others beside them, since an FFT likes some lengths better than others.
AXES: Mapping[str, Tuple[int, ...]] = {
    'batch': (1, 2, 4, 8, 16),
    'channels': (32, 64, 128, 256, 512),
    'side': (14, 28, 31, 32, 33, 56, 61, 64, 67, 112, 127, 128),
}


class Series(NamedTuple):
    """Steps of one method along one axis, in seconds; quartiles beside."""

    axis: str
    method: str
    sizes: Tuple[int, ...]
    median: Tuple[float, ...]
    low: Tuple[float, ...]
    high: Tuple[float, ...]


def measure_axis(
    axis: str,
    shape: LayerShape,
    batch: int,
    methods: Sequence[str],
    options: Mapping[str, Mapping[str, Any]],
    sizes: Sequence[int] = (),
    device: str = 'cpu',
    rounds: int = 5,
) -> List[Series]:
    """Time a layer's forward and backward pass along one axis.

    All methods and the stock layer take turns at every size.

    Args:
        axis: One of :data:`AXES`.
        shape: The layer where it does not grow.
        batch: Likewise, the batch.
        methods: Names of dynamic layers.
        options: Their own options by method.
        sizes: Along the axis; none: those of :data:`AXES`.
        device: Where to run.
        rounds: Turns that count.

    Raises:
        ValueError: There is no such axis, method or option.
    """
    if axis not in AXES:
        raise ValueError(f'axis must be among {sorted(AXES)}, got {axis!r}')
    sizes = tuple(sizes) or AXES[axis]
    found: Dict[str, List[Result]] = {}
    for size in sizes:
        B, layer = batch, shape
        if axis == 'batch':
            B = size
        elif axis == 'channels':
            layer = shape._replace(in_channels=size, out_channels=size)
        else:
            layer = shape._replace(side=size)
        modules = layers(layer, methods, options, {})
        for module in modules.values():
            module.to(device)
        x = torch.randn(B, layer.in_channels, layer.side, layer.side)
        for result in measure(
            f'{axis} {size}', modules, x.to(device), rounds=rounds
        ):
            found.setdefault(result.method, []).append(result)
    return [
        Series(
            axis,
            method,
            sizes,
            tuple(r.step.median for r in results),
            tuple(r.step.low for r in results),
            tuple(r.step.high for r in results),
        )
        for method, results in found.items()
    ]


def exponent(series: Series) -> float:
    """``p`` of the power law ``time ~ size ** p`` that fits best."""
    sizes, times = (np.log(v) for v in (series.sizes, series.median))
    return float(np.polyfit(sizes, times, 1)[0])


def _cliff(series: Series) -> Tuple[float, int]:
    """The largest time over what both neighbours lead to expect, and where.

    Between two sizes the logarithm of the time is taken to be straight.
    """
    worst = (0.0, series.sizes[0])
    points = list(zip(series.sizes, series.median))
    for (a, ta), (b, tb), (c, tc) in zip(points, points[1:], points[2:]):
        share = math.log(b / a) / math.log(c / a)
        expected = math.exp((1 - share) * math.log(ta) + share * math.log(tc))
        worst = max(worst, (tb / expected, b))
    return worst


def to_text(all_series: Sequence[Series]) -> str:
    """Exponents and the worst sizes, in Markdown."""
    head = 'axis', 'method', 'time grows with', 'slowest beside its neighbours'
    rows = [head]
    for series in all_series:
        factor, size = _cliff(series)
        rows.append(
            (
                series.axis,
                series.method,
                f'{series.axis} ^ {exponent(series):.2f}',
                f'{factor:.2f}x at {size}',
            )
        )
    return markdown(rows, [':--'] * len(head), pad=False)


def draw(all_series: Sequence[Series], title: str, out: PathLike) -> None:
    """One panel per axis: milliseconds a step, with the exponents."""
    axes = list(dict.fromkeys(s.axis for s in all_series))
    methods = list(dict.fromkeys(s.method for s in all_series))
    colours = dict(zip(methods, series_colours(len(methods))))
    figure = new_figure(4.2 * len(axes), 3.8)
    figure.suptitle(title)
    for panel, axis in zip(
        figure.subplots(1, len(axes), squeeze=False)[0], axes
    ):
        for series in (s for s in all_series if s.axis == axis):
            milliseconds = [
                1e3 * np.array(t)
                for t in (series.median, series.low, series.high)
            ]
            label = 'stock conv' if series.method == STOCK else series.method
            panel.plot(
                series.sizes,
                milliseconds[0],
                marker='.',
                color=colours[series.method],
                label=f'{label}, exponent {exponent(series):.2f}',
            )
            panel.fill_between(
                series.sizes,
                *milliseconds[1:],
                color=colours[series.method],
                alpha=0.2,
                linewidth=0,
            )
        sizes = series.sizes
        panel.set(xscale='log', yscale='log', xlabel=_LABELS[axis])
        panel.set_xticks(sizes if len(sizes) < 7 else [14, 28, 56, 112])
        panel.minorticks_off()
        panel.xaxis.set_major_formatter('{x:.0f}')
        panel.yaxis.set_major_formatter('{x:g}')
        panel.grid(alpha=0.3)
        panel.legend(fontsize='small')
    figure.axes[0].set_ylabel('milliseconds, forward and backward')
    save_figure(figure, out)


_LABELS = {
    'batch': 'images in the batch',
    'channels': 'channels, in and out',
    'side': 'side of the feature map in pixels',
}
