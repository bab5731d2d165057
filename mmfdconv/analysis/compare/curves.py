"""Curves of trainings: losses and metrics."""

from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from ..figures.canvas import COLOURS, new_figure, plain_axes, save_figure
from ..outputs import PathLike
from .runs import RunLog

Curve = Tuple[List[float], List[float]]

# Yellow is hard to see on white.
_COLOURS = [c for c in COLOURS if c != '#f0e442']
_MARKERS = 'osD^vPX'
_STYLES = ('-', '--', ':')
_POINTS = 100  # of a loss curve that is not by epoch
_COLUMNS = 3
_LEGEND_COLUMNS = 4


def plot_runs(
    groups: Mapping[str, Sequence[RunLog]],
    metrics: Sequence[str],
    out: PathLike,
    *,
    names: Optional[Dict[str, str]] = None,
    title: str = 'Runs',
) -> Path:
    """Draw the loss and some metrics of runs, a colour for each group.

    A group of several runs is the line of its mean and the band from its
    lowest to its highest run. The loss is the mean over each epoch; of runs
    that do not count epochs, over a hundredth of the run.

    Args:
        groups: Runs by the name of their group.
        metrics: One panel each.
        out: The picture to write; its ending names the format.
        names: What to call metrics.
        title: Heading of the picture.

    Returns:
        ``out`` as a path.
    """
    by_epoch = all(run.by_epoch for runs in groups.values() for run in runs)
    panels = 1 + len(metrics)
    columns = min(panels, _COLUMNS)
    lines = -(-panels // columns)
    legend = -(-len(groups) // _LEGEND_COLUMNS)
    figure = new_figure(4.2 * columns, 3.1 * lines + 0.5 + 0.25 * legend)
    figure.suptitle(title)
    grid = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes in grid[panels:]:
        axes.set_visible(False)
    for number, (name, runs) in enumerate(groups.items()):
        style = dict(
            color=_COLOURS[number % len(_COLOURS)],
            marker=_MARKERS[number % len(_MARKERS)],
            linestyle=_STYLES[number // len(_COLOURS) % len(_STYLES)],
            label=name,
        )
        _draw(grid[0], [_loss(run, by_epoch) for run in runs], style)
        for axes, metric in zip(grid[1:], metrics):
            curves = [_metric(run, metric, by_epoch) for run in runs]
            _draw(axes, curves, style)
    heads = [(names or {}).get(metric, metric) for metric in metrics]
    for axes, head in zip(grid, ['loss, training', *heads]):
        unit = 'epoch' if by_epoch else 'iteration'
        plain_axes(axes, title=head, xlabel=unit)
        axes.xaxis.get_major_locator().set_params(integer=True)
    figure.legend(
        *grid[0].get_legend_handles_labels(),
        loc='outside lower center',
        ncols=min(len(groups), _LEGEND_COLUMNS),
        frameon=False,
    )
    return save_figure(figure, out)


def _draw(axes: Any, curves: Sequence[Curve], style: Dict[str, Any]) -> None:
    """Draw a mean and its band over where at least one run is."""
    values: Dict[float, List[float]] = {}
    for xs, ys in curves:
        for x, y in zip(xs, ys):
            if np.isfinite(y):
                values.setdefault(x, []).append(y)
    xs = sorted(values)
    many = len(xs) > 30
    axes.plot(
        xs,
        [np.mean(values[x]) for x in xs],
        **dict(style, marker=None if many else style['marker']),
        markersize=4,
        linewidth=1.5,
    )
    if len(curves) > 1:
        axes.fill_between(
            xs,
            [min(values[x]) for x in xs],
            [max(values[x]) for x in xs],
            color=style['color'],
            alpha=0.12,
            linewidth=0,
        )


def _loss(run: RunLog, by_epoch: bool) -> Curve:
    points = [p for p in run.train if 'loss' in p]
    if by_epoch:
        keys = [p['epoch'] for p in points]
    else:
        width = max(1, -(-run.train[-1]['iter'] // _POINTS))
        keys = [-(-p['iter'] // width) * width for p in points]
    bins: Dict[int, List[float]] = {}
    for key, point in zip(keys, points):
        bins.setdefault(key, []).append(point['loss'])
    return list(bins), [float(np.mean(found)) for found in bins.values()]


def _metric(run: RunLog, metric: str, by_epoch: bool) -> Curve:
    points = [p for p in run.val if metric in p]
    key = 'step' if by_epoch else 'iter'
    return [p.get(key, p['iter']) for p in points], [p[metric] for p in points]
