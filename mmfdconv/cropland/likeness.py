"""Compare a scene with the training data of a model."""

from typing import Any, Iterator, List, Mapping, Optional

import numpy as np

from ..datasets.pixel_size import pixel_size
from .predictor import Predictor
from .scene import Scene

__all__ = ['differences']

STRIPS, ROWS = 8, 16  # of a scene that are looked at, and rows of each
ALIKE = 1.5  # ratio of pixels' sides that models bear
BEYOND = 0.2  # share of values beyond the training's; there it was 0.02


def differences(scene: Scene, predictor: Predictor) -> List[str]:
    """Compare pixel size and values with those in the checkpoint.

    A checkpoint of a training without ``TrainingDataHook`` says nothing of
    them.

    Returns:
        A sentence for each that differs.
    """
    trained: Optional[Mapping[str, Any]] = predictor.training_data
    if not trained:
        return []
    said = []
    own, theirs = pixel_size(scene), trained['pixel_size']
    if own and theirs and not 1 / ALIKE <= own / theirs <= ALIKE:
        said.append(
            f"the scene's pixels are {own:.3g} m wide and those of the "
            f'training data {theirs:.3g} m, so fields have another size than '
            'in the training; resample the scene with gdalwarp -tr'
        )
    values = np.concatenate([*_samples(scene, predictor)])
    low, high = trained['low'], trained['high']
    beyond = np.mean((values < low) | (values > high)) if values.size else 0
    if beyond > BEYOND:
        said.append(
            f"{beyond:.0%} of the scene's values lie outside of {low:.4g} to "
            f'{high:.4g}, the range of 98 % of the training data; if the '
            'units differ, set the values of black and white with '
            '--value-range LOW HIGH'
        )
    return said


def _samples(scene: Scene, predictor: Predictor) -> Iterator[np.ndarray]:
    """Values as the model's pipeline loads them, without gaps."""
    rows = min(ROWS, scene.height)
    for top in np.linspace(0, scene.height - rows, STRIPS).astype(int):
        strip = scene.read(int(top), int(top) + rows)
        yield predictor.load(strip)[:, strip.valid].ravel()
