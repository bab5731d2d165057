"""Curves of trainings, of one or several: losses and metrics."""

from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from ..figures.canvas import COLOURS, new_figure, plain_axes, save_figure
from ..outputs import PathLike
from .runs import Group, RunLog, read_scalars

__all__ = ['COCO_METRICS', 'plot_runs', 'plot_training']

COCO_METRICS = {
    'coco/bbox_mAP_50': 'box AP50',
    'coco/segm_mAP_50': 'mask AP50',
    'coco/bbox_mAP': 'box AP',
    'coco/segm_mAP': 'mask AP',
}
"""MMEngine's names of the metrics that a curve shows, with plain names."""

Curve = Tuple[List[float], List[float]]

# Yellow is hard to see on white.
_COLOURS = [c for c in COLOURS if c != '#f0e442']
_MARKERS = 'osD^vPX'
_STYLES = ('-', '--', ':')
_POINTS = 100  # of a loss curve that is not by epoch
_COLUMNS = 3
_LEGEND_COLUMNS = 4


def plot_training(
    scalars: PathLike,
    out: PathLike,
    *,
    metrics: Mapping[str, str] = COCO_METRICS,
    title: str = 'Training',
) -> Path:
    """Draw the losses of a run beside its metrics on validation data.

    Args:
        scalars: A run's ``vis_data/scalars.json``.
        out: The picture to write; its ending names the format.
        metrics: Which metrics to draw: MMEngine's name to plain name.
        title: Heading of the picture.

    Returns:
        ``out`` as a path.
    """
    train, val = read_scalars(scalars)
    losses = _series(train, [k for k in _keys(train) if 'loss' in k])
    if not losses:
        raise ValueError(
            f'scalars={str(scalars)!r} has no line with an iteration and a '
            'loss; it must come from a training run'
        )
    found = _series(val, [name for name in metrics if name in _keys(val)])

    figure = new_figure(9.6, 4.0)
    left, right = figure.subplots(1, 2)
    figure.suptitle(title)
    # The sum first, and above its parts.
    for number, name in enumerate(sorted(losses, key=lambda k: k != 'loss')):
        whole = name == 'loss'
        left.plot(
            *losses[name],
            label='total' if whole else name.replace('loss_', ''),
            color=COLOURS[-1 if whole else (number - 1) % 7],
            linewidth=2.2 if whole else 1.3,
            zorder=3 if whole else 2,
        )
    left.set(title='Loss on train', ylabel='loss', ylim=(0, None))

    for number, name in enumerate(found):
        style = dict(color=COLOURS[number % 8], marker='o')
        right.plot(*found[name], label=metrics[name], **style)
    right.set(title='Average precision on val', ylabel='AP', ylim=(0, 1))
    if not found:
        right.text(
            *(0.5, 0.5),
            'no validation yet',
            ha='center',
            va='center',
            transform=right.transAxes,
        )
    for axes in (left, right):
        end = train[-1]['iter'] * 1.02
        plain_axes(axes, xlabel='iteration', xlim=(0, end))
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False)
    return save_figure(figure, out)


def _keys(lines: Sequence[Mapping[str, Any]]) -> List[str]:
    """Give all keys in the order of their first appearance."""
    return list(dict.fromkeys(key for line in lines for key in line))


def _series(
    lines: Sequence[Mapping[str, Any]], names: Sequence[str]
) -> Dict[str, Tuple[List[int], List[float]]]:
    """Give for each name the iterations and the values logged at them."""
    series = {}
    for name in names:
        points = [(d['iter'], d[name]) for d in lines if name in d]
        series[name] = tuple(map(list, zip(*points)))
    return series


# ----------------------------------------------------------- several runs


def plot_runs(
    groups: Sequence[Group],
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
        groups: The runs.
        metrics: One panel each.
        out: The picture to write; its ending names the format.
        names: What to call metrics.
        title: Heading of the picture.

    Returns:
        ``out`` as a path.
    """
    by_epoch = all(run.by_epoch for group in groups for run in group.runs)
    panels = 1 + len(metrics)
    columns = min(panels, _COLUMNS)
    lines = -(-panels // columns)
    legend = -(-len(groups) // _LEGEND_COLUMNS)
    figure = new_figure(4.2 * columns, 3.1 * lines + 0.5 + 0.25 * legend)
    figure.suptitle(title)
    grid = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes in grid[panels:]:
        axes.set_visible(False)
    for number, group in enumerate(groups):
        style = dict(
            color=_COLOURS[number % len(_COLOURS)],
            marker=_MARKERS[number % len(_MARKERS)],
            linestyle=_STYLES[number // len(_COLOURS) % len(_STYLES)],
            label=group.name,
        )
        losses = [_loss(run, by_epoch) for run in group.runs]
        _draw(grid[0], losses, style)
        for axes, metric in zip(grid[1:], metrics):
            curves = [_metric(run, metric, by_epoch) for run in group.runs]
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
