"""Options that the commands for scenes share."""

import argparse
import contextlib
import signal
import sys
from typing import Iterator

import torch
from fiona.errors import FionaError
from rasterio.errors import RasterioError

from ..engine.options import add_conv_options
from .gates import GATES
from .mapping import Tiling
from .polygon_files import FORMATS, MIN_AREA, PolygonOptions

__all__ = [
    'FAILURES',
    'add_map_options',
    'add_model_options',
    'add_out_dir',
    'add_polygon_options',
    'add_scene_options',
    'polygon_options',
    'stoppable',
    'tiling',
]

# What may be wrong with files and options, in a sentence.
FAILURES = (ValueError, OSError, FionaError, RasterioError)


def add_out_dir(parser: argparse.ArgumentParser) -> None:
    """Add where the results go."""
    parser.add_argument(
        '--out-dir',
        default='.',
        help='folder for the results (default: the current one)',
    )


def add_map_options(parser: argparse.ArgumentParser) -> None:
    """Add a single map, and where the results go."""
    parser.add_argument('map', help='cropland_change.tif, or a map of classes')
    parser.add_argument(
        '--classes',
        nargs='+',
        metavar='VALUE=NAME',
        help='names of the classes, if the map has none, such as 10=trees',
    )
    add_out_dir(parser)


def add_scene_options(parser: argparse.ArgumentParser) -> None:
    """Add how a scene is read."""
    group = parser.add_argument_group('scene')
    group.add_argument(
        '--bands',
        nargs='+',
        metavar='BAND',
        help='bands for the model: names (such as red green blue nir) or '
        "positions from 1, in the order of the model's mean (default: those "
        'of the training, if the scene says which they are)',
    )
    group.add_argument(
        '--nodata',
        type=float,
        metavar='VALUE',
        help='value of pixels without data, if the file does not say',
    )
    group.add_argument(
        '--crs',
        metavar='EPSG:CODE',
        help='coordinate system (default: that of the file)',
    )
    group.add_argument(
        '--value-range',
        nargs=2,
        type=float,
        metavar=('LOW', 'HIGH'),
        help='scene values that become 0 and 255, for a scene with more than '
        '8 bits and a model for 8-bit images',
    )


def add_polygon_options(parser: argparse.ArgumentParser) -> None:
    """Add what becomes of small areas, and how polygons are written."""
    parser.add_argument(
        '--mmu',
        type=float,
        default=0.0,
        metavar='HECTARES',
        help='minimum mapping unit: smaller areas are merged into their '
        'largest neighbour, in map, polygons and table (default: %(default)s)',
    )
    parser.add_argument(
        '--min-area',
        type=float,
        metavar='HECTARES',
        help='smallest polygon that is written '
        f'(default: {MIN_AREA}; with --mmu 0)',
    )
    parser.add_argument(
        '--simplify',
        type=float,
        default=0.0,
        metavar='METRES',
        help='remove smaller detail from the polygons; neighbours keep their '
        'common edge (default: polygons follow the pixels)',
    )
    parser.add_argument(
        '--polygon-format',
        choices=FORMATS,
        default=FORMATS[0],
        help='GeoPackage or GeoParquet, which needs pyarrow (default: '
        '%(default)s)',
    )


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add how the model runs."""
    group = parser.add_argument_group('model')
    default = Tiling()
    group.add_argument(
        '--window',
        type=int,
        default=default.window,
        metavar='PIXELS',
        help='side of a window of the scene (default: %(default)s)',
    )
    group.add_argument(
        '--overlap',
        type=int,
        default=default.overlap,
        metavar='PIXELS',
        help='overlap of neighbouring windows, in which they are blended '
        '(default: %(default)s)',
    )
    group.add_argument(
        '--margin',
        type=int,
        metavar='PIXELS',
        help='outer part of the overlap that is ignored '
        '(default: a quarter of the overlap)',
    )
    group.add_argument(
        '--batch',
        type=int,
        metavar='WINDOWS',
        help='number of windows per forward pass (default: '
        f'{default.batch}, on a CPU 1)',
    )
    group.add_argument(
        '--gates',
        choices=GATES,
        default=default.gates,
        help='what the gates of a dynamic model are predicted from: the '
        'scene, once for all windows, or each window (default: %(default)s)',
    )
    group.add_argument(
        '--device',
        help='cuda, cuda:1 or cpu (default: the GPU if there is one)',
    )
    group.add_argument(
        '--amp', action='store_true', help='predict in half precision'
    )
    add_conv_options(parser)


def tiling(args: argparse.Namespace, device: torch.device) -> Tiling:
    """Return the windows that the options ask for."""
    batch = args.batch
    if batch is None:  # more windows cost a CPU memory and gain nothing
        batch = 1 if device.type == 'cpu' else Tiling().batch
    if batch < 1:
        raise ValueError(f'--batch: must be at least 1, not {batch}')
    return Tiling(args.window, args.overlap, args.margin, batch, args.gates)


def polygon_options(args: argparse.Namespace) -> PolygonOptions:
    """Return what becomes of small areas by the options."""
    return PolygonOptions(
        args.mmu, args.min_area, args.simplify, args.polygon_format
    )


@contextlib.contextmanager
def stoppable(name: str) -> Iterator[None]:
    """End a tool with a sentence: on errors, on Ctrl-C, on SIGTERM.

    SIGTERM becomes an exception, so that unfinished files are deleted then,
    too.
    """

    def terminated(number, frame):
        sys.exit(f'{name}: terminated; unfinished files are deleted')

    before = signal.signal(signal.SIGTERM, terminated)
    try:
        yield
    except FAILURES as error:
        sys.exit(f'{name}: error: {error}')
    except KeyboardInterrupt:
        sys.stderr.write(f'\n{name}: stopped; unfinished files are deleted\n')
        sys.exit(130)
    finally:
        signal.signal(signal.SIGTERM, before)
