"""Class maps as GeoTIFF, with the names and colours of the classes."""

import json
import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Dict, Iterator, Optional, Sequence, Tuple, Union
from xml.etree.ElementTree import Element, ElementTree, SubElement

import numpy as np
import rasterio
from rasterio.errors import RasterioError
from rasterio.shutil import copy
from rasterio.windows import Window

from .files import find_crs, open_raster, read_window
from .legend import number_classes

__all__ = ['NODATA', 'MapReader', 'RowWriter', 'environment', 'spans']

NODATA = 255
CLASSES_TAG = 'CLASSES'
PIXELS = 1 << 22  # of a map, read at once
_SHOWN = 10  # of the many values that an error may name
# GDAL's cache of blocks, in MB: by default it may grow to 5 % of the memory.
CACHE = 128


def environment() -> rasterio.Env:
    """Return GDAL's settings for work on rasters of any size."""
    return rasterio.Env(GDAL_CACHEMAX=CACHE)


def _threads() -> str:
    """Return how many threads compress: all, unless GDAL's variable is set.

    As an option, a number would win over the variable.
    """
    return os.environ.get('GDAL_NUM_THREADS', 'all_cpus')


class RowWriter(AbstractContextManager):
    """Writer of an 8-bit cloud-optimised GeoTIFF, from top to bottom.

    It has overviews, of the most frequent class or the mean, once it is
    closed. A map's names lie where GDAL looks for them, in
    ``<path>.aux.xml``, with their colours where QGIS does, in a ``.qml`` of
    the map's name, and in a tag, which no copy of the file alone loses.

    Args:
        path: File to write.
        grid: Has crs, transform, width and height.
        names: Names of a map's values, or of several bands.
        palette: Colours of the values; makes it a map of one band.
        tags: Other tags to write into the file, by name.
    """

    def __init__(
        self,
        path: str,
        grid: Any,
        names: Sequence[str],
        palette: Optional[Sequence[Sequence[int]]] = None,
        tags: Optional[Dict[str, str]] = None,
    ) -> None:
        self._path, self._names = path, [*names]
        self._palette = palette
        self._rows = f'{path}.rows'  # a COG is made of a whole raster
        self._file = rasterio.open(
            self._rows,
            'w',
            driver='GTiff',
            width=grid.width,
            height=grid.height,
            count=1 if palette is not None else len(names),
            dtype='uint8',
            crs=grid.crs,
            transform=grid.transform,
            nodata=NODATA,
            tiled=True,
            blockxsize=256,
            blockysize=256,
            compress='deflate',
            zlevel=1,  # of little use beyond, and the model waits
            num_threads=_threads(),
            interleave='band',
            photometric='minisblack' if palette is None else 'palette',
            bigtiff='if_safer',
        )
        self._file.update_tags(**(tags or {}))
        if palette is not None:
            colours = {i: (*c, 255) for i, c in enumerate(palette)}
            self._file.write_colormap(1, {**colours, NODATA: (0, 0, 0, 0)})
            self._file.update_tags(**{CLASSES_TAG: json.dumps([*names])})
        else:
            self._file.descriptions = tuple(names)
            self._file.units = ('percent',) * len(names)

    def tag(self, **tags: str) -> None:
        """Write other tags into the file, by name."""
        self._file.update_tags(**tags)

    def write(self, top: int, values: np.ndarray) -> None:
        """Write rows from ``top`` on; values are (rows, W) or (K, rows, W)."""
        values = values if values.ndim == 3 else values[None]
        _, rows, width = values.shape
        self._file.write(values, window=Window(0, top, width, rows))

    def close(self) -> None:
        """Finish the file and make sure that all of it was written.

        Raises:
            OSError: The file is incomplete, for example on a full disk, which
                GDAL does not report when it closes a file.
        """
        self._file.close()
        overviews = 'average' if self._palette is None else 'mode'
        try:
            open_raster(self._rows).close()
            copy(
                self._rows,
                self._path,
                driver='COG',
                blocksize=512,
                compress='deflate',
                level=1,
                num_threads=_threads(),
                overview_resampling=overviews,
                bigtiff='if_safer',
            )
            open_raster(self._path).close()
        except (ValueError, RasterioError) as error:
            raise OSError(f'the map was not written whole: {error}') from error
        finally:
            Path(self._rows).unlink(missing_ok=True)
        if self._palette is not None:
            _write_categories(self._path, self._names)
            _write_style(self._path, self._names, self._palette)

    def __exit__(self, kind, error, traceback) -> None:
        if kind is None:
            self.close()
        else:
            self._file.close()
            Path(self._rows).unlink(missing_ok=True)


def _write_categories(path: str, names: Sequence[str]) -> None:
    """Name the values for GDAL, which reads them from beside the file."""
    root = Element('PAMDataset')
    band = SubElement(root, 'PAMRasterBand', band='1')
    categories = SubElement(band, 'CategoryNames')
    for name in names:
        SubElement(categories, 'Category').text = name
    ElementTree(root).write(
        f'{path}.aux.xml', encoding='utf-8', xml_declaration=True
    )


def _write_style(
    path: str, names: Sequence[str], palette: Sequence[Sequence[int]]
) -> None:
    """Name and colour the values for QGIS.

    It does not show GDAL's names, and of a TIFF's colours it shows all 256.
    """
    root = Element('qgis')
    pipe = SubElement(root, 'pipe')
    shown = dict(type='paletted', band='1', opacity='1', alphaBand='-1')
    renderer = SubElement(pipe, 'rasterrenderer', shown)
    entries = SubElement(renderer, 'colorPalette')
    for value, (name, colour) in enumerate(zip(names, palette)):
        hexadecimal = '#{:02x}{:02x}{:02x}'.format(*colour)
        entry = dict(value=str(value), color=hexadecimal, alpha='255')
        SubElement(entries, 'paletteEntry', entry, label=name)
    ElementTree(root).write(Path(path).with_suffix('.qml'), encoding='utf-8')


def spans(height: int, rows: int) -> Iterator[Tuple[int, int]]:
    """Yield the first row of each piece of some rows, and that behind it."""
    for top in range(0, height, rows):
        yield top, min(top + rows, height)


class MapReader(AbstractContextManager):
    """A class map, made by this package or by others.

    Args:
        path: Raster with one band of integers.
        classes: Class name by value, if the file has none.
        override: Class name by value, in place of those in the file.

    Raises:
        ValueError: The file is not such a raster, or has no coordinate
            system, no class names or too many classes, or a class is declared
            to be without data.

    Attributes:
        classes: Class name by value.
        names: Names of the K classes. Values of one name, in
            upper or lower case, are one class.
        nodata: Value of pixels without data: as declared, else 255 or, where
            that is a class or too large, one that is no class.
    """

    def __init__(
        self,
        path: Union[str, Path],
        classes: Optional[Dict[int, str]] = None,
        override: Optional[Dict[int, str]] = None,
    ) -> None:
        self.path = str(path)
        self.dataset = open_raster(path)
        try:
            self._check()
            carried = json.loads(self.dataset.tags().get(CLASSES_TAG, '[]'))
            self.classes = (
                override or dict(enumerate(carried)) or classes or {}
            )
            if not self.classes:
                raise ValueError(
                    f'{path} does not carry the names of its classes; give '
                    'them with --classes, by their values, as in 10=trees '
                    '40=cropland, or in the order of their values from 0'
                )
            self.names, self._numbers = number_classes(self.classes)
            if len(self.names) >= NODATA:
                raise ValueError(
                    f'{path}: {len(self.names)} classes are too many; a map '
                    f'may have {NODATA - 1}'
                )
            self.nodata = self._nodata()
        except ValueError:
            self.close()
            raise
        self.crs, self.transform = self.dataset.crs, self.dataset.transform
        self.height, self.width = self.dataset.shape

    def _check(self) -> None:
        dataset = self.dataset
        kind = np.dtype(dataset.dtypes[0])
        if dataset.count != 1 or kind.kind not in 'ui':
            raise ValueError(
                f'{dataset.name} is no map of classes: it has {dataset.count} '
                f'bands of {kind}. For two scenes name the model that maps '
                'them: --model CONFIG CHECKPOINT'
            )
        find_crs(dataset)
        if dataset.transform.is_degenerate:
            raise ValueError(
                f'{dataset.name} does not say how large its pixels are; give '
                'it corners with gdal_edit.py -a_ullr LEFT TOP RIGHT BOTTOM'
            )

    def _nodata(self) -> int:
        declared = self.dataset.nodata
        limits = np.iinfo(self.dataset.dtypes[0])
        if declared is not None and limits.min <= declared <= limits.max:
            if declared in self.classes:  # its pixels would be left out
                raise ValueError(
                    f'{self.path}: the value {declared:g} is declared to be '
                    f'without data, and is the class '
                    f'{self.classes[declared]!r}. If it is a class, say so '
                    'with gdal_edit.py -unsetnodata; if not, name the others '
                    'by their values, as in 1=cropland'
                )
            return int(declared)
        for value in map(int, (NODATA, limits.max, limits.min)):
            if value <= limits.max and value not in self.classes:
                return value
        raise ValueError(
            f'{self.path}: {NODATA}, {limits.max} and {limits.min} are '
            'classes, so none of them can stand for no data; declare another '
            'value with gdal_edit.py -a_nodata'
        )

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return the values from row ``start`` up to ``stop``, (rows, W)."""
        window = Window(0, start, self.width, stop - start)
        return read_window(self.dataset, 1, window)

    def read_numbers(self, start: int, stop: int) -> np.ndarray:
        """Return the classes' numbers, likewise, 255 without data; uint8."""
        return self.number(self.read(start, stop))

    def number(self, values: np.ndarray) -> np.ndarray:
        """Return the class numbers of values, uint8, 255 without data.

        Raises:
            ValueError: A value has no name.
        """
        table = {**self._numbers, self.nodata: NODATA}
        keys = np.array(sorted(table))
        found = np.searchsorted(keys, values).clip(max=len(keys) - 1)
        known = keys[found] == values
        if not known.all():
            unnamed = np.unique(values[~known])
            more = ', ...' if len(unnamed) > _SHOWN else ''
            has = [f'{value}={name}' for value, name in self.classes.items()]
            raise ValueError(
                f'{self.path}: there is no class name for the value '
                f'{", ".join(map(str, unnamed[:_SHOWN].tolist()))}{more}; its '
                f'classes are {", ".join(has)}. Name all with --classes, or '
                '--before-classes and --after-classes'
            )
        return np.array([table[key] for key in keys.tolist()], np.uint8)[found]

    def spans(self) -> Iterator[Tuple[int, int]]:
        """Yield pieces of rows that are not too many to be read at once."""
        return spans(self.height, max(1, PIXELS // self.width))

    def close(self) -> None:
        """Close the file."""
        self.dataset.close()

    def __exit__(self, *error) -> None:
        self.close()
