"""Find the dynamic layers of a trained model that are worth their cost."""

from contextlib import contextmanager
from typing import (
    Any,
    Callable,
    Dict,
    Iterable,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
)

import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from torch import nn

from ..analysis.cost.model_cost import compare
from ..analysis.figures.data import build_data, spread_evenly
from ..analysis.figures.gates import gate_movements
from ..analysis.figures.subject import dynamic_layers, extract
from ..engine.scoring import Validation
from .folding import averaged_layers, replace_layers_

__all__ = ['Audit', 'AuditedLayer', 'audit']

#: A kernel's share that varies by less than a hundredth of a uniform share
#: stands still.
_STILL = 0.01


class AuditedLayer(NamedTuple):
    """What one layer brings and costs.

    Attributes:
        name: Of the layer.
        kind: Its class.
        moves: How far its gates move between images, see
            :attr:`~mmfdconv.analysis.figures.gates.LayerGates.moves`; None
            where it has none over kernels.
        lost: What the model's score falls by when this layer alone is
            folded, its gates frozen at their mean; None where it cannot be.
        params: Parameters beyond the stock layer's; of cells that several
            layers share, none.
        flops: Multiply-adds of one image beyond the stock layer's.
        advice: ``'keep'``, ``'freeze'`` or ``'leave static'``, and why.
    """

    name: str
    kind: str
    moves: Optional[float]
    lost: Optional[float]
    params: int
    flops: int
    advice: str

    @property
    def folds(self) -> bool:
        """Whether the advice is to fold it."""
        return not self.advice.startswith('keep')


class Audit(NamedTuple):
    """Of a whole model.

    Attributes:
        metric: The score's name.
        score: Of the dynamic model.
        folded: With all layers folded whose advice says so.
        layers: One for every dynamic layer.
        shape: ``(H, W)`` of the image that FLOPs are of.
    """

    metric: str
    score: float
    folded: float
    layers: List[AuditedLayer]
    shape: Sequence[int]


def audit(
    cfg: Config,
    model: nn.Module,
    metric: Optional[str] = None,
    images: int = 32,
    tolerance: float = 0.005,
    progress: Callable[[Sequence], Iterable] = iter,
) -> Audit:
    """Fold every dynamic layer alone, and see what the score says.

    Gates are averaged over training images; their movement is that over
    validation images, which also give the score. In a folded layer FDConv's
    FBM is one factor for each channel, so what its maps bring beyond that is
    part of what the layer loses.

    Args:
        cfg: An experiment; its default scope must be set.
        model: Its model, trained, in evaluation mode.
        metric: The score to go by, higher is better. None: the usual one.
        images: So many of each data set, spread evenly, for the gates.
        tolerance: The share of the score that a fold may lose.
        progress: Wraps the names of the layers, such as ``tqdm``.

    Raises:
        ValueError: The model has no dynamic layer, the config no data or no
            such metric, or a number is out of range.
    """
    if images < 2:
        raise ValueError(f'images: must be at least 2, got {images}')
    if not 0 <= tolerance < 1:
        raise ValueError(f'tolerance: must be in [0, 1), got {tolerance:g}')
    layers = dynamic_layers(model)
    batches = _batches(build_data(cfg, 'train'), images)
    seen = build_data(cfg, 'val')
    validate = Validation(cfg)
    before = validate(model)
    metric = validate.pick(before, metric)
    moves = gate_movements(model, seen, images)
    stock = averaged_layers(
        model, batches, lambda batch: extract(model, batch, list(layers))
    )
    dynamic, static = compare(cfg)
    own = [count.count.by(_owner(layers)) for count in (dynamic, static)]
    lost: Dict[str, Optional[float]] = dict.fromkeys(layers)
    for name in progress(list(layers)):
        if isinstance(stock[name], nn.Module):
            with _replaced(model, {name: stock[name]}):
                lost[name] = before[metric] - validate(model)[metric]
    allowed = tolerance * abs(before[metric])
    audited = [
        AuditedLayer(
            name,
            type(layer).__name__,
            moves.get(name),
            lost[name],
            _added_parameters(layer),
            own[0].get(name, 0) - own[1].get(name, 0),
            _advice(moves.get(name), lost[name], stock[name], allowed),
        )
        for name, layer in layers.items()
    ]
    chosen = {one.name: stock[one.name] for one in audited if one.folds}
    with _replaced(model, chosen):
        folded = validate(model)[metric]
    return Audit(metric, before[metric], folded, audited, dynamic.shape)


def _batches(data: Any, number: int) -> List[Dict[str, Any]]:
    """Images of a data set, spread evenly, a batch each."""
    chosen = spread_evenly(data, number)
    return [pseudo_collate([data[index]]) for index in chosen]


def _owner(layers: Mapping[str, Any]) -> Callable[[str, str, str], str]:
    """From a counted operation's place to the layer that it is part of."""

    def owner(name: str, part: str, op: str) -> str:
        while name and name not in layers:
            name = name.rpartition('.')[0]
        return name

    return owner


def _added_parameters(layer: nn.Module) -> int:
    own = sum(p.numel() for p in layer.parameters())
    shape, bias = layer.weight_shape, layer.bias is not None
    return own - torch.Size(shape).numel() - bias * layer.out_channels


def _advice(
    moves: Optional[float], lost: Optional[float], stock: Any, allowed: float
) -> str:
    if lost is None:
        return f'keep: {stock}'
    if not lost <= allowed:  # NaN too: nothing is left to score
        return 'keep'
    if moves is not None and moves < _STILL:
        return 'leave static'
    return 'freeze'


@contextmanager
def _replaced(model: nn.Module, new: Mapping[str, nn.Module]) -> Iterator:
    """Put other layers in for a while."""
    old = {name: model.get_submodule(name) for name in new}
    try:
        replace_layers_(model, new)
        yield
    finally:
        replace_layers_(model, old)
