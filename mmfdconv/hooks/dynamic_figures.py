"""The small pictures of the log hook."""

from typing import Any, Dict, List, TypeVar

import numpy as np
from torch import Tensor

from ..layers.recording import Bands

__all__ = ['draw_bands', 'draw_gates']

_LAYERS = 4
_T = TypeVar('_T')


def draw_gates(gates: Dict[str, Tensor]) -> np.ndarray:
    """How the gates of a few layers are spread over the kernels.

    Args:
        gates: From :func:`mmfdconv.layers.record_gates`.

    Returns:
        RGB picture, uint8.
    """
    chosen = _a_few(gates)
    figure, axes = _figure(len(chosen), 1, 7, 1.6)
    for axis, (name, gate) in zip(axes[:, 0], chosen.items()):
        size = gate.detach().abs().float().flatten(0, -2).cpu()  # (n, K)
        share = (size / size.sum(1, keepdim=True).clamp_min(1e-12)).numpy()
        kernels = np.arange(share.shape[1])
        axis.bar(kernels, share.mean(0), color='#0072b2', width=0.8)
        low, high = np.percentile(share, (10, 90), axis=0)
        axis.vlines(kernels, low, high, color='black', linewidth=1)
        axis.axhline(1 / len(kernels), color='#d55e00', linestyle='--')
        axis.set_title(name, fontsize=9, loc='left')
        axis.set_ylabel('share', fontsize=8)
        axis.set_xlim(-0.6, len(kernels) - 0.4)
        axis.xaxis.get_major_locator().set_params(integer=True)
    axes[-1, 0].set_xlabel(
        'kernel. Bars: mean over the batch, lines: 10th to 90th percentile, '
        'dashed: all equal',
        fontsize=8,
    )
    return _pixels(figure)


def draw_bands(bands: Dict[str, Bands]) -> np.ndarray:
    """Maps of a few FBMs, the highest band first.

    Args:
        bands: From :func:`mmfdconv.layers.record_bands`.

    Returns:
        RGB picture, uint8.
    """
    chosen = _a_few(bands)
    columns = max(found.maps.shape[1] for found in chosen.values())
    figure, axes = _figure(len(chosen), columns, 2.4, 2.2)
    for row, (name, found) in zip(axes, chosen.items()):
        maps = found.maps.float().mean(dim=0).cpu().numpy()
        reach = max(float(np.abs(maps - 1).max()), 1e-6)
        for i, axis in enumerate(row):
            axis.axis('off')
            if i >= len(maps):
                continue
            picture = axis.imshow(
                maps[i], cmap='RdBu_r', vmin=1 - reach, vmax=1 + reach
            )
            energy = float(found.energy[i])
            title = f'band {i}, {100 * energy:.2g} % of energy'
            if i == 0:  # stands above the whole row
                title = f'{name}\n{title}'
            axis.set_title(title, fontsize=8, loc='left')
        figure.colorbar(picture, ax=list(row), label='map', format='%.4g')
    return _pixels(figure)


def _a_few(found: Dict[str, _T]) -> Dict[str, _T]:
    """The first layer, the last, and some between."""
    names: List[str] = list(found)
    places = np.linspace(0, len(names) - 1, min(_LAYERS, len(names)))
    return {names[i]: found[names[i]] for i in places.round().astype(int)}


def _figure(rows: int, columns: int, width: float, height: float) -> Any:
    # Without pyplot: it would keep the figure, and pick a screen.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    size = (width * columns + 0.5, height * rows + 0.4)
    figure = Figure(figsize=size, dpi=100, layout='constrained')
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False)


def _pixels(figure: Any) -> np.ndarray:
    figure.canvas.draw()
    return np.array(figure.canvas.buffer_rgba())[..., :3].copy()
