"""Report cropland lost and gained between two maps, or two scenes.

Writes cropland_change.tif, .gpkg, .png and .csv on the grid of BEFORE.
"""

import argparse
from pathlib import Path

from mmfdconv.cropland import options, session
from mmfdconv.cropland.change import format_change
from mmfdconv.cropland.predictor import load_predictor


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
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
    return parser.parse_args()


def main() -> None:
    """Compare, or say what is wrong with the maps."""
    args = parse_args()
    out_dir = Path(args.out_dir)
    with options.stoppable('change.py'):
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


if __name__ == '__main__':
    main()
