"""Gates over a data set: which kernels are used, for which classes."""

import math
from typing import (
    Any,
    Callable,
    Dict,
    Iterable,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
)

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from torch import Tensor, nn

from ...layers import gate_entropy, has_gates, record_gates
from ..outputs import PathLike, pretty_table
from .canvas import COLOURS, new_figure, plain_axes, save_figure, show_map
from .data import build_data, classes_in, spread_evenly
from .subject import Subject, dynamic_layers, extract, pick_layer


def gates_misfit(layer: nn.Module) -> Optional[str]:
    """Say why a layer has no gates of kernels; None where it has."""
    if has_gates(layer):
        return None
    return f'this {type(layer).__name__} has no attention over several kernels'


class LayerGates(NamedTuple):
    """What one layer's gates were, image by image."""

    shares: Tensor  # (images, K), summing to 1
    entropy: Tensor  # (images,), over log K: 1 for uniform gates

    @classmethod
    def of(cls, gates: Tensor) -> 'LayerGates':
        """Gates ``(images, K)`` as shares of their sum of magnitudes.

        Of KernelWarehouse's, ``(images, mixtures, cells)``, the means.
        """
        size = gates.abs().float()
        shares = size / size.sum(dim=-1, keepdim=True).clamp_min(1e-30)
        entropy = gate_entropy(gates) / math.log(gates.shape[-1])
        if gates.dim() > 2:
            shares = shares.flatten(1, -2).mean(dim=1)
            entropy = entropy.flatten(1).mean(dim=1)
        return cls(shares.cpu(), entropy.cpu())

    @property
    def usage(self) -> Tensor:
        """Mean share of each kernel over that of uniform gates, ``(K,)``."""
        return self.shares.mean(dim=0) * self.shares.shape[1]

    @property
    def moves(self) -> float:
        """How far gates move between images.

        The standard deviation over the images of a kernel's share times the
        number of kernels, mean over the kernels: 0 where gates are the same
        for every image, whatever that is.
        """
        return float(self.shares.std(dim=0).mean() * self.shares.shape[1])

    def dead(self, below: float = 0.1) -> List[int]:
        """Kernels whose usage is below ``below``."""
        return torch.nonzero(self.usage < below).flatten().tolist()


class GateStudy(NamedTuple):
    """Gates of layers over some images."""

    layers: Dict[str, LayerGates]
    present: Tensor  # (images, classes) of bool; no class: no annotations
    classes: Sequence[str]

    @classmethod
    def of(cls, gates: Mapping[str, Tensor]) -> 'GateStudy':
        """Of one batch, from :func:`mmfdconv.layers.record_gates`."""
        layers = {
            name: LayerGates.of(one)
            for name, one in gates.items()
            if one.shape[-1] > 1 and one.numel()
        }
        images = max((len(one.shares) for one in layers.values()), default=0)
        return cls(layers, torch.zeros(images, 0, dtype=torch.bool), ())


def study_gates(
    model: nn.Module,
    data: Any,
    number: Optional[int] = None,
    progress: Callable[[Sequence], Iterable] = iter,
) -> GateStudy:
    """Record the gates of all layers over a data set.

    Args:
        model: In evaluation mode.
        data: From :func:`~mmfdconv.analysis.figures.data.build_data`.
        number: At most so many images, spread evenly over the data.
        progress: Wraps the numbers of the images, such as ``tqdm``.

    Raises:
        ValueError: The model has no gates over kernels.
    """
    layers = dynamic_layers(model)
    names = [name for name, layer in layers.items() if has_gates(layer)]
    if not names:
        kinds = sorted({type(layer).__name__ for layer in layers.values()})
        raise ValueError(
            'config: none of its dynamic layers has attention over several '
            f'kernels; they are {", ".join(kinds)}'
        )
    classes = list((getattr(data, 'metainfo', None) or {}).get('classes', ()))
    chosen = spread_evenly(data, number)
    recorded: Dict[str, List[Tensor]] = {name: [] for name in names}
    present = torch.zeros(len(chosen), len(classes), dtype=torch.bool)
    for row, index in enumerate(progress(chosen)):
        item = data[index]
        with record_gates(model) as found:
            extract(model, pseudo_collate([item]), names)
        for name in names:
            if name in found:
                recorded[name].append(found[name].cpu())
        for label in classes_in(item['data_samples']):
            if label < len(classes):
                present[row, label] = True
    study = {
        name: LayerGates.of(torch.cat(rows))
        for name, rows in recorded.items()
        if rows  # a layer that is never reached has none
    }
    return GateStudy(study, present, classes)


def gate_movements(
    model: nn.Module, data: Any, number: int
) -> Dict[str, float]:
    """How far each layer's gates move, see :attr:`LayerGates.moves`.

    Args:
        model: In evaluation mode.
        data: As for :func:`study_gates`.
        number: At least 2 images, spread evenly over the data.

    Returns:
        By layer; empty for a model without gates over kernels, such as one
        with DCD, or a stock one.
    """
    if not any(map(has_gates, model.modules())):
        return {}
    study = study_gates(model, data, number)
    return {name: gates.moves for name, gates in study.layers.items()}


# ----------------------------------------------------------------- classes


def class_means(study: GateStudy, name: str) -> Tensor:
    """Usage of a layer's kernels by class, over that of all images.

    Returns:
        ``(classes, K)``; NaN for a class that no image shows.
    """
    shares = study.layers[name].shares
    weight = study.present.float()  # (images, classes)
    means = weight.t() @ shares / weight.sum(dim=0)[:, None]
    return means / shares.mean(dim=0).clamp_min(1e-30)


def frequent_classes(study: GateStudy, most: int = 12) -> List[int]:
    """The most frequent classes of at least one image, by number."""
    counts = study.present.sum(dim=0)
    order = counts.argsort(descending=True, stable=True)[:most]
    return sorted(c for c in order.tolist() if counts[c])


def moving_layer(study: GateStudy) -> str:
    """The layer whose gates move most with the class."""

    def spread(name: str) -> float:
        means = class_means(study, name)
        means = means[study.present.any(dim=0)]
        return float(means.std(dim=0).mean()) if len(means) > 1 else 0.0

    return max(study.layers, key=spread)


# ------------------------------------------------------------------ figure


def gates(
    subject: Subject,
    out: PathLike,
    layer: Optional[str] = None,
    split: str = 'val',
    number: Optional[int] = None,
    below: float = 0.1,
    progress: Callable[[Sequence], Iterable] = iter,
) -> List[str]:
    """Gates over a data set: use, entropy, dead kernels, classes."""
    if layer is not None:
        layer, _ = pick_layer(subject.model, layer, gates_misfit)
    dynamic_layers(subject.model)  # before the data are read
    data = build_data(subject.cfg, split)
    study = study_gates(subject.model, data, number, progress)
    title = f'Gates on {split}, {subject.state}'
    save_figure(draw_gates(study, title, layer, below), out)
    head = ['layer', 'K', 'entropy/log K', 'sd over images']
    head += ['least used', 'most used', 'dead']
    rows = []
    for name, found in study.layers.items():
        entropy = found.entropy
        # One image says nothing of how gates move.
        deviation = f'{entropy.std():.4f}' if len(entropy) > 1 else '-'
        cells = [name, str(len(found.usage)), f'{float(entropy.mean()):.4f}']
        cells += [deviation]
        cells += [f'{float(use):.3f}' for use in found.usage.aminmax()]
        rows.append([*cells, str(len(found.dead(below)))])
    return [str(pretty_table(head, rows))]


def draw_gates(
    study: GateStudy,
    title: str,
    layer: Optional[str] = None,
    below: float = 0.1,
) -> Any:
    """Draw how much each kernel is used, how evenly, and for which classes.

    Args:
        study: The gates.
        title: Heading.
        layer: Whose gates to show by class. None: those of the layer that
            moves most with the class.
        below: A kernel is dead whose usage is below this.
    """
    shown = frequent_classes(study)
    height = max(0.24 * len(study.layers) + 1.7, 2.6)
    lower = 0.3 * len(shown) + 1.5 if shown else 0
    figure = new_figure(10.4, height + lower)
    figure.suptitle(f'{title}\n{len(study.present)} images')
    top = figure
    if shown:
        top, bottom = figure.subfigures(2, 1, height_ratios=[height, lower])
        _by_class(bottom, study, shown, layer or moving_layer(study))
    left, right = top.subplots(1, 2, sharey=True, width_ratios=[1.3, 1])
    _usage(left, study)
    _entropy(right, study, below)
    return figure


def _usage(axes: Any, study: GateStudy) -> None:
    """Draw the mean share of every kernel, a row per layer."""
    layers = study.layers
    widest = max(len(found.usage) for found in layers.values())
    usage = np.full((len(layers), widest), np.nan)
    for row, found in zip(usage, layers.values()):
        row[: len(found.usage)] = found.usage.numpy()
    _show_shares(
        *(axes, usage, 'how much each kernel is used'),
        label='share over uniform share',
    )
    axes.set_yticks(range(len(layers)), list(layers), fontsize='small')


def _entropy(axes: Any, study: GateStudy, below: float) -> None:
    """Draw the entropies of all layers, and count dead kernels."""
    total = 0
    for row, found in enumerate(study.layers.values()):
        _spread(axes, row, found.entropy.numpy())
        dead = len(found.dead(below))
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
    plain_axes(
        axes,
        title=f'entropy of the gates\n{total} kernels dead',
        xlabel='entropy / log K (1: all kernels alike)\n'
        'median, quartiles, range over the images',
    )
    axes.grid(visible=False, axis='y')
    # Rounding of gates that are all alike is not worth a scale of its own.
    axes.set_xlim(left=min(axes.get_xlim()[0], 0.99))
    axes.tick_params(axis='y', labelleft=False)


def _spread(axes: Any, row: int, values: np.ndarray) -> None:
    """Draw range, quartiles and median of a layer's values."""
    low, first, median, third, high = np.quantile(
        values, (0, 0.25, 0.5, 0.75, 1)
    )
    blue, red = COLOURS[0], COLOURS[3]
    axes.plot([low, high], [row, row], color=blue, linewidth=1)
    axes.plot([first, third], [row, row], color=blue, linewidth=6, alpha=0.6)
    axes.plot(median, row, color=red, marker='D', markersize=4)


def _by_class(
    figure: Any, study: GateStudy, shown: List[int], layer: str
) -> None:
    axes = figure.subplots()
    means = class_means(study, layer)[shown].numpy()
    _show_shares(
        *(axes, means),
        f'gates by class in the image (in so many images), at {layer}',
        label='share over mean share',
    )
    counts = study.present.sum(dim=0)
    names = [f'{study.classes[c]} (in {int(counts[c])})' for c in shown]
    axes.set_yticks(range(len(shown)), names, fontsize='small')
    if means.shape[1] <= 8:
        norm = axes.images[0].norm
        for (row, column), value in np.ndenumerate(means):
            axes.text(
                *(column, row, f'{value:.3f}'),
                ha='center',
                va='center',
                fontsize='small',
                color='white' if abs(norm(value) - 0.5) > 0.3 else 'black',
            )


def _show_shares(
    axes: Any, shares: np.ndarray, title: str, label: str
) -> None:
    """Show shares over a neutral one, a column for each kernel."""
    options = dict(centre=1, least=0, ticks=True, aspect='auto')
    show_map(axes, shares, title, label, **options)
    number = shares.shape[1]
    ticks = range(0, number, max(-(-number // 8), 1))
    axes.set_xticks(ticks, [str(t + 1) for t in ticks])
    axes.set_xlabel('kernel')
