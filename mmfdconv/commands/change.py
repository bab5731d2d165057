"""Report cropland lost and gained between two maps, or two scenes.

Writes cropland_change.tif, .gpkg, .png and .csv on the grid of BEFORE, and
cropland_change_confidence.tif where both maps have their confidence.
Hectares are those of the ground, in any coordinate system. They are counts of
pixels, with the errors of both maps in them; sample.py and estimate.py make
areas with intervals of them.
"""

import argparse
import shlex
from pathlib import Path
from typing import Dict, Optional

from ..cropland import options, session
from ..cropland.change import format_change
from ..cropland.confidence import check_min_confidence, find_confidence
from ..cropland.legend import parse_classes
from ..cropland.predictor import load_predictor
from ..cropland.products import Products
from ..cropland.tally import write_zones


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
    legend = parser.add_argument_group('classes')
    legend.add_argument(
        '--cropland-class',
        metavar='NAME',
        help='class that is cropland in both maps (default: cropland or '
        'farmland, whichever a map has); case does not matter',
    )
    legend.add_argument(
        '--classes',
        nargs='+',
        metavar='VALUE=NAME',
        help='class names for maps that carry none, as in 10=trees '
        '40=cropland; names alone count from 0',
    )
    for when in ('before', 'after'):
        legend.add_argument(
            f'--{when}-class',
            metavar='NAME',
            help=f'class that is cropland in {when.upper()}',
        )
        legend.add_argument(
            f'--{when}-classes',
            nargs='+',
            metavar='VALUE=NAME',
            help=f'class names of {when.upper()}, whatever it carries',
        )
    options.add_area_options(parser)
    parser.add_argument(
        '--confidence',
        nargs=2,
        metavar=('BEFORE', 'AFTER'),
        help="rasters of the maps' confidence, in percent (default: "
        'NAME_confidence.tif beside NAME_classes.tif, where both are there)',
    )
    parser.add_argument(
        '--min-confidence',
        type=float,
        metavar='PERCENT',
        help="pixels that either map has less of become 'unsure'",
    )
    parser.add_argument(
        '--zones',
        metavar='FILE',
        help='polygons, such as districts, to count hectares in; a pixel '
        'belongs to the zone that its middle is in',
    )
    parser.add_argument(
        '--zone-field',
        default='name',
        metavar='NAME',
        help="column of the zones' names (default: %(default)s)",
    )
    options.add_scene_options(parser)
    options.add_model_options(parser)


def run(args: argparse.Namespace, prog: str) -> None:
    """Compare, or say what is wrong with the maps."""
    out_dir = Path(args.out_dir)
    with options.stoppable(prog):
        check_min_confidence(args.min_confidence)
        needed = args.min_confidence is not None
        maps = [args.before, args.after]
        if args.model:
            if args.confidence:
                raise ValueError(
                    '--confidence: is for maps; with --model that of the '
                    'model is taken, where --min-confidence is given'
                )
            session.check_scenes(maps, args)
            predictor = load_predictor(
                *args.model, **options.predictor_options(args)
            )
            mapped = [
                session.map_with_bar(
                    scene,
                    predictor,
                    out_dir / name,
                    args,
                    print,
                    products=Products(polygons=False, confidence=needed),
                ).files
                for scene, name in zip(maps, ('before', 'after'))
            ]
            maps = [files['map'] for files in mapped]
            confidence = None
            if needed:
                confidence = [files['confidence'] for files in mapped]
        else:
            confidence = args.confidence or find_confidence(maps, needed)
        change = session.compare_with_bar(
            *maps,
            out_dir / 'cropland',
            cropland=(
                args.before_class or args.cropland_class,
                args.after_class or args.cropland_class,
            ),
            classes=_classes(args, 'classes'),
            overrides=(
                _classes(args, 'before_classes'),
                _classes(args, 'after_classes'),
            ),
            min_area=args.min_area,
            min_unit=args.mmu,
            confidence=confidence,
            min_confidence=args.min_confidence,
        )
        print(format_change(change))
        if confidence:
            print('confidence is read from', *confidence)
        for note in change.notes:
            print(note)
        if args.zones:
            table = out_dir / 'cropland_change_zones.csv'
            count = write_zones(
                table, args.zones, change.files['map'], args.zone_field
            )
            print(f'wrote {table}, of {count} zones')
        print(_how_to_estimate(args, prog, change.files['map']))
        print(
            f'{change.polygons.written} polygons lost or gained; '
            f'{change.polygons.left_out} smaller ones left out'
        )
        for file in change.files.values():
            print(f'wrote {file}')


def _how_to_estimate(args: argparse.Namespace, prog: str, path: Path) -> str:
    """Say what these hectares are not, and which command to run for it."""
    scenes = [args.before, args.after] if args.model else ['BEFORE', 'AFTER']
    sample = shlex.join([str(path), '--scenes', *map(str, scenes)])
    return (
        "these hectares count pixels, with the maps' errors in them. For "
        'areas with 95 % intervals, draw points and label them, then '
        'estimate:\n'
        f'  {prog.replace("change", "sample")} {sample}\n'
        f'  {prog.replace("change", "estimate")} {shlex.quote(str(path))} '
        'LABELS.csv'
    )


def _classes(args: argparse.Namespace, name: str) -> Optional[Dict[int, str]]:
    words = getattr(args, name)
    option = f'--{name.replace("_", "-")}'
    return None if words is None else parse_classes(words, option)
