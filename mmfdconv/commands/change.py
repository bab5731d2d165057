"""Report cropland lost and gained between two maps, or two scenes.

Writes cropland_change.tif, .gpkg, .png and .csv on the grid of BEFORE.
"""

import argparse
from pathlib import Path

from ..cropland import options, session
from ..cropland.change import format_change
from ..cropland.predictor import load_predictor


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command line takes."""
    parser.add_argument('before', help='the earlier map, or scene')
    parser.add_argument('after', help='the later map, or scene')
    parser.add_argument(
        '--model',
        nargs=2,
        metavar=('CONFIG', 'CHECKPOINT'),
        help='BEFORE and AFTER are scenes: map them with this model first',
    )
    parser.add_argument(
        '--out-dir',
        default='.',
        help='folder for the results (default: the current one)',
    )
    parser.add_argument(
        '--cropland-class',
        metavar='NAME',
        help='class that is cropland (default: cropland or farmland)',
    )
    parser.add_argument(
        '--classes',
        nargs='+',
        metavar='NAME',
        help='class names from number 0 on, for maps that carry none',
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
    """Compare, or say what is wrong with the maps."""
    out_dir = Path(args.out_dir)
    with options.stoppable(prog):
        maps = [args.before, args.after]
        if args.model:
            session.check_scenes(maps, args)
            predictor = load_predictor(
                *args.model, **options.predictor_options(args)
            )
            maps = [
                session.map_with_bar(
                    scene,
                    predictor,
                    out_dir / name,
                    args,
                    print,
                    polygons=False,
                ).files['map']
                for scene, name in zip(maps, ('before', 'after'))
            ]
        change = session.compare_with_bar(
            *maps,
            out_dir / 'cropland',
            cropland=args.cropland_class,
            classes=args.classes,
            min_area=args.min_area,
        )
        print(format_change(change))
        print(
            f'{change.polygons.written} polygons lost or gained; '
            f'{change.polygons.left_out} smaller ones left out'
        )
        for file in change.files.values():
            print(f'wrote {file}')
