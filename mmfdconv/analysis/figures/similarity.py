"""How alike the parallel kernels of a layer are."""

from typing import Any, List, NamedTuple, Optional

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..outputs import PathLike, pretty_table
from .canvas import new_figure, save_figure, series_colours, show_map
from .kernels import (
    image_spectrum,
    kernel_noun,
    kernels_misfit,
    parallel_kernels,
)
from .subject import Subject, dynamic_layers, pick_layer

#: Above so many kernels, numbers would not fit into the matrix.
_NUMBERED = 8


def cosine_matrix(vectors: Tensor) -> Tensor:
    """Cosines between the rows of ``(K, ...)``; 0 with a row of zeros."""
    rows = vectors.flatten(1)
    gram = rows.new_zeros(len(rows), len(rows), dtype=torch.double)
    for part in rows.split(1 << 20, dim=1):
        part = part.double()
        gram += part @ part.T
    norm = gram.diagonal().sqrt()
    norm = norm.clamp_min(torch.finfo(torch.double).tiny ** 0.5)
    return gram / norm[:, None] / norm[None, :]


class Similarity(NamedTuple):
    """How alike parallel kernels are, two ways."""

    kernels: Tensor  # (K, K), cosines of the kernels
    magnitudes: Tensor  # (K, K), cosines of the magnitudes of their spectra

    def summary(self) -> List[float]:
        """Mean and largest of either matrix off its diagonal."""
        values = []
        for matrix in self:
            others = matrix[~torch.eye(len(matrix), dtype=torch.bool)]
            values += [float(others.mean()), float(others.max())]
        return values


def compare_kernels(kernels: Tensor) -> Similarity:
    """Compare parallel kernels.

    The cosine of the complex frequency responses is that of the kernels
    themselves (Parseval), whatever the plane. The cosine of the magnitudes
    forgets the phases; it is taken in FDConv's plane, where spectra of
    independent white noise reach pi / 4 = 0.785 on average and disjoint
    groups 0.

    Args:
        kernels: ``(K, O, I, kh, kw)``.
    """
    return Similarity(
        cosine_matrix(kernels), cosine_matrix(image_spectrum(kernels))
    )


class Plane(NamedTuple):
    """Filters of parallel kernels as points of a plane."""

    points: Tensor  # (n, 2)
    owner: Tensor  # (n,), the number of each one's kernel
    how: str  # what the axes are


def principal_plane(kernels: Tensor, limit: int = 1024) -> Plane:
    """Place every filter of every parallel kernel in a plane, by PCA.

    Args:
        kernels: ``(K, O, I, kh, kw)``; a filter is one of the ``O``.
        limit: Show at most so many filters, spread evenly over ``O``.
    """
    K, O = kernels.shape[:2]  # noqa: E741
    n = max(min(O, limit // K), 1)
    chosen = torch.linspace(0, O - 1, n).round().long()
    points = kernels[:, chosen].flatten(0, 1).flatten(1).double()
    points = points - points.mean(dim=0)
    owner = torch.arange(K).repeat_interleave(n)
    _, scale, axes = torch.linalg.svd(points, full_matrices=False)
    share = scale.square() / scale.square().sum().clamp_min(1e-300)
    plane = points @ axes[:2].T
    plane = F.pad(plane, (0, 2 - plane.shape[1]))
    shown = f'PCA, {float(share[:2].sum()):.0%} of the variance'
    return Plane(plane, owner, shown)


# ------------------------------------------------------------------ figure


def similarity(
    subject: Subject,
    out: PathLike,
    layer: Optional[str] = None,
    every: bool = False,
) -> List[str]:
    """How similar a layer's parallel kernels are; with a table of all."""
    name, found = pick_layer(subject.model, layer, kernels_misfit)
    kernels, noun = parallel_kernels(found), kernel_noun(found)
    alike = {name: compare_kernels(kernels)}
    plane = principal_plane(kernels)
    title = subject.title(name, found)
    save_figure(draw_similarity(alike[name], plane, title, noun), out)
    if every:
        for key, other in dynamic_layers(subject.model).items():
            if key != name and kernels_misfit(other) is None:
                alike[key] = compare_kernels(parallel_kernels(other))
    head = ['layer', 'mean cosine', 'largest']
    head += ['mean, of magnitudes', 'largest, of magnitudes']
    rows = [
        [key, *(f'{value + 0.0:.3f}' for value in one.summary())]
        for key, one in alike.items()
    ]
    return [str(pretty_table(head, rows))]


def draw_similarity(
    alike: Similarity, plane: Plane, title: str, noun: str = 'kernel'
) -> Any:
    """Draw how alike the parallel kernels of a layer are.

    Args:
        alike: The cosines.
        plane: Every filter of every kernel.
        title: Heading.
        noun: What a kernel is called.
    """
    figure = new_figure(11.4, 4.2)
    figure.suptitle(title)
    axes = figure.subplots(1, 3, width_ratios=[1, 1, 1.1])
    mean, _, magnitudes, _ = alike.summary()
    signed = dict(cmap='RdBu_r', vmin=-1, vmax=1)
    for ax, matrix, head, value, scale in (
        (axes[0], alike.kernels, 'cosine of the responses', mean, signed),
        (
            *(axes[1], alike.magnitudes, 'cosine of their magnitudes'),
            *(magnitudes, dict(vmin=0, vmax=1)),
        ),
    ):
        head = f'{head}\nmean off the diagonal {value:.3f}'
        show_map(ax, matrix.numpy(), head, label='cosine', ticks=True, **scale)
        _number(ax, matrix.numpy(), noun)
    _scatter(axes[2], plane, noun)
    return figure


def _number(axes: Any, values: np.ndarray, noun: str) -> None:
    """Number the kernels; where there are few, write their cosines."""
    K = len(values)
    ticks = np.linspace(0, K - 1, K if K <= _NUMBERED else 5).round()
    names = [f'{tick + 1:.0f}' for tick in ticks]
    axes.set(xlabel=noun, ylabel=noun)
    axes.set_xticks(ticks, names)
    axes.set_yticks(ticks, names)
    if K > _NUMBERED:
        return
    low, high = axes.images[0].get_clim()
    for (i, j), value in np.ndenumerate(values):
        part = (value - low) / (high - low)
        # Both ends of the diverging map are dark, of viridis only one.
        dark = abs(part - 0.5) > 0.35 if low < 0 else part < 0.6
        axes.text(
            *(j, i, f'{value:.3f}'),
            ha='center',
            va='center',
            fontsize='small',
            color='white' if dark else 'black',
        )


def _scatter(axes: Any, plane: Plane, noun: str) -> None:
    points, owner = plane.points.numpy(), plane.owner.numpy()
    K = int(owner.max()) + 1
    axes.set_title(f'every filter of every {noun}\n{plane.how}')
    if K <= _NUMBERED:
        for k, colour in enumerate(series_colours(K)):
            axes.scatter(
                *points[owner == k].T,
                # Kernels that are alike lie upon each other: from large to
                # small, all stay visible.
                s=70 * 0.6**k + 6,
                marker='osD^vPX*'[k],
                facecolors='none',
                edgecolors=[colour],
                label=str(k + 1),
            )
        axes.legend(
            title=noun,
            frameon=False,
            fontsize='small',
            loc='upper left',
            bbox_to_anchor=(1, 1),
        )
    else:
        drawn = axes.scatter(
            *points.T, s=9, c=owner + 1, cmap='cividis', linewidths=0
        )
        axes.figure.colorbar(drawn, ax=axes, pad=0.03).set_label(noun)
    axes.set(xticks=[], yticks=[])
    axes.set_box_aspect(1)
    axes.margins(0.08)
