"""Predict the gates of dynamic layers once for a scene.

A dynamic layer predicts its gates from a descriptor of its input. If each
window of a scene had its own gates, the edges of windows would be visible in
the map. So the descriptors of windows all over the scene are averaged, and
all windows get the gates of the mean. The maps of FDConv's FBM, and the
convolutions, still depend on each window.
"""

from contextlib import contextmanager
from typing import Callable, Dict, Iterator

from torch import Tensor, nn

from ..layers import fixed_gates, record_descriptors
from ..layers.descriptors import Descriptor
from .predictor import Predictor
from .scene import Rows, Scene
from .windows import WindowPlan

__all__ = ['GATES', 'SAMPLE', 'has_gates', 'scene_gates']

#: What gates are predicted from.
GATES = ('window', 'scene')
#: About how many windows a mean is taken of.
SAMPLE = 64
_GOLDEN = (5**0.5 - 1) / 2


def has_gates(model: nn.Module) -> bool:
    """Whether a model has gates that follow its input."""
    return any(isinstance(part, Descriptor) for part in model.modules())


@contextmanager
def scene_gates(
    scene: Scene,
    predictor: Predictor,
    down: WindowPlan,
    across: WindowPlan,
    progress: Callable[[int], object] = lambda windows: None,
) -> Iterator[None]:
    """Let a dynamic model have the same gates all over a scene.

    The scene is read row of windows by row of windows, and the model sees
    about :data:`SAMPLE` of the windows, or all where there are fewer. They are
    windows as the map has them, since at another resolution or size
    descriptors would be others. Those without any data do not count; where
    they are more than half, the scene is read a second time.

    Args:
        scene: The open scene.
        predictor: The model.
        down: Windows down the scene.
        across: Windows across it.
        progress: Called with 1 after each window that the model has seen.
    """
    means = _mean_descriptors(scene, predictor, down, across, progress)
    if not means:  # no data, and so no windows to predict
        yield
        return
    with fixed_gates(predictor.model, means):
        yield


def _mean_descriptors(
    scene, predictor, down, across, progress
) -> Dict[str, Tensor]:
    seen, share = 0.0, SAMPLE / (len(down.starts) * len(across.starts))
    with record_descriptors(predictor.model) as means:
        while True:
            count = 0
            for window in _windows(scene, down, across):
                # Multiples of the golden section spread evenly, and in no
                # step that a row of windows could have, too.
                if seen <= count * _GOLDEN % 1 < share:
                    predictor([window])
                    progress(1)
                count += 1
            seen, share = share, SAMPLE / max(count, SAMPLE)
            if share < 2 * seen:
                return means
            # Most windows are empty, and few of the others were seen.


def _windows(
    scene: Scene, down: WindowPlan, across: WindowPlan
) -> Iterator[Rows]:
    """Windows with data, row by row."""
    for span in down.spans():
        rows = scene.read(*span)
        for columns in across.spans():
            window = rows.part(slice(None), slice(*columns))
            if window.valid.any():
                yield window
