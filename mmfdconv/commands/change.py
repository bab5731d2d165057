"""Report cropland lost and gained between two maps, or two scenes.

Writes cropland_change.tif, .gpkg, .png and .csv on the grid of BEFORE, and
cropland_change_confidence.tif if both maps have a confidence. Hectares are
ground areas, in any coordinate system. They are counts of pixels, and so
contain the errors of both maps; the commands sample and estimate give areas
with intervals.

For many pairs, each pair has its files, NAME_change.tif and so on, and
changes.csv lists all. If the run is interrupted, run it again and it
continues. torchrun or srun can divide the pairs among processes.
"""

import argparse
import contextlib
import functools
import itertools
import shlex
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

from ..cropland import many, options, session, shares
from ..cropland.change import Change, format_change, name_changes
from ..cropland.confidence import check_min_confidence, find_confidence
from ..cropland.files import name_left_over
from ..cropland.legend import parse_classes
from ..cropland.many import Pair
from ..cropland.polygon_files import FORMATS
from ..cropland.predictor import Predictor
from ..cropland.products import Products
from ..cropland.scene import check_scenes
from ..cropland.shares import Result
from ..cropland.tally import write_zones
from ..engine.launch import load_config
from ..engine.options import add_launcher_options

# Options that do not matter before there are maps.
_LATER = (
    *('cropland_class', 'classes', 'before_class', 'before_classes'),
    *('after_class', 'after_classes', 'mmu', 'min_area', 'min_confidence'),
    *('simplify', 'polygon_format', 'zones', 'zone_field'),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command line takes."""
    parser.add_argument(
        'before',
        help='the earlier map or scene; a folder or a .txt list of them; or, '
        'without AFTER, a .csv file with the columns before, after and, '
        'optionally, name',
    )
    parser.add_argument(
        'after',
        nargs='?',
        help='the later map or scene; or a folder or list of files with the '
        'same names as the earlier ones',
    )
    parser.add_argument(
        '--model',
        nargs=2,
        metavar=('CONFIG', 'CHECKPOINT'),
        help='BEFORE and AFTER are scenes: map them with this model first',
    )
    options.add_out_dir(parser)
    legend = parser.add_argument_group('classes')
    legend.add_argument(
        '--cropland-class',
        metavar='NAME',
        help='class that is cropland in both maps, in upper or lower case '
        '(default: cropland or farmland, whichever a map has)',
    )
    legend.add_argument(
        '--classes',
        nargs='+',
        metavar='VALUE=NAME',
        help='names of the classes, for maps without names, such as 10=trees '
        '40=cropland; names without values are numbered from 0',
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
            help=f'class names for {when.upper()}, in place of its own',
        )
    options.add_polygon_options(parser)
    parser.add_argument(
        '--confidence',
        nargs=2,
        metavar=('BEFORE', 'AFTER'),
        help='rasters with the confidence of the maps, in percent (default: '
        'NAME_confidence.tif next to NAME_classes.tif, if both maps have one)',
    )
    parser.add_argument(
        '--min-confidence',
        type=float,
        metavar='PERCENT',
        help="pixels with a lower confidence in either map become 'unsure'",
    )
    parser.add_argument(
        '--zones',
        metavar='FILE',
        help='polygons, such as districts, for which hectares are counted, '
        'too; a pixel belongs to the zone that contains its centre',
    )
    parser.add_argument(
        '--zone-field',
        default='name',
        metavar='NAME',
        help='column with the names of the zones (default: %(default)s)',
    )
    options.add_scene_options(parser)
    options.add_model_options(parser)
    add_launcher_options(parser)


def run(args: argparse.Namespace, prog: str) -> None:
    """Compare, or say what is wrong with the maps."""
    with options.stoppable(prog):
        check_min_confidence(args.min_confidence)
        if args.model and args.confidence:
            raise ValueError(
                '--confidence: is for maps; with --model that of the model is '
                'taken, where --min-confidence is given'
            )
        if args.model:
            args.says = str(load_config(args.model[0]).to_dict())
        if many.are_many(args.before, args.after):
            _compare_all(args, prog)
            return
        if args.launcher != 'none':
            raise ValueError(
                f'--launcher: {args.launcher!r} shares out many pairs, and '
                'this is one; give two folders or lists, or a CSV of pairs'
            )
        pair = Pair('cropland', args.before, args.after)
        predictor = None
        if args.model:
            check_scenes(pair[1:], args.bands, args.crs)
            predictor = session.load_model(*args.model, args)
        _compare(pair, predictor, args, prog, ('before', 'after'))


def _compare_all(args: argparse.Namespace, prog: str) -> None:
    """Compare what is not compared yet, and put all into one table."""
    if args.confidence:
        raise ValueError(
            '--confidence: names that of two maps; of many it is '
            'NAME_confidence.tif beside NAME_classes.tif'
        )
    pairs = many.find_pairs(args.before, args.after, maps=not args.model)
    if args.model:
        scenes = [path for pair in pairs for path in pair[1:]]
        check_scenes(scenes, args.bands, args.crs)
    shares.join_ranks(args.launcher)
    shares.make_results(
        [
            Result(pair.name, _files(pair, args), _mark(pair, args), pair)
            for pair in pairs
        ],
        ('pairs', 'compare', 'compared'),
        functools.partial(_comparer, args, prog),
        functools.partial(_write_tables, args),
        print,
    )


@contextlib.contextmanager
def _comparer(
    args: argparse.Namespace, prog: str, left: List[Result]
) -> Iterator[Callable[[Result], None]]:
    """One model for all pairs, if they are of scenes."""
    predictor = session.load_model(*args.model, args) if args.model else None
    numbers = itertools.count(1)

    def compare(result: Result) -> None:
        name = result.name
        print(f'\n{next(numbers)} of {len(left)}: {name}')
        names = (f'{name}_before', f'{name}_after')
        _compare(result.source, predictor, args, prog, names, result.tags)

    yield compare


def _write_tables(args: argparse.Namespace, done: List[Result]) -> None:
    """Write the tables of all pairs, and print the sum of the first."""
    tables = [('table', 'changes.csv', 'cropland')]
    if args.zones:
        tables.append(('zones', 'changes_zones.csv', 'class'))
    for kind, name, column in tables:
        path = Path(args.out_dir, name)
        found = [(result.name, result.files[kind]) for result in done]
        total = shares.merge_tables(found, path, 'pair', column)
        if kind == 'table':
            for word, hectares in total.items():
                print(f'{word or "no cropland":<11}  {hectares:>14,.2f} ha')
        print(f'wrote {path}')


def _mark(pair: Pair, args: argparse.Namespace) -> str:
    """Tell whether a comparison is of these files and options."""
    inputs = [*pair, *(args.model or ())]
    if args.zones:
        inputs.append(args.zones)
    if not args.model:
        inputs += map(str, find_confidence(pair[1:]) or ())
    return shares.fingerprint(inputs, vars(args), ('before', 'after'))


def _files(pair: Pair, args: argparse.Namespace) -> Dict[str, Path]:
    """All files of a comparison, by kind."""
    confidence = args.min_confidence is not None
    if not args.model:
        confidence = find_confidence(pair[1:]) is not None
    prefix = Path(args.out_dir, pair.name)
    zones = args.zones is not None
    return name_changes(prefix, confidence, args.polygon_format, zones)


def _maps(
    pair: Pair,
    predictor: Optional[Predictor],
    args: argparse.Namespace,
    names: Tuple[str, str],
) -> Tuple[List[Any], Optional[List[Any]]]:
    """Return both maps, which a model makes if there is one, and confidence.

    Maps that an earlier run has made of the same scenes are taken.
    """
    needed = args.min_confidence is not None
    if predictor is None:
        maps = [pair.before, pair.after]
        return maps, args.confidence or find_confidence(maps, needed)
    products = Products(polygons=False, confidence=needed)
    found = []
    for scene, name in zip(pair[1:], names):
        prefix = Path(args.out_dir, name)
        files = products.files(prefix)
        mark = shares.fingerprint(
            [scene, *args.model], vars(args), ('before', 'after', *_LATER)
        )
        result = Result(scene, files, mark)
        if not result.is_done():
            session.map_with_bar(
                *(scene, predictor, prefix, args, print),
                products=products,
                tags=result.tags,
            )
        found.append(files)
    confidence = [files['confidence'] for files in found] if needed else None
    return [files['map'] for files in found], confidence


def _compare(
    pair: Pair,
    predictor: Optional[Predictor],
    args: argparse.Namespace,
    prog: str,
    names: Tuple[str, str],
    tags: Optional[Dict[str, str]] = None,
) -> None:
    """Compare two maps and say what came out."""
    maps, confidence = _maps(pair, predictor, args, names)
    change = session.compare_with_bar(
        *maps,
        Path(args.out_dir, pair.name),
        cropland=(
            args.before_class or args.cropland_class,
            args.after_class or args.cropland_class,
        ),
        classes=_classes(args, 'classes'),
        overrides=(
            _classes(args, 'before_classes'),
            _classes(args, 'after_classes'),
        ),
        options=options.polygon_options(args),
        confidence=confidence,
        min_confidence=args.min_confidence,
        tags=tags,
    )
    print(format_change(change))
    if confidence:
        print('confidence is read from', *confidence)
    for note in change.notes:
        print(note)
    prefix = Path(args.out_dir, pair.name)
    every = [name_changes(prefix, True, kind, True) for kind in FORMATS]
    written = [*change.files.values()]
    if args.zones:
        table = every[0]['zones']
        written.append(table)
        # What is there is of another map, and zones may be refused.
        table.unlink(missing_ok=True)
        count = write_zones(
            table, args.zones, change.files['map'], args.zone_field
        )
        print(f'wrote {table}, of {count} zones')
    print(_how_to_estimate(pair, args, prog, change))
    print(
        f'{change.polygons.written} polygons lost or gained; '
        f'{change.polygons.left_out} smaller ones left out'
    )
    for file in change.files.values():
        print(f'wrote {file}')
    for line in name_left_over(written, every):
        print(line)


def _how_to_estimate(
    pair: Pair, args: argparse.Namespace, prog: str, change: Change
) -> str:
    """Say what these hectares are not, and which command to run for it."""
    path = str(change.files['map'])
    scenes = pair[1:] if args.model else ['BEFORE', 'AFTER']
    sample = shlex.join([path, '--scenes', *scenes])
    return (
        "these hectares count pixels, with the maps' errors in them. For "
        'areas with 95 % intervals, draw points and label them, then '
        'estimate:\n'
        f'  {prog.replace("change", "sample")} {sample}\n'
        f'  {prog.replace("change", "estimate")} {shlex.quote(path)} '
        'LABELS.csv'
    )


def _classes(args: argparse.Namespace, name: str) -> Optional[Dict[int, str]]:
    words = getattr(args, name)
    option = f'--{name.replace("_", "-")}'
    return None if words is None else parse_classes(words, option)
