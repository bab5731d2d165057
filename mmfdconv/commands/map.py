"""Map a satellite scene: classes, polygons and hectares from a checkpoint.

Writes <scene>_classes.tif, _polygons.gpkg, _quicklook.png and _hectares.csv.
"""

import argparse
from pathlib import Path

from ..cropland import options, session
from ..cropland.files import result_name
from ..cropland.predictor import load_predictor


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command line takes."""
    parser.add_argument(
        'scene', help='GeoTIFF, or any raster GDAL reads, by any of its names'
    )
    parser.add_argument('config', help='config file, of mmseg')
    parser.add_argument('checkpoint', help='checkpoint of that config')
    parser.add_argument(
        '--out-dir',
        default='.',
        help='folder for the results (default: the current one)',
    )
    parser.add_argument(
        '--probabilities',
        action='store_true',
        help="write the classes' probabilities, in percent, too",
    )
    parser.add_argument(
        '--no-polygons', action='store_true', help='write no polygons'
    )
    parser.add_argument(
        '--min-area',
        type=float,
        default=0.1,
        metavar='HECTARES',
        help='of the smallest polygon (default: %(default)s)',
    )
    options.add_scene_options(parser)
    options.add_model_options(parser)


def run(args: argparse.Namespace, prog: str) -> None:
    """Map the scene, or say what is wrong with it."""
    with options.stoppable(prog):
        session.check_scenes([args.scene], args)
        predictor = load_predictor(
            args.config, args.checkpoint, **options.predictor_options(args)
        )
        session.map_with_bar(
            args.scene,
            predictor,
            Path(args.out_dir, result_name(args.scene)),
            args,
            print,
            probabilities=args.probabilities,
            polygons=not args.no_polygons,
            min_area=args.min_area,
        )
