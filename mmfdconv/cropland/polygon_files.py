"""Polygons with attributes as GeoPackage or GeoParquet, batch by batch."""

import contextlib
import json
from pathlib import Path
from typing import (
    Any,
    Callable,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
)

import fiona
import shapely
from rasterio.crs import CRS
from shapely.geometry import Polygon

__all__ = ['FORMATS', 'MIN_AREA', 'PolygonOptions', 'open_polygons']

FORMATS = ('gpkg', 'parquet')
MIN_AREA = 0.1  # hectares of the smallest polygon
_TYPES = {'class': 'str', 'value': 'int', 'hectares': 'float'}

# Takes N polygons, in map coordinates, and N values of each attribute.
Write = Callable[[Sequence[Polygon], Mapping[str, List[Any]]], None]


class PolygonOptions(NamedTuple):
    """What becomes of small areas, and how polygons are written.

    Attributes:
        min_unit: Hectares, the minimum mapping unit; smaller areas become
            what is around them, in map, polygons and table. The map is then
            held in memory.
        min_area: Hectares of the smallest polygon; ``None`` takes 0.1, and
            0 where there is a ``min_unit``. Map and table count every pixel.
        simplify: Metres; smaller detail of polygons is left out.
        format: One of :data:`FORMATS`.
    """

    min_unit: float = 0.0
    min_area: Optional[float] = None
    simplify: float = 0.0
    format: str = FORMATS[0]

    @property
    def smallest(self) -> float:
        """Hectares of the smallest polygon."""
        if self.min_area is not None:
            return self.min_area
        return 0.0 if self.min_unit else MIN_AREA

    def check(self) -> None:
        """Refuse what cannot be done.

        Raises:
            ValueError: A value is out of its range, or a package is missing.
        """
        for option, value, unit in (
            ('--mmu', self.min_unit, 'hectares'),
            ('--simplify', self.simplify, 'metres'),
        ):
            if value < 0:
                raise ValueError(
                    f'{option}: must not be below 0 {unit}, but is {value}'
                )
        if self.format not in FORMATS:
            raise ValueError(
                f'--polygon-format: must be one of {FORMATS}, not '
                f'{self.format!r}'
            )
        if self.format == 'parquet':
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
