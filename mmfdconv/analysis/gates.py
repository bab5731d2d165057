"""Gates over a data set: which kernels are used, for which classes."""

import math
from typing import (
    Any,
    Callable,
    Dict,
    Iterable,
    List,
    NamedTuple,
    Optional,
    Sequence,
)

import torch
from mmengine.dataset import pseudo_collate
from torch import Tensor, nn

from ..layers import gate_entropy, has_gates, record_gates
from .config_data import classes_in
from .subject import dynamic_layers, extract

__all__ = [
    'GateStudy',
    'LayerGates',
    'class_means',
    'frequent_classes',
    'gate_shares',
    'gates_misfit',
    'moving_layer',
    'relative_entropy',
    'study_gates',
]


def gates_misfit(layer: nn.Module) -> Optional[str]:
    """Say why a layer has no gates of kernels; None where it has."""
    if has_gates(layer):
        return None
    return f'this {type(layer).__name__} has no attention over several kernels'


class LayerGates(NamedTuple):
    """What one layer's gates were, image by image."""

    shares: Tensor  # (images, K), summing to 1
    entropy: Tensor  # (images,), over log K: 1 for uniform gates

    @property
    def usage(self) -> Tensor:
        """Mean share of each kernel over that of uniform gates, ``(K,)``."""
        return self.shares.mean(dim=0) * self.shares.shape[1]

    def dead(self, below: float = 0.1) -> List[int]:
        """Kernels whose usage is below ``below``."""
        return torch.nonzero(self.usage < below).flatten().tolist()


class GateStudy(NamedTuple):
    """Gates of all layers over a data set."""

    layers: Dict[str, LayerGates]
    present: Tensor  # (images, classes) of bool; no class: no annotations
    classes: Sequence[str]


def gate_shares(gates: Tensor) -> Tensor:
    """Gates as shares of their sum of magnitudes, ``(B, K)``.

    Of KernelWarehouse's mixtures, ``(B, mixtures, cells)``, the mean.
    """
    size = gates.abs().float()
    shares = size / size.sum(dim=-1, keepdim=True).clamp_min(1e-30)
    return shares.flatten(1, -2).mean(dim=1) if shares.dim() > 2 else shares


def relative_entropy(gates: Tensor) -> Tensor:
    """Entropy of gates over log K, ``(B, ..., K) -> (B,)``."""
    entropy = gate_entropy(gates) / math.log(gates.shape[-1])
    return entropy.flatten(1).mean(dim=1) if entropy.dim() > 1 else entropy


def study_gates(
    model: nn.Module,
    data: Any,
    number: Optional[int] = None,
    progress: Callable[[Sequence], Iterable] = iter,
) -> GateStudy:
    """Record the gates of all layers over a data set.

    Args:
        model: In evaluation mode.
        data: From :func:`~mmfdconv.analysis.config_data.build_data`.
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
    count = min(number or len(data), len(data))
    recorded: Dict[str, List[Tensor]] = {name: [] for name in names}
    present = torch.zeros(count, len(classes), dtype=torch.bool)
    chosen = torch.linspace(0, len(data) - 1, count).round().long().tolist()
    for row, index in enumerate(progress(chosen)):
        item = data[index]
        with record_gates(model) as gates:
            extract(model, pseudo_collate([item]), names)
        for name in names:
            if name in gates:
                recorded[name].append(gates[name].cpu())
        for label in classes_in(item['data_samples']):
            if label < len(classes):
                present[row, label] = True
    found = {}
    for name, rows in recorded.items():
        if rows:  # a layer that is never reached has none
            every = torch.cat(rows)
            found[name] = LayerGates(
                gate_shares(every), relative_entropy(every)
            )
    return GateStudy(found, present, classes)


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
    if not len(study.classes):
        return []
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
