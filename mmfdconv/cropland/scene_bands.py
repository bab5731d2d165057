"""Select the bands of a scene on which a model was trained."""

from typing import NamedTuple, Optional, Sequence, Tuple

import numpy as np
import rasterio
from rasterio.windows import Window

from ..datasets.raster_bands import (
    ALPHA,
    Band,
    band_names,
    find_band,
    list_bands,
)
from .files import read_window

__all__ = ['SceneBands', 'read_bands']

# Places along either side of a scene, and pixels of the square there, at
# which an alpha band is looked at.
_PLACES, _SQUARE = 3, 64
# More values than masks have, with softened edges or translucent.
_MASK_VALUES = 16


class SceneBands(NamedTuple):
    """What a scene says of its bands.

    Attributes:
        path: The scene.
        names: Name of each band, ``''`` where it has none.
        alpha: Number of the band that tells where the others hold data.
    """

    path: str
    names: Tuple[str, ...]
    alpha: Optional[int]

    def __str__(self) -> str:
        return f'the bands of {self.path} are {list_bands(self.names)}'

    def pick(
        self,
        channels: int,
        wanted: Optional[Sequence[str]] = None,
        trained: Sequence[Band] = (),
    ) -> Tuple[int, ...]:
        """Choose what the model sees.

        Args:
            channels: How many bands the model takes.
            wanted: Names, or positions from 1, that the user asks for.
            trained: Without ``wanted``, what the training read of its files:
                names or positions; nothing stands for all of a file, in
                its order.

        Returns:
            Numbers of bands from 1, in the model's order.

        Raises:
            ValueError: The scene lacks a band, or does not say which it is.
        """
        if wanted is None:
            return self._pick_as_trained(channels, trained)
        if len(wanted) != channels:
            raise ValueError(
                f'--bands: the model takes {channels} bands, not '
                f'{len(wanted)} ({" ".join(wanted)}); {self}'
            )
        return self.find(wanted)

    def find(self, wanted: Sequence[str]) -> Tuple[int, ...]:
        """Look up names, and positions from 1, of ``--bands``.

        Raises:
            ValueError: There is no such band.
        """
        bands = [int(w) if w.isdigit() else w for w in map(str, wanted)]
        try:
            return tuple(find_band(band, self.names) for band in bands)
        except ValueError as error:
            raise ValueError(
                f'--bands: {error}; {self}; positions work, too, such as '
                '--bands 3 2 1'
            ) from None

    def _pick_as_trained(
        self, channels: int, trained: Sequence[Band]
    ) -> Tuple[int, ...]:
        """Pick by what was trained on, or say what is wrong and what to do."""
        held = [n for n, _ in enumerate(self.names, 1) if n != self.alpha]
        if len(held) == channels and not trained:
            return tuple(held)
        listed = ', '.join(map(str, trained))
        problem = f'the model takes {channels} bands'
        if len(held) < channels:
            pass  # whichever they are
        elif not trained:
            problem += ', but neither its config nor the scene says which ones'
        elif len(trained) != channels:
            problem += f', but its pipeline loads {len(trained)} ({listed})'
        else:
            try:
                if self.alpha in trained:
                    raise ValueError(f'band {self.alpha} is no measurement')
                return tuple(find_band(band, self.names) for band in trained)
            except ValueError as error:
                problem = f'the model was trained on {listed}; here {error}'
        remedy = ''
        if len(self.names) >= channels:
            example = ' '.join(map(str, range(1, channels + 1)))
            remedy = (
                "; choose them with --bands, in the model's order, by name or "
                f'position, such as --bands {example}'
            )
            if self.alpha is not None:
                remedy += (
                    f'. Band {self.alpha} is an alpha band, which says where '
                    'the others have data; it is used only if you name it'
                )
        raise ValueError(f'{problem}; {self}{remedy}')


def read_bands(dataset: rasterio.DatasetReader) -> SceneBands:
    """Ask a scene what its bands are.

    GDAL, and so rasterio, and tifffile, write four 8-bit bands as red, green,
    blue and alpha unless told otherwise, blue, green, red and near infrared
    as well. There the "alpha" varies as no mask does; then nothing of what
    the colours say is believed, and the bands have no names.
    """
    names = band_names(dataset)
    alpha = [n for n in dataset.indexes if names[n - 1].lower() == ALPHA]
    if any(_measured(dataset, n) for n in alpha):
        names = [description or '' for description in dataset.descriptions]
        alpha = []
    return SceneBands(dataset.name, tuple(names), alpha[0] if alpha else None)


def _measured(dataset: rasterio.DatasetReader, band: int) -> bool:
    """Whether a band's values are rather a measurement than a mask."""
    parts = []
    for y in range(_PLACES):
        for x in range(_PLACES):
            row, column = (
                int(length * (2 * place + 1) / (2 * _PLACES))
                for length, place in zip(dataset.shape, (y, x))
            )
            window = Window(
                max(0, column - _SQUARE // 2),
                max(0, row - _SQUARE // 2),
                _SQUARE,
                _SQUARE,
            ).intersection(Window(0, 0, dataset.width, dataset.height))
            parts.append(read_window(dataset, band, window).ravel())
    values = np.concatenate(parts)
    values = values[values != 0]  # transparent, or without data
    if not values.size:
        return False
    distinct, counts = np.unique(values, return_counts=True)
    commonest = counts.max() / values.size  # of a mask it is the opaque value
    return len(distinct) > _MASK_VALUES and commonest < 0.5
