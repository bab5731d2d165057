"""A satellite scene: bands picked by name, nodata, georeference, its rows."""

import os
from pathlib import Path
from typing import List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np
import rasterio
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import CRSError, RasterioError
from rasterio.windows import Window

__all__ = [
    'Rows',
    'Scene',
    'check_complete',
    'check_scene',
    'open_raster',
    'read_window',
]


class Rows(NamedTuple):
    """Some rows of a scene.

    Attributes:
        values: float32, shape (C, rows, W), NaN where there is no data.
        valid: bool, shape (rows, W).
    """

    values: np.ndarray
    valid: np.ndarray


def open_raster(path: Union[str, Path]) -> rasterio.DatasetReader:
    """Open a raster and make sure that all of it is there.

    Raises:
        ValueError: It is missing, no raster, or cut short.
    """
    if '://' not in str(path) and not Path(path).is_file():
        raise ValueError(f'{path} is not a file')
    try:
        dataset = rasterio.open(path)
    except RasterioError as error:
        raise ValueError(
            f'{path} cannot be opened: it is no raster that GDAL reads, or '
            f'its beginning is damaged or cut short ({error})'
        ) from error
    try:
        check_complete(dataset)
    except ValueError:
        dataset.close()
        raise
    return dataset


def check_complete(dataset: rasterio.DatasetReader) -> None:
    """Compare where a GeoTIFF's blocks end with where its file ends.

    So a copy that was cut short is noticed before hours of mapping, not when
    the reading gets there. Other formats are noticed only then.

    Raises:
        ValueError: A block lies beyond the end of the file.
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


class Scene:
    """A scene opened for mapping.

    Args:
        path: Any raster that GDAL reads.
        channels: How many bands the model takes.
        bands: Names (of the bands' descriptions or colours) or positions
            from 1. ``None`` takes those of the names in ``expected`` if the
            file has them all, else the first ones.
        nodata: Value of pixels without data, where the file does not say.
        crs: Coordinate system, where the file does not say.
        expected: What the model's bands are called.

    Raises:
        ValueError: The scene is missing, cut short, without coordinate
            system or transform, or lacks bands.
    """

    def __init__(
        self,
        path: Union[str, Path],
        channels: int,
        bands: Optional[Sequence[str]] = None,
        nodata: Optional[float] = None,
        crs: Optional[str] = None,
        expected: Sequence[str] = (),
    ) -> None:
        self._dataset = open_raster(path)
        try:
            self.crs = _crs(self._dataset, crs)
            self.bands = _pick(self._dataset, channels, bands, expected)
        except ValueError:
            self.close()
            raise
        self.path = str(path)
        self.transform = self._dataset.transform
        self.height, self.width = self._dataset.shape
        self.band_names = [_name(self._dataset, b) for b in self.bands]
        self.dtype = np.dtype(self._dataset.dtypes[self.bands[0] - 1])
        self.nodata = nodata
        if nodata is None:
            self.nodata = self._dataset.nodatavals[self.bands[0] - 1]
        self._mask_bands = self._bands_with_mask()

    def _bands_with_mask(self) -> List[int]:
        """Bands whose mask says what nodata values do not."""
        flags = self._dataset.mask_flag_enums
        colours = self._dataset.colorinterp
        # rasterio and GDAL call the fourth of four 8-bit bands alpha unless
        # told otherwise. One that the model takes is near infrared.
        if self.nodata is not None or any(
            colours[band - 1] == ColorInterp.alpha for band in self.bands
        ):
            return []
        return [
            band
            for band in self.bands
            if MaskFlags.all_valid not in flags[band - 1]
        ]

    def read(self, start: int, stop: int) -> Rows:
        """Read the rows from ``start`` up to ``stop``, exclusive.

        A pixel is without data where every band is. A single band without
        data is NaN, except where nodata is 0, a value that one band may
        well have measured.
        """
        window = Window(0, start, self.width, stop - start)
        raw = read_window(self._dataset, self.bands, window)
        values = raw.astype(np.float32)
        valid = np.isfinite(values).any(0)
        if self.nodata is not None and not np.isnan(self.nodata):
            absent = raw == self.nodata  # (C, rows, W)
            valid &= ~absent.all(0)
            if self.nodata != 0:
                values[absent] = np.nan
        if self._mask_bands:
            masks = read_window(self._dataset, self._mask_bands, window, True)
            valid &= masks.any(0)
        values[:, ~valid] = np.nan
        return Rows(values, valid)

    def close(self) -> None:
        """Close the file."""
        self._dataset.close()

    def __enter__(self) -> 'Scene':
        return self

    def __exit__(self, *error) -> None:
        self.close()


def check_scene(
    path: Union[str, Path],
    bands: Optional[Sequence[str]] = None,
    crs: Optional[str] = None,
) -> None:
    """Find what is wrong with a scene without knowing the model.

    How many bands a model takes is not known here; those asked for are
    looked up.

    Raises:
        ValueError: As :class:`Scene` does.
    """
    channels = 1 if bands is None else len(bands)
    Scene(path, channels, bands=bands, crs=crs).close()


def _crs(dataset: rasterio.DatasetReader, given: Optional[str]) -> CRS:
    crs = dataset.crs
    if not crs and given is None:
        hint = ''
        if dataset.gcps[0] or dataset.rpcs is not None:
            hint = (
                '. It has ground control points or RPCs: rectify it first '
                'with gdalwarp'
            )
        raise ValueError(
            f'{dataset.name} has no coordinate system, so nothing on its map '
            'could be found or measured; say which it is with --crs, as in '
            f'--crs EPSG:32650{hint}'
        )
    if not crs:
        try:
            crs = CRS.from_user_input(given)
        except CRSError as error:
            raise ValueError(
                f'--crs: {given!r} is no coordinate system that PROJ knows; '
                'give one such as EPSG:32650'
            ) from error
    if dataset.transform.is_identity:
        raise ValueError(
            f'{dataset.name} does not say where its pixels lie or how large '
            'they are; give it corners with gdal_edit.py -a_ullr LEFT TOP '
            'RIGHT BOTTOM, or rectify it with gdalwarp'
        )
    return crs


def _name(dataset: rasterio.DatasetReader, band: int) -> str:
    """The band's description, else its colour, else ''."""
    description = dataset.descriptions[band - 1]
    colour = dataset.colorinterp[band - 1].name
    known = colour not in ('undefined', 'gray')
    return description or (colour if known else '')


def _pick(
    dataset: rasterio.DatasetReader,
    channels: int,
    wanted: Optional[Sequence[str]],
    expected: Sequence[str],
) -> Tuple[int, ...]:
    names = [_name(dataset, band) for band in dataset.indexes]
    known = [name.lower() for name in names]
    if wanted is None and len(expected) == channels:
        if all(known.count(name.lower()) == 1 for name in expected):
            wanted = expected
    has = ', '.join(
        f'{band} ({name})' if name else str(band)
        for band, name in zip(dataset.indexes, names)
    )
    has = f'the bands of {dataset.name} are {has}'
    if wanted is None:
        if dataset.count < channels:
            raise ValueError(f'the model takes {channels} bands; {has}')
        picked = dataset.indexes[:channels]
    else:
        if len(wanted) != channels:
            raise ValueError(
                f'--bands: the model takes {channels} bands, not '
                f'{len(wanted)} ({" ".join(wanted)}); {has}'
            )
        picked = [_find(str(want), names, has) for want in wanted]
    for band in picked:
        if np.dtype(dataset.dtypes[band - 1]).kind not in 'uif':
            raise ValueError(
                f'{dataset.name}: band {band} holds '
                f'{dataset.dtypes[band - 1]}, not plain numbers'
            )
    return tuple(picked)


def _find(want: str, names: Sequence[str], has: str) -> int:
    if want.isdigit():
        if 1 <= int(want) <= len(names):
            return int(want)
        raise ValueError(f'--bands: there is no band {want}; {has}')
    found = [i for i, n in enumerate(names, 1) if n.lower() == want.lower()]
    if len(found) != 1:
        problem = 'more than one band is' if found else 'no band is'
        raise ValueError(
            f'--bands: {problem} called {want!r}; {has}; give positions where '
            'names do not serve, as in --bands 3 2 1'
        )
    return found[0]
