"""Reading scenes and writing tiles: the files themselves.

Every error names its file. A file is written beside its place and renamed
into it, so that no name ever leads to half a file.
"""

import os
import tempfile
import warnings
from pathlib import Path
from typing import Any, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from .geotiff import open_image


class ImageHeader(NamedTuple):
    """What the header of an image says."""

    height: int
    width: int
    bands: int
    dtype: str


def read_header(path: Path) -> ImageHeader:
    """Read the header of an image."""
    with open_image(path) as file:
        return ImageHeader(file.height, file.width, file.count, file.dtypes[0])


def palette_of(file: Any) -> Optional[np.ndarray]:
    """Return the colours (N, 3) of an open image's values, if it has any."""
    if file.colorinterp[0].name != 'palette':
        return None
    values = np.iinfo(file.dtypes[0]).max + 1
    colours = np.full((values, 3), 255, np.uint8)
    for value, colour in file.colormap(1).items():
        colours[value] = colour[:3]
    return colours


def encode_png(image: np.ndarray) -> bytes:
    """Encode (h, w) ids, or (h, w, 3) in OpenCV's order, blue first."""
    import cv2

    ok, data = cv2.imencode('.png', np.ascontiguousarray(image))
    if not ok:
        raise RuntimeError('OpenCV could not encode a tile as PNG')
    return data.tobytes()


def encode_tif(
    tile: np.ndarray,
    names: Sequence[Optional[str]],
    colours: Sequence[Any],
    offset: Tuple[int, int],
    transform: Any,
    **profile: Any,
) -> bytes:
    """Encode (bands, h, w) as GeoTIFF.

    Args:
        tile: The values.
        names: Name of each band.
        colours: What rasterio's ``colorinterp`` of the scene says.
        offset: Column and row of the tile in its scene.
        transform: Georeference of the scene.
        **profile: Other items of rasterio's profile.
    """
    from rasterio import windows
    from rasterio.io import MemoryFile

    bands, height, width = tile.shape
    if not transform.is_identity:
        window = windows.Window(*offset, width, height)
        profile['transform'] = windows.transform(window, transform)
    with MemoryFile() as memory, warnings.catch_warnings():
        warnings.simplefilter('ignore')  # a scene without georeference
        with memory.open(
            driver='GTiff',
            count=bands,
            height=height,
            width=width,
            dtype=tile.dtype,
            compress='deflate',
            # Or three and four 8-bit bands would be given colours.
            photometric='minisblack',
            **profile,
        ) as file:
            file.write(tile)
            file.descriptions = tuple(names)
            if not any(names):
                file.colorinterp = colours
        return memory.read()


def write_whole(path: Path, data: bytes) -> None:
    """Write a file that is there whole, or not at all.

    Raises:
        OSError: With ``errno`` and ``filename``.
    """
    try:
        # A folder of its own: no other process, on this machine or another,
        # writes or deletes there.
        with tempfile.TemporaryDirectory(
            prefix=f'.{path.name}.', suffix='.partial', dir=path.parent
        ) as folder:
            unfinished = Path(folder, path.name)
            unfinished.write_bytes(data)
            os.replace(unfinished, path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
