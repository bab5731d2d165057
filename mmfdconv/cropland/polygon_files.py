"""Polygons with attributes as GeoPackage or GeoParquet, batch by batch."""

import contextlib
import json
from pathlib import Path
from typing import Any, Callable, Iterator, List, Mapping, Sequence

import fiona
import shapely
from rasterio.crs import CRS
from shapely.geometry import Polygon

__all__ = ['FORMATS', 'check_format', 'open_polygons']

FORMATS = ('gpkg', 'parquet')
_TYPES = {'class': 'str', 'value': 'int', 'hectares': 'float'}

# Takes N polygons, in map coordinates, and N values of each attribute.
Write = Callable[[Sequence[Polygon], Mapping[str, List[Any]]], None]


def check_format(ending: str) -> None:
    """Check that a format can be written.

    Raises:
        ValueError: It is not one of :data:`FORMATS`, or its package cannot be
            imported.
    """
    if ending not in FORMATS:
        raise ValueError(
            f'--polygon-format: must be one of {FORMATS}, not {ending!r}'
        )
    if ending == 'parquet':
        try:
            import pyarrow.parquet  # noqa: F401
        except ImportError as error:
            raise ValueError(
                f'--polygon-format: parquet needs pyarrow ({error}); pip '
                "install 'mmfdconv[geoparquet]' installs it"
            ) from error


@contextlib.contextmanager
def open_polygons(path: str, crs: CRS, layer: str) -> Iterator[Write]:
    """Open a file for polygons with ``class``, ``value`` and ``hectares``.

    Args:
        path: File to write; its ending is one of :data:`FORMATS`.
        crs: Coordinate system.
        layer: Name of the layer, of a GeoPackage.

    Yields:
        What writes a batch.
    """
    open_file = _parquet if Path(path).suffix == '.parquet' else _gpkg
    with open_file(path, crs, layer) as write:
        yield write


@contextlib.contextmanager
def _gpkg(path: str, crs: CRS, layer: str) -> Iterator[Write]:
    schema = {'geometry': 'Polygon', 'properties': _TYPES}
    with fiona.open(
        path,
        'w',
        driver='GPKG',
        crs_wkt=crs.to_wkt(),
        schema=schema,
        layer=layer,
    ) as file:

        def write(shapes, columns) -> None:
            file.writerecords(
                {
                    'geometry': shapely.geometry.mapping(shape),
                    'properties': dict(zip(columns, values)),
                }
                for shape, *values in zip(shapes, *columns.values())
            )

        yield write


@contextlib.contextmanager
def _parquet(path: str, crs: CRS, layer: str) -> Iterator[Write]:
    import pyarrow
    from pyarrow import parquet

    # GeoParquet 1.1, https://geoparquet.org/releases/v1.1.0
    geometry = dict(
        encoding='WKB',
        geometry_types=['Polygon'],
        crs=crs.to_dict(projjson=True),
        orientation='counterclockwise',
    )
    geo = dict(
        version='1.1.0',
        primary_column='geometry',
        columns=dict(geometry=geometry),
    )
    kinds = dict(
        str=pyarrow.string(), int=pyarrow.int32(), float=pyarrow.float64()
    )
    fields = {name: kinds[kind] for name, kind in _TYPES.items()}
    schema = pyarrow.schema(
        {**fields, 'geometry': pyarrow.binary()},
        metadata={'geo': json.dumps(geo)},
    )
    with parquet.ParquetWriter(path, schema) as file:

        def write(shapes, columns) -> None:
            wkb = shapely.to_wkb(shapes).tolist()
            file.write_table(
                pyarrow.table({**columns, 'geometry': wkb}, schema=schema)
            )

        yield write
