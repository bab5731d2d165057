"""Open rasters by any name that GDAL knows, and check them."""

import os
import re
from pathlib import Path
from typing import Dict, Iterable, List, Mapping, Optional, Union

import numpy as np
import rasterio
from rasterio.crs import CRS
from rasterio.errors import CRSError, RasterioError
from rasterio.windows import Window

__all__ = [
    'crs_label',
    'find_crs',
    'name_files',
    'name_left_over',
    'open_raster',
    'read_window',
    'result_name',
]

_SHOWN = 5  # of many rasters in one file
_LONGEST = 100  # characters of a result's name


def open_raster(path: Union[str, Path]) -> rasterio.DatasetReader:
    """Open a raster and check that it is complete.

    Args:
        path: A file, or any name that rasterio opens, such as
            ``/vsizip/scenes.zip/2020.tif`` or ``NETCDF:"scene.nc":red``.

    Raises:
        ValueError: The file is missing, truncated, not a raster, or contains
            several rasters.
    """
    try:
        dataset = rasterio.open(path)
    except RasterioError as error:
        raise ValueError(_why_not(str(path), error)) from error
    try:
        if not dataset.count:
            inside = dataset.subdatasets
            more = ['...'] * (len(inside) > _SHOWN)
            raise ValueError(
                f'{path} contains {len(inside)} rasters; give the name of one '
                f'of them: {", ".join(inside[:_SHOWN] + more)}'
            )
        _check_complete(dataset)
    except ValueError:
        dataset.close()
        raise
    return dataset


def _why_not(path: str, error: RasterioError) -> str:
    if os.path.isfile(path):
        return (
            f'{path} cannot be opened: it is no raster that GDAL reads, or '
            f'its beginning is damaged or cut short ({error})'
        )
    if ':' in path or path.startswith('/vsi'):  # one of GDAL's own names
        return f'{path} cannot be opened: {error}'
    return f'{path} is not a file'


def _check_complete(dataset: rasterio.DatasetReader) -> None:
    """Compare where a GeoTIFF's blocks end with where its file ends.

    So a copy that was cut short is noticed before hours of mapping, not when
    the reading gets there. Other formats are noticed only then.
    """
    if dataset.driver != 'GTiff' or not os.path.isfile(dataset.name):
        return
    size = os.path.getsize(dataset.name)
    needed = 0
    # Where pixels are interleaved the bands share their blocks.
    shared = dataset.profile.get('interleave') == 'pixel'
    bands = dataset.indexes[:1] if shared else dataset.indexes
    for band in bands:
        rows, columns = dataset.block_shapes[band - 1]
        for y in range(-(-dataset.height // rows)):
            for x in range(-(-dataset.width // columns)):
                offset, length = (
                    dataset.get_tag_item(f'BLOCK_{what}_{x}_{y}', 'TIFF', band)
                    for what in ('OFFSET', 'SIZE')
                )
                if offset is not None and length is not None:
                    needed = max(needed, int(offset) + int(length))
    if needed > size:
        raise ValueError(
            f'{dataset.name} is cut short: its pixels need {needed} bytes and '
            f'the file has {size}; get the file again'
        )


def read_window(
    dataset: rasterio.DatasetReader, bands, window: Window, masks: bool = False
) -> np.ndarray:
    """Read pixels, or masks; say which rows could not be read.

    Raises:
        ValueError: The file is damaged or cut short there.
    """
    read = dataset.read_masks if masks else dataset.read
    try:
        return read(bands, window=window)
    except RasterioError as error:
        first, last = window.row_off, window.row_off + window.height - 1
        raise ValueError(
            f'{dataset.name}: rows {first} to {last} of {dataset.height} '
            f'cannot be read ({error.__cause__ or error}); the file is '
            'damaged or cut short: get it again'
        ) from error


def find_crs(
    dataset: rasterio.DatasetReader,
    given: Optional[str] = None,
    remedy: str = 'give it one with gdal_edit.py -a_srs EPSG:...',
) -> CRS:
    """Return the given coordinate system or, without one, the raster's.

    Args:
        dataset: An open raster.
        given: Value of ``--crs``.
        remedy: Advice for a raster without a coordinate system.

    Raises:
        ValueError: There is none, or it is not of a place on the Earth.
    """
    crs = dataset.crs
    if given is not None:
        try:
            crs = CRS.from_user_input(given)
        except CRSError as error:
            raise ValueError(
                f'--crs: {given!r} is not a coordinate system that PROJ '
                'knows; give one such as EPSG:32650'
            ) from error
        if not _on_earth(crs):
            raise ValueError(
                f'--crs: {given!r} is neither a geographic nor a projected '
                'coordinate system; give one such as EPSG:32650'
            )
    elif not crs or not _on_earth(crs):
        has = 'no coordinate system'
        if crs:
            has = f'a coordinate system without a place ({crs_label(crs)})'
        hint = ''
        if dataset.gcps[0] or dataset.rpcs is not None:
            hint = (
                '. It has ground control points or RPCs: rectify it first '
                'with gdalwarp'
            )
        raise ValueError(
            f'{dataset.name} has {has}, so its map would have no place and no '
            f'areas; {remedy}{hint}'
        )
    return crs


def _on_earth(crs: CRS) -> bool:
    """Whether it is geographic or projected, not an engineer's own."""
    return crs.is_geographic or crs.is_projected


def crs_label(crs: CRS) -> str:
    """Return a coordinate system's code, or else the name in its WKT."""
    text = crs.to_string()
    name = re.match(r'\w+\["([^"]*)"', text)
    return name[1] if name else text


def name_files(
    prefix: Union[str, Path], **endings: Union[str, bool]
) -> Dict[str, Path]:
    """Return ``<prefix>_<ending>`` by kind, for the endings that there are."""
    prefix = Path(prefix)
    return {
        kind: prefix.with_name(f'{prefix.name}_{ending}')
        for kind, ending in endings.items()
        if ending
    }


def name_left_over(
    written: Iterable[Path], possible: Iterable[Mapping[str, Path]]
) -> List[str]:
    """Say which files beside new ones are still those of an earlier run.

    Args:
        written: The new files.
        possible: Files that other options write, by kind.
    """
    older = {path for files in possible for path in files.values()}
    return [
        f'warning: {path} is of an earlier run, and not of this map'
        for path in sorted(older.difference(written))
        if path.exists()
    ]


def result_name(path: str) -> str:
    """Make a file name without suffix for what is made of a raster.

    Of a file it is the file's own. Of GDAL's other names it is what they
    say of file and raster, without what a file name should not hold:
    ``NETCDF:"data/scene.nc":red`` gives ``scene_red``.
    """
    if os.path.isfile(path):
        return Path(path).stem
    text = path.rpartition('?')[0] or path  # the query of an address
    parts = [text]
    if '://' not in text.partition('"')[0] and not text.startswith('/vsi'):
        parts = text.split(':')[len(text.split(':')) > 1 :]  # but the driver
    stems = [Path(part.strip('"/').rpartition('!')[2]).stem for part in parts]
    name = re.sub(r'[^\w.-]+', '_', '_'.join(filter(None, stems)))
    return name.strip('._-')[:_LONGEST] or 'scene'
