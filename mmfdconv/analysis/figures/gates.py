"""Figure of gates over a data set."""

from pathlib import Path
from typing import Any, List, Optional

import numpy as np

from ..canvas import (
    OKABE_ITO,
    new_figure,
    save_figure,
    show_map,
    unit_colour,
)
from ..gates import GateStudy, class_means, frequent_classes, moving_layer
from ..outputs import PathLike

__all__ = ['draw_gates']


def draw_gates(
    study: GateStudy,
    out: PathLike,
    title: str,
    layer: Optional[str] = None,
    below: float = 0.1,
) -> Path:
    """Draw how much each kernel is used, how evenly, and for which classes.

    Args:
        study: The gates.
        out: The picture to write.
        title: Heading.
        layer: Whose gates to show by class. None: those of the layer that
            moves most with the class.
        below: A kernel is dead whose usage is below this.
    """
    names = list(study.layers)
    images = len(study.present)
    shown = frequent_classes(study)
    height = max(0.24 * len(names) + 1.7, 2.6)
    lower = 0.3 * len(shown) + 1.5 if shown else 0
    figure = new_figure(10.4, height + lower)
    figure.suptitle(f'{title}\n{images} images')
    if shown:
        top, bottom = figure.subfigures(2, 1, height_ratios=[height, lower])
        _by_class(bottom, study, shown, layer or moving_layer(study))
    else:
        top = figure
    left, right = top.subplots(1, 2, sharey=True, width_ratios=[1.3, 1])
    _usage(left, study)
    _entropy(right, study, below)
    return save_figure(figure, out)


def _usage(axes: Any, study: GateStudy) -> None:
    """Draw the mean share of every kernel, a row per layer."""
    layers = study.layers
    widest = max(len(gates.usage) for gates in layers.values())
    usage = np.full((len(layers), widest), np.nan)
    for row, gates in zip(usage, layers.values()):
        row[: len(gates.usage)] = gates.usage.numpy()
    show_map(
        axes,
        usage,
        'how much each kernel is used',
        label='share over uniform share',
        centre=1,
        least=0,
        ticks=True,
        aspect='auto',
    )
    _number_kernels(axes, widest)
    axes.set_yticks(range(len(layers)), list(layers), fontsize='small')


def _entropy(axes: Any, study: GateStudy, below: float) -> None:
    """Draw the entropies of all layers, and count dead kernels."""
    total = 0
    for row, gates in enumerate(study.layers.values()):
        _spread(axes, row, gates.entropy.numpy())
        dead = len(gates.dead(below))
        total += dead
        axes.annotate(
            f'{dead} dead' if dead else '',
            (1.0, row),
            xycoords=('axes fraction', 'data'),
            xytext=(3, 0),
            textcoords='offset points',
            va='center',
            fontsize='small',
        )
    axes.axvline(1, color='0.4', linewidth=0.8, linestyle=':')
    axes.set(
        title=f'entropy of the gates; {total} kernels dead',
        xlabel='entropy / log K (1: all kernels alike)\n'
        'median, quartiles, range over the images',
    )
    # Rounding of gates that are all alike is not worth a scale of its own.
    axes.set_xlim(left=min(axes.get_xlim()[0], 0.99))
    axes.tick_params(axis='y', labelleft=False)
    axes.grid(axis='x', alpha=0.3)
    axes.spines[['top', 'right']].set_visible(False)


def _spread(axes: Any, row: int, values: np.ndarray) -> None:
    """Draw range, quartiles and median of a layer's values."""
    low, first, median, third, high = np.quantile(
        values, (0, 0.25, 0.5, 0.75, 1)
    )
    blue, red = unit_colour(OKABE_ITO[0]), unit_colour(OKABE_ITO[3])
    axes.plot([low, high], [row, row], color=blue, linewidth=1)
    axes.plot([first, third], [row, row], color=blue, linewidth=6, alpha=0.6)
    axes.plot(median, row, color=red, marker='D', markersize=4)


def _number_kernels(axes: Any, number: int) -> None:
    step = max(int(np.ceil(number / 8)), 1)
    ticks = list(range(0, number, step))
    axes.set_xticks(ticks, [str(t + 1) for t in ticks])
    axes.set_xlabel('kernel')


def _by_class(
    figure: Any, study: GateStudy, shown: List[int], layer: str
) -> None:
    axes = figure.subplots()
    means = class_means(study, layer)[shown].numpy()
    counts = study.present.sum(dim=0)
    show_map(
        axes,
        means,
        f'gates by class in the image (in so many images), at {layer}',
        label='share over mean share',
        centre=1,
        least=0,
        ticks=True,
        aspect='auto',
    )
    names = [f'{study.classes[c]} (in {int(counts[c])})' for c in shown]
    axes.set_yticks(range(len(shown)), names, fontsize='small')
    _number_kernels(axes, means.shape[1])
    if means.shape[1] <= 8:
        norm = axes.images[0].norm
        for row, values in enumerate(means):
            for column, value in enumerate(values):
                axes.text(
                    *(column, row),
                    f'{value:.3f}',
                    ha='center',
                    va='center',
                    fontsize='small',
                    color='white' if abs(norm(value) - 0.5) > 0.3 else 'black',
                )
