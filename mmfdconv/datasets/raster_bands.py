"""What a raster file says of its bands.

Loading for training and mapping of scenes ask here, so that both find the
same band under the same name.
"""

from typing import Any, List, Optional, Sequence, Union

#: A band by its name, or by its number from 1, as rasterio and GDAL count.
Band = Union[int, str]

#: What a band is called that tells where the others hold data.
ALPHA = 'alpha'

# Colours that do not tell bands apart.
_NO_NAMES = ('undefined', 'gray', 'palette')
_COLOURS = ('red', 'green', 'blue')


def band_names(file: Any) -> List[str]:
    """Name each band of an open raster.

    Returns:
        The bands' descriptions, ``''`` where there is none. Where no band has
        one, their colours, which writers make up: that of three or four
        8-bit bands is red, green, blue and alpha unless they are told
        otherwise. An alpha that is not described is called so in any case.
    """
    colours = [colour.name for colour in file.colorinterp]
    if not any(file.descriptions):
        return ['' if c in _NO_NAMES else c for c in colours]
    return [
        description or (ALPHA if colour == ALPHA else '')
        for description, colour in zip(file.descriptions, colours)
    ]


def find_band(band: Band, names: Sequence[str]) -> int:
    """Return the number of a band; of a name the case does not matter.

    Raises:
        ValueError: There is no such band, or more than one has the name.
    """
    if not isinstance(band, str):
        if not 1 <= band <= len(names):
            raise ValueError(f'there is no band {band}')
        return int(band)
    found = [i for i, n in enumerate(names, 1) if n.lower() == band.lower()]
    if len(found) != 1:
        problem = 'more than one band is' if found else 'no band is'
        raise ValueError(f'{problem} called {band!r}')
    return found[0]


def shown_bands(
    names: Sequence[str], bands: Optional[Sequence[Band]] = None
) -> List[Band]:
    """Return which three bands are red, green and blue in a picture.

    Args:
        names: Names of all bands.
        bands: Those to choose from where no names tell; ``None`` takes all.

    Returns:
        The bands of these colours, else the first three, or the first one
        alone.
    """
    known = [name.lower() for name in names]
    if all(known.count(colour) == 1 for colour in _COLOURS):
        return [known.index(colour) + 1 for colour in _COLOURS]
    every = list(bands or range(1, len(names) + 1))
    return every[:3] if len(every) > 2 else every[:1] * 3


def list_bands(names: Sequence[str]) -> str:
    """Say what bands there are, as in ``1 (red), 2, 3 (nir)``."""
    return ', '.join(
        f'{band} ({name})' if name else str(band)
        for band, name in enumerate(names, 1)
    )
