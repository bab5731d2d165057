"""The files of a map: classes, confidence, polygons, hectares, picture."""

import contextlib
import zlib
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Union

import numpy as np
import torch

from . import area, vector
from .atomic import Outputs
from .confidence import MAP_TAG, check_min_confidence
from .files import name_files
from .legend import UNSURE
from .mapping import Clock, Progress, Tiling, map_rows
from .mapping_unit import sieve
from .polygon_files import PolygonOptions
from .predictor import Predictor
from .quicklook import write_quicklook
from .raster import NODATA, MapReader, RowWriter, environment, spans
from .scene import Scene

__all__ = ['Mapped', 'Products', 'map_scene']

_GREY = (150, 150, 150)
_ROWS = 512  # of a sieved map, written at once


class Products(NamedTuple):
    """Which files a map comes with, and what is done to it.

    Attributes:
        probabilities: Write those of all classes.
        confidence: Write that of the class that the map says, before small
            areas are merged.
        min_confidence: Percent; pixels below become the class ``unsure``.
        polygons: Write them.
        options: What becomes of small areas, and how polygons are written.
    """

    probabilities: bool = False
    confidence: bool = False
    min_confidence: Optional[float] = None
    polygons: bool = True
    options: PolygonOptions = PolygonOptions()

    def files(self, prefix: Union[str, Path]) -> Dict[str, Path]:
        """Return the files of a map by kind."""
        return name_files(
            prefix,
            map='classes.tif',
            probabilities=self.probabilities and 'probabilities.tif',
            confidence=self.confidence and 'confidence.tif',
            polygons=self.polygons and f'polygons.{self.options.format}',
            quicklook='quicklook.png',
            hectares='hectares.csv',
        )

    def check(self, predictor: Predictor) -> None:
        """Refuse what cannot be done.

        Raises:
            ValueError: A value is out of its range, or the model's scores
                are no probabilities and cannot be made such.
        """
        check_min_confidence(self.min_confidence)
        if self.min_confidence is not None:
            if UNSURE in predictor.classes:
                raise ValueError(
                    f'--min-confidence: the model has a class {UNSURE!r} of '
                    'its own'
                )
            if len(predictor.classes) + 1 >= NODATA:
                raise ValueError(
                    f'--min-confidence: {len(predictor.classes)} classes '
                    'leave no value for one more in a map of 8 bits'
                )
        self.options.check()
        if (
            self.probabilities
            or self.confidence
            or self.min_confidence is not None
        ):
            predictor.check_probabilities()


class Mapped(NamedTuple):
    """What became of a scene.

    Attributes:
        files: Written files by kind: ``map``, ``probabilities``,
            ``confidence``, ``polygons``, ``quicklook``, ``hectares``.
        hectares: Hectares by class name; pixels without data do not count.
        polygons: Count of the polygons, if they were asked for.
        seconds: Seconds by kind of work. ``reading`` runs beside the others;
            ``waiting`` is how long the model waited for it.
    """

    files: Dict[str, Path]
    hectares: Dict[str, float]
    polygons: Optional[vector.PolygonCount]
    seconds: Dict[str, float]


def map_scene(
    scene: Scene,
    predictor: Predictor,
    prefix: Union[str, Path],
    tiling: Optional[Tiling] = None,
    products: Optional[Products] = None,
    tags: Optional[Dict[str, str]] = None,
    progress: Progress = lambda windows: None,
) -> Mapped:
    """Write the map of a scene, and what follows from the map.

    The files are ``<prefix>_classes.tif`` (8 bit, 255 without data),
    ``_probabilities.tif`` (percent, a band per class), ``_confidence.tif``
    (percent), ``_polygons.gpkg`` or ``.parquet``, ``_quicklook.png`` and
    ``_hectares.csv``. All of them or none appear.

    Args:
        scene: The open scene.
        predictor: The model.
        prefix: Folder and beginning of the files' names.
        tiling: Windows; ``None`` takes the defaults.
        products: Which files, and what is done to the map; ``None`` takes
            the defaults.
        tags: To write into the map, by name.
        progress: Called with the number of windows done since the last call.

    Raises:
        ValueError: An option is wrong, the model's scores are no
            probabilities and cannot be made such, or the scene is damaged.
        OSError: The files could not be written whole.
    """
    tiling = Tiling() if tiling is None else tiling
    products = Products() if products is None else products
    products.check(predictor)
    files = products.files(prefix)
    areas = area.PixelAreas(scene)
    clock = Clock()
    palette = [*predictor.palette, _GREY]
    with environment(), Outputs(inputs=[scene.path]) as outputs:
        paths = {kind: outputs.add(path) for kind, path in files.items()}
        hectares = _write_rasters(
            scene,
            predictor,
            paths,
            map_rows(scene, predictor, tiling, progress, clock),
            areas,
            products,
            tags or {},
            clock,
        )
        count = None
        with MapReader(paths['map']) as done:
            if products.polygons:
                with clock.on('polygons'):
                    count = vector.write_polygons(
                        paths['polygons'],
                        done.read,
                        done.classes,
                        scene,
                        areas,
                        products.options,
                        layer='classes',
                    )
            with clock.on('quick-look'):
                write_quicklook(
                    paths['quicklook'], done, palette, hectares, scene=scene
                )
        area.write_hectares(hectares, paths['hectares'])
    return Mapped(files, hectares, count, dict(clock))


def _write_rasters(
    scene, predictor, paths, rows, areas, products, tags, clock
) -> Dict[str, float]:
    """Write map, confidence, probabilities; return the hectares by class."""
    classes: List[str] = [*predictor.classes]
    palette = [*predictor.palette]
    if products.min_confidence is not None:
        classes.append(UNSURE)
        palette.append(_GREY)
    hectares = np.zeros(len(classes))
    whole, checksum = None, 0
    min_unit = products.options.min_unit
    if min_unit:
        whole = np.full((scene.height, scene.width), NODATA, np.uint8)
    with contextlib.ExitStack() as stack:
        grid = stack.enter_context(
            RowWriter(paths['map'], scene, classes, palette, tags)
        )
        bands = {
            kind: stack.enter_context(RowWriter(paths[kind], scene, names))
            for kind, names in (
                ('probabilities', predictor.classes),
                ('confidence', ('confidence',)),
            )
            if kind in paths
        }
        stack.enter_context(contextlib.closing(rows))

        def write(top: int, found: np.ndarray) -> None:
            grid.write(top, found)
            pixels = areas.pixels(top, top + len(found))
            hectares[:] += area.count_hectares(found, pixels, len(classes))

        for top, scores, valid in rows:
            with clock.on('blending'):
                decided = predictor.decide(scores)
                found = decided.to(torch.uint8).cpu().numpy()
                found[~valid] = NODATA
                checksum = zlib.crc32(found, checksum)
                if bands or products.min_confidence is not None:
                    percent = predictor.probabilities(scores) * 100
                    sure = percent.gather(0, decided[None])[0]
                    if products.min_confidence is not None:
                        low = (sure < products.min_confidence).cpu().numpy()
                        found[low & valid] = len(classes) - 1
            with clock.on('writing'):
                for kind, file in bands.items():
                    shown = percent if kind == 'probabilities' else sure
                    file.write(top, _bytes(shown, valid))
                if whole is None:
                    write(top, found)
                else:
                    whole[top : top + len(found)] = found
        if whole is not None:
            with clock.on('sieving'):
                whole = sieve(whole, int(np.ceil(min_unit / areas.mean)))
                for top, bottom in spans(scene.height, _ROWS):
                    write(top, whole[top:bottom])
        with clock.on('writing'):
            for file in (grid, *bands.values()):
                file.tag(**{MAP_TAG: f'{checksum:08x}'})
            stack.close()
    return dict(zip(classes, hectares.tolist()))


def _bytes(percent: torch.Tensor, valid: np.ndarray) -> np.ndarray:
    values = percent.round().to(torch.uint8).cpu().numpy()
    values[..., ~valid] = NODATA
    return values
